"""Published checkpoints that can be pulled by name: where they lie, what they must be, what their files do not tell."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from srn_deploy.errors import DamagedCheckpoint
from srn_deploy.spec import Corrections
from srn_deploy.system.cache import pulled_folder

CATALOGUE = Path(__file__).with_name("published_models.json")


@dataclass(frozen=True, kw_only=True)
class PublishedModel:
    """One checkpoint of others, pinned by its hash."""

    name: str
    title: str
    architecture: str
    scale: int
    url: str
    """Of one commit, so that it never means another file."""
    sha256: str
    size_bytes: int
    licence: str
    """As its repository states it; "none stated" where it does not."""
    source: str
    """The page of its repository."""
    value_range: float
    """The range the weights were trained in, which no file tells."""
    settings: tuple[str, ...]
    """What else the file does not tell, each as name=value."""
    note: str
    """What its user must know; may be empty."""

    @property
    def path(self) -> Path:
        """Where it lies once it is pulled: named after the model, not after its authors' file."""
        return pulled_folder() / f"{self.name}{PurePosixPath(self.url).suffix}"

    @property
    def corrections(self) -> Corrections:
        """What is to be told when its file is opened."""
        return Corrections.parse(self.settings, self.value_range)


def published_models() -> Mapping[str, PublishedModel]:
    """Every model of the catalogue by name; raises DamagedCheckpoint for a catalogue that is none."""
    try:
        entries = json.loads(CATALOGUE.read_text(encoding="utf-8"))["models"]
        return {entry["name"]: PublishedModel(**{**entry, "settings": tuple(entry["settings"])}) for entry in entries}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedCheckpoint(f"{CATALOGUE} is damaged: it does not name the published models.",
                                remedy="Install srn-deploy anew, or restore the file from its repository.") from error
