"""Reads checkpoint files into networks and writes them. No code in a file is ever executed."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from srn_deploy.architectures import ARCHITECTURES, Architecture, StateDict, detect
from srn_deploy.architectures.torch_file import check_bounded
from srn_deploy.errors import (
    CheckpointError,
    DamagedCheckpoint,
    MismatchedTensors,
    OptionError,
    UnknownNetwork,
    UnsafeCheckpoint,
)
from srn_deploy.registry.resolve import ModelKind, ResolvedModel
from srn_deploy.spec import AS_RECOGNISED, SPEC_KEY, Corrections, ModelSpec, Scalar
from srn_deploy.system.atomic import replacing

SUFFIXES = (".pt", ".pth", ".safetensors")
"""Usual suffixes; the content of a file decides how it is read."""

WRAPPERS = ("params_ema", "params", "ema", "state_dict", "model_state_dict", "model", "network", "net", "generator")
"""Keys under which training programs store the weights; averaged weights first."""

PREFIXES = ("module.", "_orig_mod.", "model.", "network.", "net.", "generator.")
"""Prefixes that DataParallel, torch.compile and training programs put before every key."""

_LFS_POINTER = b"version https://git-lfs"
_ZIP = b"PK\x03\x04"
_TORCH_REASON = re.compile(r"WeightsUnpickler error:\s*(.*)")
_PROGRAM = re.compile(r"GLOBAL ((?:[^\W\d]\w*\.)+[^\W\d]\w*)[ ']")


_EXAMPLES = {"scale": "4"}
"""For the options that a file may not show."""


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadedNetwork:
    """A network in eval mode on the CPU in float32, and its spec."""

    network: nn.Module
    spec: ModelSpec


@dataclass(frozen=True, kw_only=True, eq=False)
class ReadCheckpoint:
    """A checkpoint whose weights fit its network; what its keys do not show has its default, or what the user gave."""

    model: ResolvedModel
    family: Architecture
    state: StateDict
    """The weights in float32, under the family's own keys."""
    spec: ModelSpec
    shown_range: float | None
    """The value range that the metadata or the weights show, whatever the user gave."""
    recorded: bool
    """Whether the file has a spec in its metadata."""

    def loaded(self, spec: ModelSpec | None = None) -> LoadedNetwork:
        """The network with its weights. spec: instead of its own, with other options that no shape depends on."""
        network = self.family.build((spec or self.spec).options)
        network.load_state_dict(self.state)
        return LoadedNetwork(network=network.eval().requires_grad_(False), spec=spec or self.spec)


def load_checkpoint(path: Path, corrections: Corrections = AS_RECOGNISED) -> LoadedNetwork:
    """Load the checkpoint at a path by its metadata, or else by its keys, shapes and the published defaults.

    Nothing is tried: `recognition.load_resolved` also finds out what keys do not show. Raises what `read_checkpoint`
    raises.
    """
    return read_checkpoint(ResolvedModel(path=path, kind=ModelKind.CHECKPOINT), corrections).loaded()


def read_checkpoint(model: ResolvedModel, corrections: Corrections) -> ReadCheckpoint:
    """Read a checkpoint and recognise its network by its metadata or its keys; corrections hold above both.

    Raises a CheckpointError for the file, OptionError for a correction that the network does not know.
    """
    path, given = model.path, corrections.options
    state, recorded = _read(path)
    family = detect(state) if recorded is None else ARCHITECTURES[recorded.architecture]
    if recorded is None:
        state, told = _recognised(family, state, given, path)
    else:
        told = recorded.options
    options = {**told, **given}
    _check_fit(family, options, state, path)
    spec = family.describe(options)
    range_told = family.read_value_range(state) if recorded is None else recorded.value_range
    spec = replace(spec, value_range=corrections.value_range or range_told or spec.value_range,
                   source_sha256=model.sha256, licence="" if recorded is None else recorded.licence,
                   recognised="" if recorded is None else recorded.recognised)
    return ReadCheckpoint(model=model, family=family, state=_single_precision(state, path), spec=spec,
                          shown_range=range_told, recorded=recorded is not None)


