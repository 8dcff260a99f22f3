"""Reads checkpoint files into networks and writes them. No code in a file is ever executed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import nn

from srn_deploy.architectures import ARCHITECTURES, Architecture, StateDict
from srn_deploy.architectures.weights.choice import Chosen, choose
from srn_deploy.architectures.weights.file import read_weights_file
from srn_deploy.architectures.weights.fit import check_fit, single_precision
from srn_deploy.architectures.weights.sets import search
from srn_deploy.errors import CheckpointError, OptionError
from srn_deploy.registry.resolve import ModelKind, ResolvedModel
from srn_deploy.spec import AS_RECOGNISED, SPEC_KEY, Corrections, ModelSpec, Scalar
from srn_deploy.system.atomic import replacing


@dataclass(frozen=True, kw_only=True, eq=False)
class LoadedNetwork:
    """A network in eval mode on the CPU in float32, and its spec."""

    network: nn.Module
    spec: ModelSpec
    weights: str = ""
    """Which weights of the file it has, and of how many; empty where the file has one set without a name."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Weights:
    """The weights of a file under their family's own keys, and what is known about them."""

    family: Architecture
    state: StateDict
    told: Mapping[str, Scalar]
    """The options that the metadata, or else keys and shapes, show."""
    recorded: ModelSpec | None = None
    chosen: Chosen | None = None
    """None where the metadata say what the file is."""


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
    weights: str
    """As in `LoadedNetwork`."""

    def loaded(self, spec: ModelSpec | None = None) -> LoadedNetwork:
        """The network with its weights. spec: instead of its own, with other options that no shape depends on."""
        network = self.family.build((spec or self.spec).options)
        network.load_state_dict(self.state)
        return LoadedNetwork(network=network.eval().requires_grad_(False), spec=spec or self.spec, weights=self.weights)


def load_checkpoint(path: Path, corrections: Corrections = AS_RECOGNISED) -> LoadedNetwork:
    """Load the checkpoint at a path by its metadata, or else by its keys, shapes and the published defaults.

    Nothing is tried: `recognition.load_resolved` also finds out what keys do not show. Raises what `read_checkpoint`
    raises.
    """
    return read_checkpoint(ResolvedModel(path=path, kind=ModelKind.CHECKPOINT), corrections).loaded()


def read_checkpoint(model: ResolvedModel, corrections: Corrections) -> ReadCheckpoint:
    """Read a checkpoint and recognise its network by its metadata or its keys; corrections hold above both.

    Raises a CheckpointError for the file, OptionError for a correction that the network does not know and for weights
    that are not there.
    """
    path = model.path
    read = _read(path, corrections)
    family, recorded, options = read.family, read.recorded, {**read.told, **corrections.options}
    if read.chosen is None:  # what was chosen fits
        check_fit(family, options, read.state, str(path))
    spec = family.describe(options)
    range_told = family.read_value_range(read.state) if recorded is None else recorded.value_range
    spec = replace(spec, value_range=corrections.value_range or range_told or spec.value_range,
                   weights=read.chosen.name if read.chosen and len(read.chosen.names) > 1 else "",
                   source_sha256=model.sha256, licence="" if recorded is None else recorded.licence,
                   recognised="" if recorded is None else recorded.recognised)
    return ReadCheckpoint(model=model, family=family, state=single_precision(read.state, str(path)), spec=spec,
                          shown_range=range_told, recorded=recorded is not None,
                          weights=read.chosen.summary if read.chosen else "")


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


def _read(path: Path, corrections: Corrections) -> _Weights:
    """The weights that are taken, by the spec in a file's metadata or else by the network that fits them."""
    content = read_weights_file(path)
    contents, recorded = search(content.found), content.recorded
    if recorded is None:
        chosen = choose(contents, corrections, str(path))
        known = chosen.recognised
        return _Weights(family=known.family, state=known.state, told=known.told, chosen=chosen)
    if corrections.weights is not None:
        raise OptionError(f"{path} has no weights called {corrections.weights!r}.",
                          remedy="It has one set, which has no name: leave --weights out.")
    return _Weights(family=ARCHITECTURES[recorded.architecture], told=recorded.options, recorded=recorded,
                    state=contents.sets[0].state if contents.sets else {})
