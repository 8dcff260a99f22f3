"""What a user typed for a model, resolved once: which file it is, of what kind, and what is known about it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from types import NoneType

from srn_deploy.errors import GraphError, OptionError, UnknownModel
from srn_deploy.registry.file_content import Content, content_of, holds
from srn_deploy.registry.published import PublishedModel, check_downloaded, published_models, published_with
from srn_deploy.registry.shipped import ShippedFile, ShippedModel, default_model, shipped_models, shipped_with
from srn_deploy.spec import AS_RECOGNISED, SPEC_KEY, Corrections, is_engine, is_graph
from srn_deploy.system.arguments import as_path, check_kind
from srn_deploy.system.hashing import sha256_of_file


class ModelKind(StrEnum):
    """What kind of file a model is."""

    CHECKPOINT = "checkpoint"
    """Weights of PyTorch or safetensors."""
    GRAPH = "graph"
    """ONNX."""
    ENGINE = "engine"
    """A plan of TensorRT or TensorRT-RTX."""


class SpecOrigin(StrEnum):
    """Where the spec of a model comes from."""

    CHECKPOINT = "the checkpoint"
    """Its metadata if it has any, otherwise the names and shapes of its tensors."""
    CORRECTED = "the checkpoint and corrections"
    """The catalogue of published models or the user adds what the checkpoint does not record."""
    GRAPH = "the graph's metadata"
    MANIFEST = "the engine's manifest"


@dataclass(frozen=True, kw_only=True)
class ResolvedModel:
    """One model file and what is known about it. Nothing is computed twice: hand it on instead of its path."""

    path: Path
    kind: ModelKind
    corrections: Corrections = AS_RECOGNISED
    """What holds for a checkpoint: the catalogue's for a published file, and above them the user's."""
    published: PublishedModel | None = None
    """The published model whose place in the cache this is."""

    @cached_property
    def sha256(self) -> str:
        """Hex digest of the file, computed on first use; raises UnknownModel if the file cannot be read."""
        try:
            return sha256_of_file(self.path)
        except OSError as error:
            raise UnknownModel(f"{self.path} cannot be read: {error.strerror}.",
                               remedy="Check the path and its permissions.") from error

    @cached_property
    def shipped(self) -> ShippedModel | None:
        """The shipped model that this file belongs to, by its hash."""
        return shipped_with(self.sha256)

    @cached_property
    def checkpoint(self) -> ResolvedModel | None:
        """The checkpoint behind it: itself, or for a shipped graph its checkpoint; None where it is not known.

        Raises DamagedCheckpoint if the shipped file is missing or damaged.
        """
        if self.kind is ModelKind.CHECKPOINT:
            return self
        return resolve_shipped(self.shipped.checkpoint) if self.kind is ModelKind.GRAPH and self.shipped else None

    @property
    def spec_origin(self) -> SpecOrigin:
        """Where its spec comes from."""
        if self.kind is ModelKind.ENGINE:
            return SpecOrigin.MANIFEST
        if self.kind is ModelKind.GRAPH:
            return SpecOrigin.GRAPH
        return SpecOrigin.CORRECTED if self.corrections.changes_spec else SpecOrigin.CHECKPOINT


Model = str | Path | ResolvedModel | None
"""A name, a path, what either was resolved to, or None for the default model."""


def resolve(model: Model = None, corrections: Corrections = AS_RECOGNISED, *,
            wanted: ModelKind = ModelKind.GRAPH) -> ResolvedModel:
    """Find a model: a file by its path, a shipped or downloaded model by its name, the default model for None.

    A model that is resolved already is returned as it is, whatever the corrections. wanted: for a shipped model's name,
    its GRAPH, which runs without PyTorch, or its CHECKPOINT. A named model is checked against its hash.

    Raises UnknownModel, DamagedCheckpoint, and OptionError for corrections of anything but a checkpoint.
    """
    if isinstance(model, ResolvedModel):
        return model
    check_kind(model, (str, Path, NoneType), "A model", remedy="Give a name or a path, or None for the default model.")
    _check_corrections(corrections)
    if model is not None and os.path.isfile(model):  # noqa: PTH113  # Path.is_file raises for names that are too long
        return resolve_file(model, corrections)
    if model is not None and os.path.isdir(model):  # noqa: PTH112  # as above
        raise UnknownModel(f"{model} is a folder, not a file.", remedy="Give the file in it that has the weights.")
    if (published := published_models().get(str(model))) is not None:
        return resolve_published(published, corrections)
    shipped = _shipped(model)
    file = shipped.checkpoint if wanted is ModelKind.CHECKPOINT else shipped.graph
    return resolve_shipped(file, corrections)


def resolve_file(model: str | Path | ResolvedModel, corrections: Corrections = AS_RECOGNISED) -> ResolvedModel:
    """Resolve the path of a file, never a name; its hash is not looked at.

    Raises UnknownModel where there is no such file, GraphError for a file that is named as a graph and is none,
    OptionError for corrections of anything but a checkpoint.
    """
    if isinstance(model, ResolvedModel):
        return model
    path = as_path(model, "A model")
    _check_corrections(corrections)
    if not os.path.isfile(path):  # noqa: PTH113  # as above
        raise UnknownModel(f"There is no file {path}.", remedy="Check the path.")
    content = _content(path)
    kind = _kind(path, content)
    published = _in_the_place_of(path) if kind is ModelKind.CHECKPOINT else None
    known = AS_RECOGNISED if published is None else published.corrections
    resolved = _corrected(path, kind, known, corrections, published)
    if kind is ModelKind.GRAPH and content.remedy and content not in (Content.TEXT, Content.EMPTY):
        raise GraphError(f"{path} is {content.title}, not an ONNX graph.", remedy=content.remedy)
    return resolved  # text and empty files are refused by ONNX Runtime itself


def resolve_shipped(file: ShippedFile, corrections: Corrections = AS_RECOGNISED) -> ResolvedModel:
    """Resolve a file of a shipped model; raises DamagedCheckpoint if it is missing or not the manifest's."""
    model = _corrected(file.path, kind_of(file.path), AS_RECOGNISED, corrections)
    file.checked_path(model.sha256 if model.path.is_file() else None)
    return model


