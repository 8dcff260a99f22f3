"""Where models lie: shipped ones beside the package, however it is installed; pulled ones in the user's cache."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from srn_deploy.errors import DamagedCheckpoint, UnknownModel
from srn_deploy.registry.published import PublishedModel, published_models
from srn_deploy.spec import AS_RECOGNISED, Corrections
from srn_deploy.system.hashing import sha256_of_file

MANIFEST = "manifest.json"

_FOLDERS = ("srn_deploy_models", "models")
"""Beside the package: what a wheel installs, and what a checkout holds. Never both."""


_REMEDY = "Install srn-deploy anew, or restore the file from its repository."


def models_folder() -> Path:
    """The folder with the manifest, the checkpoints and the graphs; raises UnknownModel if it is not there."""
    home = Path(__file__).resolve().parents[2]
    for name in _FOLDERS:
        if (home / name / MANIFEST).is_file():
            return home / name
    raise UnknownModel(f"The shipped models are not beside the package ({home}).",
                       remedy="The installation is incomplete: install srn-deploy anew, or give the path of a model.")


@dataclass(frozen=True, kw_only=True)
class ShippedFile:
    """One file of a shipped model."""

    name: str
    sha256: str

    def checked_path(self) -> Path:
        """Where it lies; raises DamagedCheckpoint unless it is there and whole."""
        path = models_folder() / self.name
        if not path.is_file() or sha256_of_file(path) != self.sha256:
            raise DamagedCheckpoint(f"{path} is missing or is not the file that the manifest names.",
                                    remedy=_REMEDY)
        return path


@dataclass(frozen=True, kw_only=True)
class ShippedModel:
    """One model of the manifest: the checkpoint, and the deploy graphs that run without PyTorch."""

    name: str
    title: str
    scale: int
    licence: str
    checkpoint: ShippedFile
    graph: ShippedFile
    """Takes and gives 8-bit pixels."""
    float_graph: ShippedFile
    """The same with float pixels, for pictures of 16 bits."""


def default_model() -> str:
    """The name of the model that is taken when none is named."""
    with _as_damage():
        return str(_manifest()["default"])


def shipped_models() -> Mapping[str, ShippedModel]:
    """Every model of the manifest by name."""
    with _as_damage():
        return {entry["name"]: ShippedModel(**{
            **entry, **{kind: ShippedFile(**entry[kind]) for kind in ("checkpoint", "graph", "float_graph")}})
            for entry in _manifest()["models"]}


def shipped_with(sha256: str) -> ShippedModel | None:
    """The shipped model one of whose files has this hash."""
    return next((model for model in shipped_models().values()
                 if sha256 in (model.checkpoint.sha256, model.graph.sha256, model.float_graph.sha256)), None)


class State(StrEnum):
    """Of a published model on this machine."""

    ABSENT = "absent"
    PULLED = "pulled"
    DAMAGED = "damaged"
    """A file lies in its place that is not the pinned one."""


def state_of(model: PublishedModel) -> State:
    """Its file is read to the end to tell."""
    path = model.path
    if not path.is_file():
        return State.ABSENT
    return State.PULLED if sha256_of_file(path) == model.sha256 else State.DAMAGED


def find_graph(name_or_path: str | Path | None = None) -> Path:
    """The artefact to run: a file as given, a shipped model's deploy graph or a pulled checkpoint by name, or the
    default's."""
    return _file(name_or_path) or _pulled(name_or_path) or _shipped(name_or_path).graph.checked_path()


def find_checkpoint(name_or_path: str | Path | None = None) -> Path:
    """The checkpoint to export: a file as given, a shipped or pulled model's by name, or the default's."""
    return _file(name_or_path) or _pulled(name_or_path) or _shipped(name_or_path).checkpoint.checked_path()


def corrections_for(name_or_path: str | Path | None, given: Corrections = AS_RECOGNISED) -> Corrections:
    """What to tell of a model when its file is opened: of a pulled one what the catalogue knows, by its name or by the
    path of its file; above that what the user gives."""
    path = _file(name_or_path)
    model = published_models().get(str(name_or_path)) if path is None else _lying_at(path)
    return given if model is None else model.corrections.corrected_by(given)


def pulled_with(sha256: str) -> tuple[PublishedModel, ...]:
    """The published models whose file has this hash, pulled or not."""
    return tuple(model for model in published_models().values() if model.sha256 == sha256)


def checked_pulled(model: PublishedModel) -> Path:
    """Where a published model lies; raises UnknownModel where it was not pulled, DamagedCheckpoint for another file."""
    state = state_of(model)
    if state is State.ABSENT:
        raise UnknownModel(f"{model.name} is known, but not on this machine ({model.path}).",
                           remedy=f"Fetch it with `srn-deploy models pull {model.name}`.")
    if state is State.DAMAGED:
        raise DamagedCheckpoint(f"{model.path} is not the file that the catalogue names.",
                                remedy=f"Fetch it again with `srn-deploy models pull {model.name}`.")
    return model.path


def _file(name_or_path: str | Path | None) -> Path | None:
    is_file = name_or_path is not None and os.path.isfile(name_or_path)  # noqa: PTH113  # never raises
    return Path(str(name_or_path)) if is_file else None


def _pulled(name: str | Path | None) -> Path | None:
    model = published_models().get(str(name))
    return None if model is None else checked_pulled(model)


def _lying_at(path: Path) -> PublishedModel | None:
    """The published model whose place this is."""
    return next((model for model in published_models().values() if model.path.name == path.name
                 and os.path.realpath(model.path) == os.path.realpath(path)), None)


def _shipped(name: str | Path | None) -> ShippedModel:
    models = shipped_models()
    try:
        return models[default_model() if name is None else str(name)]
    except KeyError as error:
        raise UnknownModel(f"There is no file and no model {str(name)!r}.",
                           remedy=f"Shipped are: {', '.join(models)}. Known, to be pulled: "
                                  f"{', '.join(published_models())}. Or give the path of a file.") from error


@contextmanager
def _as_damage() -> Iterator[None]:
    """What a manifest raises that cannot be read, or is none, as DamagedCheckpoint."""
    try:
        yield
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedCheckpoint(f"{models_folder() / MANIFEST} is damaged: it does not name the shipped models.",
                                remedy=_REMEDY) from error


def _manifest() -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((models_folder() / MANIFEST).read_text(encoding="utf-8"))
    return manifest