def save_checkpoint(path: Path, network: nn.Module, *, architecture: str, options: Mapping[str, Any],
                    value_range: float, licence: str = "") -> ModelSpec:
    """Write weights and spec as .safetensors, complete or not at all; returns the spec. Raises CheckpointError."""
    spec = replace(ARCHITECTURES[architecture].describe(options), value_range=value_range, licence=licence)
    tensors = {key: value.detach().cpu().contiguous() for key, value in network.state_dict().items()}
    try:
        with replacing(path) as temporary:
            safetensors.torch.save_file(tensors, temporary, metadata={SPEC_KEY: spec.to_json()})
            temporary.chmod(0o644)  # safetensors makes files that only their owner can read
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise CheckpointError(f"{path} cannot be written: {error}.",
                              remedy="Check the folder, its permissions and the free space.") from error
    return spec


def _read(path: Path) -> tuple[StateDict, ModelSpec | None]:
    """The weights under their keys without prefixes, and the spec if the file has one."""
    try:
        with path.open("rb") as file:
            head = file.read(64)
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL character
        reason = error.strerror if isinstance(error, OSError) else error
        raise CheckpointError(f"{path} cannot be read: {reason}.",
                              remedy="Check the path and its permissions.") from error
    if head.startswith(_LFS_POINTER):
        raise DamagedCheckpoint(f"{path} is a Git-LFS pointer, not the weights themselves.",
                                remedy="Run `git lfs pull` where it came from, or download the file itself.")
    # A safetensors file begins with the length of its header, 8 bytes, and the header, which is JSON.
    if head[8:9] == b"{" or (path.suffix.lower() == ".safetensors" and not head.startswith(_ZIP)):
        return _read_safetensors(path)
    return _bare(_unwrapped(_read_pickle(path, head), path), path), None


def _read_safetensors(path: Path) -> tuple[StateDict, ModelSpec | None]:
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(SPEC_KEY)
        state = safetensors.torch.load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError, KeyError, RuntimeError) as error:
        raise DamagedCheckpoint(f"{path} is not a complete safetensors file ({error}).",
                                remedy="Download or save it again.") from error
    return _bare(state, path), None if text is None else _recorded_spec(text, path)


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