def resolve_published(published: PublishedModel, corrections: Corrections = AS_RECOGNISED) -> ResolvedModel:
    """Resolve a published model; raises UnknownModel if it was not downloaded, DamagedCheckpoint for another file."""
    model = _corrected(published.path, kind_of(published.path), published.corrections, corrections, published)
    check_downloaded(published, model.sha256 if published.path.is_file() else None)
    return model


def resolve_source(source_sha256: str, *, has_torch: bool) -> ResolvedModel | None:
    """The shipped or published model that artefacts with this `source_sha256` in their spec were made from.

    has_torch: whether a checkpoint can be run; without PyTorch only the graph of a shipped model serves. Raises
    UnknownModel or DamagedCheckpoint where the model is known but its file is missing or damaged.
    """
    if shipped := shipped_with(source_sha256):
        return resolve_shipped(shipped.checkpoint if has_torch else shipped.graph)
    if has_torch and (published := published_with(source_sha256)):
        return resolve_published(next((model for model in published if model.path.is_file()), published[0]))
    return None


def kind_of(path: Path) -> ModelKind:
    """What kind of model file this is: by its content where that says so, otherwise by its name.

    An engine has a manifest next to it, under its name, and is known by that alone.
    """
    return _kind(path, _content(path))


def _content(path: Path) -> Content:
    try:
        return content_of(path)
    except (OSError, ValueError):  # whoever opens it says why it cannot be read
        return Content.UNKNOWN


def _kind(path: Path, content: Content) -> ModelKind:
    if is_engine(path):
        return ModelKind.ENGINE
    if content in (Content.TORCH, Content.SAFETENSORS):
        return ModelKind.CHECKPOINT
    return ModelKind.GRAPH if is_graph(path) or content is Content.ONNX else ModelKind.CHECKPOINT


def _check_corrections(corrections: Corrections) -> None:
    check_kind(corrections, Corrections, "corrections",
               remedy="Give srn_deploy.Corrections(options={...}, value_range=...).")


def _corrected(path: Path, kind: ModelKind, known: Corrections, given: Corrections,
               published: PublishedModel | None = None) -> ResolvedModel:
    if given and (kind is ModelKind.ENGINE or (kind is ModelKind.GRAPH and holds(path, SPEC_KEY.encode()))):
        raise _not_correctable(path.name)
    return ResolvedModel(path=path, kind=kind, corrections=known.corrected_by(given), published=published)


def _in_the_place_of(path: Path) -> PublishedModel | None:
    """The published model whose place in the cache this path is."""
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


def _not_correctable(name: str) -> OptionError:
    """The error for --set, --value-range and --trust on a graph or an engine, which contains its spec."""
    return OptionError(f"{name} cannot be corrected: its network was fixed when it was exported.",
                       remedy="Correct its checkpoint instead, and export it again.")
