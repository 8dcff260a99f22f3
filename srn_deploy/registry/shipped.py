"""The models that are shipped with the package, as their manifest lists them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from srn_deploy.errors import DamagedCheckpoint, UnknownModel
from srn_deploy.system.documents import decode_json
from srn_deploy.system.hashing import sha256_of_file

MANIFEST = "manifest.json"

_FOLDERS = ("srn_deploy_models", "models")
"""Next to the package: the first is installed by a wheel, the second is in a checkout. There is never both."""

_REMEDY = "Install srn-deploy again, or restore the file from its repository."


def models_folder() -> Path:
    """The folder of the manifest, the checkpoints and the graphs; raises UnknownModel if there is none."""
    home = Path(__file__).resolve().parents[2]
    for name in _FOLDERS:
        if (home / name / MANIFEST).is_file():
            return home / name
    raise UnknownModel(f"The shipped models are not next to the package ({home}).",
                       remedy="The installation is incomplete: install srn-deploy again, or give the path of a model.")


@dataclass(frozen=True, kw_only=True)
class ShippedFile:
    """One file of a shipped model."""

    name: str
    sha256: str

    @property
    def path(self) -> Path:
        """Where the manifest says it is; raises UnknownModel if there are no shipped models."""
        return models_folder() / self.name

    def checked_path(self, sha256: str | None = None) -> Path:
        """The file's path; raises DamagedCheckpoint if it is missing or its hash is not the manifest's.

        sha256: the file's own, where it is known; otherwise the file is hashed.
        """
        path = self.path
        if not path.is_file() or (sha256 or sha256_of_file(path)) != self.sha256:
            raise DamagedCheckpoint(f"{path} is missing or is not the file that the manifest names.",
                                    remedy=_REMEDY)
        return path


@dataclass(frozen=True, kw_only=True)
class ShippedModel:
    """One model of the manifest: its checkpoint, and its deploy graphs, which run without PyTorch."""

    name: str
    title: str
    scale: int
    licence: str
    checkpoint: ShippedFile
    graph: ShippedFile
    """Takes and returns 8-bit pixels."""
    float_graph: ShippedFile
    """The same network with float pixels, for 16-bit images."""
    int8_graph: ShippedFile | None = None
    """Its convolutions in INT8, with 8-bit pixels."""

    @property
    def files(self) -> tuple[ShippedFile, ...]:
        """All of them."""
        return tuple(filter(None, (self.graph, self.float_graph, self.checkpoint, self.int8_graph)))


@dataclass(frozen=True, kw_only=True)
class _Manifest:
    """`models/manifest.json`."""

    default: str
    models: tuple[ShippedModel, ...]


def default_model() -> str:
    """The name of the model that is used when none is named; raises DamagedCheckpoint for a damaged manifest."""
    return _manifest().default


def shipped_models() -> Mapping[str, ShippedModel]:
    """Every model of the manifest by name; raises DamagedCheckpoint for a damaged manifest."""
    return {model.name: model for model in _manifest().models}


def shipped_with(sha256: str) -> ShippedModel | None:
    """The shipped model that has a file with this hash, if there is one."""
    return next((model for model in _manifest().models
                 if sha256 in [file.sha256 for file in model.files]), None)


def _manifest() -> _Manifest:
    path = models_folder() / MANIFEST
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _damaged(path, error.strerror or str(error)) from error
    return _decoded(content, path)


@lru_cache(maxsize=4)
def _decoded(content: bytes, path: Path) -> _Manifest:
    """Decode the manifest once for each content it has had; the file itself is read again on every call."""
    return decode_json(content, _Manifest, lambda reason: _damaged(path, reason))


def _damaged(path: Path, reason: str) -> DamagedCheckpoint:
    return DamagedCheckpoint(f"{path} is damaged ({reason}): it does not list the shipped models.", remedy=_REMEDY)