def _read_pickle(path: Path, head: bytes) -> object:
    """Read a file with torch's restricted unpickler, which refuses everything but tensors and plain containers."""
    is_zip = head.startswith(_ZIP)
    check_bounded(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle protocols and TorchScript; what matters raises
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if program := _PROGRAM.search(str(error)):
            raise UnsafeCheckpoint(
                f"{path} holds a pickled program (it asks for {program[1]}), not only weights; it was not run.",
                remedy="If you trust it: load it in a sandbox with its own code and save "
                       "module.state_dict() with torch.save.") from error
        raise _not_weights(path, error) from error
    except Exception as error:  # damaged files make torch raise exceptions of any type
        if "TorchScript" in str(error):
            raise UnsafeCheckpoint(f"{path} is a TorchScript program, not a weights file; it was not run.",
                                   remedy="Save module.state_dict() with torch.save and use that file.") from error
        raise (_truncated(path) if is_zip or isinstance(error, EOFError) else _not_weights(path, error)) from error


def _truncated(path: Path) -> DamagedCheckpoint:
    return DamagedCheckpoint(f"{path} is truncated or damaged ({path.stat().st_size} bytes).",
                             remedy="Download or copy it again and compare its size.")


def _not_weights(path: Path, error: Exception) -> DamagedCheckpoint:
    told = _TORCH_REASON.search(str(error))
    reason = told[1] if told else (str(error).splitlines() or [""])[0]
    return DamagedCheckpoint(
        f"{path} is not a PyTorch weights file, or is damaged ({reason[:120] or type(error).__name__}).",
        remedy=f"Give a complete file that torch.save or safetensors wrote ({', '.join(SUFFIXES)}).")


def _unwrapped(found: object, path: Path) -> StateDict:
    """The innermost state dict of what a training program saved."""
    opened: list[object] = []
    while isinstance(found, Mapping) and not any(found is one for one in opened):
        opened.append(found)  # a file may contain itself
        wrapper = next((key for key in WRAPPERS if isinstance(found.get(key), Mapping)), None)
        if wrapper is not None:
            found = found[wrapper]
        elif tensors := _tensors(found):
            return tensors
    keys = [key for key in found if isinstance(key, str)] if isinstance(found, Mapping) else []
    raise UnknownNetwork(f"{path} has no named tensors: it is of type {type(found).__name__}, "
                         f"with keys {', '.join(keys[:4]) or '(none)'}.",
                         remedy="Save module.state_dict() with torch.save and use that file.")


def _tensors(found: Mapping[object, object]) -> dict[str, Tensor]:
    return {key: value for key, value in found.items() if isinstance(key, str) and isinstance(value, Tensor)}


def _bare(state: StateDict, path: Path) -> StateDict:
    """The state without prefixes that all keys share; raises DamagedCheckpoint for tensors that are not plain."""
    while prefix := next((one for one in PREFIXES if state and all(key.startswith(one) for key in state)), ""):
        state = {key.removeprefix(prefix): value for key, value in state.items()}
    for key, value in state.items():
        if value.layout is not torch.strided or value.device.type != "cpu" or value.is_quantized:
            raise DamagedCheckpoint(f"{path}: {key} is not stored as plain numbers.",
                                    remedy="Save dense, unquantised weights, moved to the CPU.")
    return {key: value.detach() for key, value in state.items()}


def _recognised(family: Architecture, state: StateDict, given: Mapping[str, Any],
                path: Path) -> tuple[StateDict, Mapping[str, Scalar]]:
    """The weights under the family's own keys, and the options that keys and shapes show.

    Raises MismatchedTensors where these are impossible, OptionError where they are not enough.
    """
    try:
        own = family.own_form(state, given)
        told = family.read_options(own)
        settled = {**told, **{name: given[name] for name in family.unknown_options if name in given}}
        missing = next((name for name in family.unknown_options if name not in settled), None)
        if missing is None:
            family.describe(settled)
    except OptionError as error:
        raise MismatchedTensors(f"{path} looks like {family.title}, but its tensors have impossible shapes. "
                                f"{error.message}", remedy="The file is damaged, or the network differs.") from error
    if missing is not None:
        raise OptionError(f"{path} is {family.title}: its file serves more than one {missing} and does not say which.",
                          remedy=f"Give it: --set {missing}={_EXAMPLES.get(missing, 'VALUE')}.")
    return own, told


def _check_fit(family: Architecture, options: Mapping[str, Any], state: StateDict, path: Path) -> None:
    """Raise MismatchedTensors with the first names of each kind, before any memory is spent on the network."""
    with torch.device("meta"):
        wanted = family.build(options).state_dict()
    missing = [key for key in wanted if key not in state]
    surplus = [key for key in state if key not in wanted]
    misshapen = [f"{key} is {_described(state[key])} instead of {_described(wanted[key])}" for key in wanted
                 if key in state and not _alike(state[key], wanted[key])]
    if missing or surplus or misshapen:
        parts = [f"{title}: {', '.join(names[:3])}{' …' if len(names) > 3 else ''}" for title, names in
                 (("missing", missing), ("left over", surplus), ("misshapen", misshapen)) if names]
        raise MismatchedTensors(f"{path} looks like {family.title}, but does not fit. {'; '.join(parts)}.",
                                remedy="The file is damaged, or the network differs: correct an option with "
                                       "--set, or add the network (CONTRIBUTING.md).")


def _alike(found: Tensor, wanted: Tensor) -> bool:
    """Whether the shapes are equal and both or neither are floating point, of any width."""
    return found.shape == wanted.shape and found.is_floating_point() == wanted.is_floating_point()


def _described(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


def _single_precision(state: StateDict, path: Path) -> dict[str, Tensor]:
    """The weights in float32; raises DamagedCheckpoint for values that are not finite.

    Call it only after the shapes are checked: a small file can claim tensors of any size.
    """
    for key, value in state.items():
        if not torch.isfinite(value).all():
            raise DamagedCheckpoint(f"{path}: {key} has values that are not finite.",
                                    remedy="Download it again; if the original is the same, its training has diverged.")
    return {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
