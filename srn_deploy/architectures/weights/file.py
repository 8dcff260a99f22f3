"""What a checkpoint file holds, whatever its name: safetensors, torch.save, or by its content why it is not read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import safetensors
import safetensors.torch

from srn_deploy.architectures import ARCHITECTURES
from srn_deploy.architectures.weights.sets import search
from srn_deploy.architectures.weights.torch_file import TorchFile, read_torch_file
from srn_deploy.errors import (
    CheckpointError,
    DamagedCheckpoint,
    OptionError,
    UnknownNetwork,
    UnsafeCheckpoint,
    UnsupportedCheckpoint,
)
from srn_deploy.image.containers.foreign import foreign
from srn_deploy.registry.file_content import HEAD_BYTES, Content, content_of, members
from srn_deploy.spec import SPEC_KEY, ModelSpec

SUFFIXES = (".pt", ".pth", ".safetensors")
"""Usual suffixes; the content of a file decides how it is read."""

_PROGRAMS = {Content.TORCHSCRIPT, Content.EXPORTED_PROGRAM, Content.TORCH_PACKAGE}
_INCOMPLETE = {Content.EMPTY, Content.LFS_POINTER}


@dataclass(frozen=True, kw_only=True, eq=False)
class FileContent:
    """What a file holds: mappings, lists, tensors and placeholders."""

    found: object
    recorded: ModelSpec | None
    """The spec in its metadata, if it has one."""


def read_weights_file(path: Path) -> FileContent:
    """Read a checkpoint by its content. Raises a CheckpointError that says what the file is where it is not read."""
    try:
        kind = content_of(path)
        if kind is Content.UNKNOWN and path.suffix.lower() == ".safetensors":
            _check_no_image(path)
            kind = Content.SAFETENSORS
        if kind is Content.SAFETENSORS:
            return _read_safetensors(path)
        if kind in (Content.TORCH, Content.PICKLE, Content.UNKNOWN, Content.TEXT):
            return FileContent(found=_read_pickled(path, kind), recorded=None)
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL character
        reason = error.strerror if isinstance(error, OSError) else error
        raise CheckpointError(f"{path} cannot be read: {reason}.",
                              remedy="Check the path and its permissions.") from error
    raise _not_read(path, kind)


def _not_read(path: Path, kind: Content) -> CheckpointError:
    """The error for a file that is whole and of a kind that is not read."""
    inside = members(path, kind)[:4]
    title = f"{kind.title} with {', '.join(inside)}" if inside else kind.title
    if kind in _INCOMPLETE:
        return DamagedCheckpoint(f"{path} is {title}.", remedy=kind.remedy)
    if kind in _PROGRAMS:
        return UnsafeCheckpoint(f"{path} is {title}; it was not run.", remedy=kind.remedy)
    remedy = (kind.remedy or "Give the checkpoint that it was made from.").replace("FILE", str(path))
    return UnsupportedCheckpoint(f"{path} is {title}, not a checkpoint.", remedy=remedy)


def _read_pickled(path: Path, kind: Content) -> object:
    """The content of a file of torch.save; what is not such a file, or asks for a call, is refused."""
    try:
        file = read_torch_file(path)
    except DamagedCheckpoint:
        if kind is Content.TEXT:
            raise _not_read(path, kind) from None
        if kind is Content.UNKNOWN:
            raise _not_weights(path) from None
        raise
    _check_only_values(path, file)
    if kind is not Content.TORCH and not search(file.content).sets:
        raise UnsafeCheckpoint(f"{path} is {Content.PICKLE.title}; it was not run.", remedy=Content.PICKLE.remedy)
    return file.content


def _check_only_values(path: Path, file: TorchFile) -> None:
    """Raise UnsafeCheckpoint for a file that is a program, whatever weights are in it."""
    if file.programs:
        raise UnsafeCheckpoint(
            f"{path} holds a pickled program (it asks for {', '.join(file.programs[:3])}), not only weights; "
            "it was not run.",
            remedy="If you trust it: load it in a sandbox with its own code and save module.state_dict() with "
                   "torch.save.")


def _check_no_image(path: Path) -> None:
    """Raise UnsupportedCheckpoint for what the image packages know by name."""
    with path.open("rb") as file:
        image = foreign(file.read(HEAD_BYTES), path)
    if image is not None:
        raise UnsupportedCheckpoint(image.message, remedy="Give the file with the weights.")


def _not_weights(path: Path) -> CheckpointError:
    _check_no_image(path)
    return DamagedCheckpoint(
        f"{path} is not a PyTorch weights file, or is damaged: nothing in it says what it is "
        f"({path.stat().st_size} bytes).",
        remedy=f"Give a complete file that torch.save or safetensors wrote ({', '.join(SUFFIXES)}).")


def _read_safetensors(path: Path) -> FileContent:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(SPEC_KEY)
        state = safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError, KeyError, RuntimeError) as error:
        raise DamagedCheckpoint(f"{path} is not a complete safetensors file ({error}).",
                                remedy="Download or save it again.") from error
    return FileContent(found=state, recorded=None if text is None else _recorded_spec(text, path))


def _recorded_spec(text: str, path: Path) -> ModelSpec:
    """The spec in a file's metadata; raises DamagedCheckpoint or UnknownNetwork if it cannot be used."""
    try:
        spec = ModelSpec.from_json(text)
        if spec.architecture in ARCHITECTURES:
            ARCHITECTURES[spec.architecture].describe(spec.options)
            return replace(spec, value_range=float(spec.value_range), licence=str(spec.licence))
    except (OptionError, TypeError, ValueError, RecursionError) as error:
        raise DamagedCheckpoint(f"{path} has an invalid spec ({str(error).splitlines()[0][:160]}).",
                                remedy="Download it again, or save it again with the program that made it.") from error
    raise UnknownNetwork(f"{path} says it is {spec.architecture!r}, which this version does not know.",
                         remedy=f"Known: {', '.join(ARCHITECTURES)}. A newer srn-deploy may know more.")
