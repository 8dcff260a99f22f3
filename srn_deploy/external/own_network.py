"""A network of the user's own class: made, measured, and given its weights as strictly as any other."""

from __future__ import annotations

import copy
import logging
import sys
from collections.abc import Mapping, Set
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import nn

from srn_deploy.architectures import ARCHITECTURES
from srn_deploy.architectures.checkpoint import LoadedNetwork
from srn_deploy.architectures.recognition.recognise import load_resolved
from srn_deploy.architectures.signature import Architecture, OtherForm, Signature, StateDict
from srn_deploy.architectures.weights.file import read_weights_file
from srn_deploy.architectures.weights.fit import check_fit
from srn_deploy.architectures.weights.sets import search
from srn_deploy.errors import (
    BackendError,
    CheckpointError,
    MismatchedTensors,
    OptionError,
    UnknownNetwork,
    UnsuitableNetwork,
)
from srn_deploy.external.network_class import classes_in, construct, load_class
from srn_deploy.external.network_run import NetworkRun, OwnLuma
from srn_deploy.external.request import printable
from srn_deploy.external.source_files import NetworkSource
from srn_deploy.measurement.sizes import Sizes, measure_sizes
from srn_deploy.registry.resolve import ModelKind, ResolvedModel
from srn_deploy.spec import Colour, Corrections, ModelSpec, Scalar

_log = logging.getLogger(__name__)

_LUMA_RANGE = "luma_range"

RANGES = (1.0, 255.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class OwnNetwork:
    """A network that was made of the user's class, and what running it with random weights showed."""

    source: NetworkSource
    network: nn.Module
    """With random weights."""
    settings: Mapping[str, Scalar]
    channels: int
    """3 for RGB, 1 for luma."""
    sizes: Sizes
    digest: str
    """Of its source files."""

    @cached_property
    def name(self) -> str:
        """Of the architecture, in specs."""
        return printable(self.source.class_name)

    @property
    def is_luma(self) -> bool:
        """Whether it takes luma alone."""
        return self.channels == 1

    def family(self) -> Architecture:
        """The network as a family of which it is the only one, so that its checkpoint is read like any other."""
        keys = tuple(self.network.state_dict())
        own = tuple(f"network.{key}" for key in keys) if self.is_luma else keys
        bare = Signature(required=keys[:1])
        return Architecture(
            name=self.name, title=self.source.title, signature=Signature(required=own[:1]),
            read_options=lambda state: self.options(), build=self.build, describe=self.describe,
            open_options={_LUMA_RANGE: RANGES} if self.is_luma else {},
            value_ranges=() if self.is_luma else RANGES, own_keys=frozenset({*keys, *own}),
            other_forms=(OtherForm(signature=bare, converted=_under_network),) if self.is_luma else ())

    def options(self) -> dict[str, Scalar]:
        """For the spec: the settings of the class, and for luma its range."""
        return {**self.settings, **({_LUMA_RANGE: 1.0} if self.is_luma else {})}

    def build(self, options: Mapping[str, Any]) -> nn.Module:
        """A fresh network, with random weights."""
        try:
            network = copy.deepcopy(self.network)
        except RuntimeError:  # it keeps tensors that it computed of its parameters
            network = construct(load_class(self.source), self.settings, self.source.title)
        return OwnLuma(network, self.sizes.scale, float(options[_LUMA_RANGE])) if self.is_luma else network

    def describe(self, options: Mapping[str, Any]) -> ModelSpec:
        """Its spec, before anything is known of its tiles."""
        return ModelSpec(
            architecture=self.name, options=dict(options), scale=self.sizes.scale, value_range=1.0,
            min_side_px=self.sizes.min_side_px, size_multiple_px=self.sizes.size_multiple_px,
            colour=Colour.Y if self.is_luma else Colour.RGB, origin=self.source.title)


def _under_network(state: StateDict, given: Mapping[str, Any]) -> StateDict:
    """The keys as `OwnLuma` has them."""
    return {f"network.{key}": tensor for key, tensor in state.items()}


def make_network(source: NetworkSource, settings: Mapping[str, Scalar], digest: str) -> OwnNetwork:
    """Import the class, make the network, and find out by running it what sizes it takes.

    Raises OptionError for the file, the class and its arguments, and what running it raises.
    """
    network = construct(load_class(source), settings, source.title)
    if not network.state_dict():
        raise OptionError(f"{source.title} has no weights.", remedy="Name the class of the whole network.")
    run = NetworkRun(network, source.title)
    channels, sizes = _measured(run)
    _log.info("%s enlarges %s by %d, from %d px a side on%s", source.title,
              "luma" if channels == 1 else "RGB", sizes.scale, sizes.min_side_px,
              f", in multiples of {sizes.size_multiple_px} px" if sizes.size_multiple_px > 1 else "")
    return OwnNetwork(source=source, network=network, settings=settings, channels=channels, sizes=sizes,
                      digest=digest)


def _measured(run: NetworkRun) -> tuple[int, Sizes]:
    """The channels and the sizes; luma is tried where RGB is not taken at all."""
    try:
        return 3, measure_sizes(run, 3)
    except (BackendError, UnsuitableNetwork) as error:
        try:
            return 1, measure_sizes(run, 1)
        except (BackendError, UnsuitableNetwork):
            raise error from None


def load_own(own: OwnNetwork, checkpoint: Path, corrections: Corrections) -> LoadedNetwork:
    """Load the weights strictly, and find the value range by trying.

    corrections: value range, weights and trust. Raises a CheckpointError, MismatchedTensors among them, which names the
    keys and a class of the same file that fits better.
    """
    model = ResolvedModel(path=checkpoint, kind=ModelKind.CHECKPOINT, corrections=corrections)
    with ARCHITECTURES.alone(own.family(), own.digest):
        try:
            return load_resolved(model)
        except (MismatchedTensors, UnknownNetwork) as error:
            raise _named_better(own, checkpoint, error) from error


def _named_better(own: OwnNetwork, checkpoint: Path, error: CheckpointError) -> CheckpointError:
    """The error with the keys that do not fit, and the class of the same file that the weights fit better."""
    contents = search(read_weights_file(checkpoint).found)
    state = max((one.state for one in contents.sets), key=len, default={})
    message = error.message
    if isinstance(error, UnknownNetwork) and state:
        try:
            check_fit(own.family(), own.options(), own.family().own_form(state, {}), str(checkpoint))
        except MismatchedTensors as precise:
            message = precise.message
    nearest = _nearest_class(own, set(state))
    remedy = f"They fit {nearest} better: --network {own.source.file.name}:{nearest}" if nearest else \
        "They are of another class, or of one with other arguments: give those with --set NAME=VALUE."
    return MismatchedTensors(message, remedy=remedy)


def _nearest_class(own: OwnNetwork, found: Set[str]) -> str:
    """The name of another class of the file that shares more keys with the weights; empty where there is none."""
    most, nearest = len(found & own.network.state_dict().keys()), ""
    for name, kind in classes_in(sys.modules[own.source.module]):
        try:
            keys = kind().state_dict().keys()
        except Exception as error:  # noqa: BLE001  # code of the user may raise anything
            _log.debug("%s cannot be made without arguments: %s.", name, error)
            continue
        if len(found & keys) > most:
            most, nearest = len(found & keys), name
    return nearest
