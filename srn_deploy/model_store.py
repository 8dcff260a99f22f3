"""Where the shipped models lie: the same files from a checkout, an editable installation and a wheel."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from srn_deploy.errors import DamagedCheckpoint, UnknownModel

MANIFEST = "manifest.json"

_FOLDERS = ("srn_deploy_models", "models")
"""Beside the package: what a wheel installs, and what a checkout holds. Never both."""


def models_folder() -> Path:
    """The folder with the manifest, the checkpoints and the graphs; raises UnknownModel if it is not there."""
    home = Path(__file__).resolve().parent.parent
    for name in _FOLDERS:
        if (home / name / MANIFEST).is_file():
            return home / name
    raise UnknownModel(f"The shipped models are not beside the package ({home}).",
                       remedy="The installation is incomplete: install srn-deploy anew, or give the path of a model.")


def sha256_of_file(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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
                                    remedy="Install srn-deploy anew, or restore the file from its repository.")
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
    return str(_manifest()["default"])


def shipped_models() -> Mapping[str, ShippedModel]:
    """Every model of the manifest by name."""
    return {entry["name"]: ShippedModel(**{
        **entry, **{kind: ShippedFile(**entry[kind]) for kind in ("checkpoint", "graph", "float_graph")}})
        for entry in _manifest()["models"]}


def find_graph(name_or_path: str | Path | None = None) -> Path:
    """The artefact to run: a file as given, a shipped model's deploy graph by name, or the default's."""
    return _file(name_or_path) or _shipped(name_or_path).graph.checked_path()


def find_checkpoint(name_or_path: str | Path | None = None) -> Path:
    """The checkpoint to export: a file as given, a shipped model's by name, or the default's."""
    return _file(name_or_path) or _shipped(name_or_path).checkpoint.checked_path()


def _file(name_or_path: str | Path | None) -> Path | None:
    is_file = name_or_path is not None and os.path.isfile(name_or_path)  # noqa: PTH113  # never raises
    return Path(str(name_or_path)) if is_file else None


def _shipped(name: str | Path | None) -> ShippedModel:
    models = shipped_models()
    try:
        return models[default_model() if name is None else str(name)]
    except KeyError as error:
        raise UnknownModel(f"There is no file and no shipped model {str(name)!r}.",
                           remedy=f"Shipped are: {', '.join(models)}. Or give the path of a file.") from error


def _manifest() -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((models_folder() / MANIFEST).read_text(encoding="utf-8"))
    return manifest
