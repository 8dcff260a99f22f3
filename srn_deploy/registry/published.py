"""Published checkpoints that can be downloaded by name: their address, their hash, and what their files do not say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path, PurePosixPath

from srn_deploy.errors import DamagedCheckpoint, UnknownModel
from srn_deploy.spec import Corrections
from srn_deploy.system.cache import pulled_folder
from srn_deploy.system.documents import decode_json
from srn_deploy.system.hashing import sha256_of_file

CATALOGUE = Path(__file__).with_name("published_models.json")


@dataclass(frozen=True, kw_only=True)
class PublishedModel:
    """One checkpoint that other authors published, pinned by its hash."""

    name: str
    title: str
    architecture: str
    scale: int
    url: str
    """Names one commit, so that it never stands for another file."""
    sha256: str
    size_bytes: int
    licence: str
    """As its repository states it, or "none stated"."""
    source: str
    """The page of its repository."""
    value_range: float
    """The range the weights were trained in, which no file records."""
    settings: tuple[str, ...]
    """What else the file does not record, each as name=value."""
    note: str
    """What its user must know; may be empty."""

    @property
    def path(self) -> Path:
        """Where the file is after the download; it is named after the model, not as its authors named it."""
        return pulled_folder() / f"{self.name}{PurePosixPath(self.url).suffix}"

    @property
    def corrections(self) -> Corrections:
        """What must be known to open the file and is not in it."""
        return Corrections.parse(self.settings, self.value_range)


class DownloadState(StrEnum):
    """Whether a published model is on this machine."""

    ABSENT = "absent"
    PULLED = "pulled"
    DAMAGED = "damaged"
    """There is a file in its place, but not the pinned one."""


@dataclass(frozen=True, kw_only=True)
class _Catalogue:
    """`published_models.json`."""

    models: tuple[PublishedModel, ...]


def published_models() -> Mapping[str, PublishedModel]:
    """Every model of the catalogue by name; raises DamagedCheckpoint for a damaged catalogue."""
    try:
        content = CATALOGUE.read_bytes()
    except OSError as error:
        raise _damaged(error.strerror or str(error)) from error
    return {model.name: model for model in _decoded(content).models}


def published_with(sha256: str) -> tuple[PublishedModel, ...]:
    """The published models whose file has this hash, downloaded or not."""
    return tuple(model for model in published_models().values() if model.sha256 == sha256)


def state_of(model: PublishedModel, sha256: str | None = None) -> DownloadState:
    """Whether its file is there and whole. sha256: the file's own, where it is known; otherwise the file is hashed."""
    if not model.path.is_file():
        return DownloadState.ABSENT
    found = sha256 or sha256_of_file(model.path)
    return DownloadState.PULLED if found == model.sha256 else DownloadState.DAMAGED


def check_downloaded(model: PublishedModel, sha256: str | None = None) -> None:
    """Raise UnknownModel if the model is not on this machine, DamagedCheckpoint if another file is in its place.

    sha256: the file's own, where it is known; otherwise the file is hashed.
    """
    state = state_of(model, sha256)
    if state is DownloadState.ABSENT:
        raise UnknownModel(f"{model.name} is known, but not on this machine ({model.path}).",
                           remedy=f"Fetch it with `srn-deploy models pull {model.name}`.")
    if state is DownloadState.DAMAGED:
        raise DamagedCheckpoint(f"{model.path} is not the file that the catalogue names.",
                                remedy=f"Fetch it again with `srn-deploy models pull {model.name}`.")


@lru_cache(maxsize=4)
def _decoded(content: bytes) -> _Catalogue:
    """Decode the catalogue once for each content it has had; the file itself is read again on every call."""
    return decode_json(content, _Catalogue, _damaged)


def _damaged(reason: str) -> DamagedCheckpoint:
    return DamagedCheckpoint(f"{CATALOGUE} is damaged ({reason}): it does not list the published models.",
                             remedy="Install srn-deploy again, or restore the file from its repository.")
