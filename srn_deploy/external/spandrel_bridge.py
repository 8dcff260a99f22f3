"""Offers a checkpoint to spandrel, which knows some fifty networks by their keys: only in a bounded process.

The file is read as any other here, so nothing in it is executed; spandrel sees the tensors alone. It has no networks
whose code has a licence against commercial use: those are in a package of its own, which is never asked.
"""

from __future__ import annotations

import importlib
import logging
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from srn_deploy.architectures.checkpoint import LoadedNetwork
from srn_deploy.architectures.weights.choice import choose
from srn_deploy.architectures.weights.file import read_weights_file
from srn_deploy.architectures.weights.fit import single_precision
from srn_deploy.architectures.weights.sets import Contents, WeightSet, groups, search
from srn_deploy.errors import CheckpointError, MismatchedTensors, OptionError, UnknownNetwork, UnsuitableNetwork
from srn_deploy.external.network_class import in_one_line
from srn_deploy.external.network_run import NetworkRun, OwnLuma
from srn_deploy.external.request import printable
from srn_deploy.external.spandrel_offer import spandrel_version
from srn_deploy.measurement.sizes import Run, Sizes, measure_sizes, taking_any_size
from srn_deploy.measurement.value_range import RangeFound, find_range
from srn_deploy.spec import Colour, Corrections, ModelSpec
from srn_deploy.system.hashing import sha256_of_file
from srn_deploy.tiling.tiles import rounded_up

VALUE_RANGE = 1.0
"""Of every network that spandrel gives: its descriptors take and return 0..1."""

SAME = 1e-4
"""In 0..1: between a network and what spandrel makes of it, which only clips; rounding remains far below."""

_LONGEST_TEXT = 300
"""Characters of an error of spandrel's that are shown."""

_log = logging.getLogger(__name__)


class Requirements(Protocol):
    """What spandrel says of the sizes of images."""

    minimum: int
    multiple_of: int
    square: bool


class Family(Protocol):
    """What spandrel says of a kind of network."""

    @property
    def name(self) -> str:
        """As people call it."""


class Descriptor(Protocol):
    """A network with its weights, as spandrel gives it."""

    purpose: str
    tags: list[str]
    scale: int
    input_channels: int
    output_channels: int
    size_requirements: Requirements

    @property
    def model(self) -> nn.Module:
        """The network."""

    @property
    def architecture(self) -> Family:
        """What kind of network it is."""

    def __call__(self, image: Tensor) -> Tensor:
        """Images as spandrel runs them, (1, C, H, W) in 0..1."""


def load_by_spandrel(checkpoint: Path, corrections: Corrections) -> tuple[LoadedNetwork, Sizes]:
    """The network that spandrel makes of the weights in a file, its spec, and the sizes that it takes.

    corrections: value range, weights and trust. Raises a CheckpointError for the file, UnknownNetwork where spandrel
    does not know it either, MismatchedTensors where its weights do not fit, and UnsuitableNetwork for a network that
    does something else than to enlarge images.
    """
    if corrections.options:
        raise OptionError(f"{checkpoint.name}: spandrel finds the settings of a network in its keys.",
                          remedy="Leave out --set, or name the class of the network with --network FILE.py:CLASS.")
    found, descriptor = _offered(checkpoint, corrections)
    title = f"{descriptor.architecture.name} of spandrel"
    _log.info("%s: spandrel knows it: %s (%s). It says nothing about the licence of the weights: ask their author.",
              checkpoint.name, descriptor.architecture.name, ", ".join(descriptor.tags) or "no further description")
    _check_purpose(descriptor, title)
    network: nn.Module = _Image(descriptor.model).eval()
    run = NetworkRun(network, title)
    sizes = _sizes(descriptor, run, title)
    _check_equals(network, descriptor, sizes, title)
    spec = ModelSpec(
        architecture=printable(descriptor.architecture.name), options={}, scale=sizes.scale,
        value_range=corrections.value_range or VALUE_RANGE, min_side_px=sizes.min_side_px,
        size_multiple_px=sizes.size_multiple_px, colour=Colour.Y if descriptor.input_channels == 1 else Colour.RGB,
        source_sha256=sha256_of_file(checkpoint), weights=found.name,
        origin=f"spandrel: {printable(descriptor.architecture.name)}")
    spec = replace(spec, recognised=_tried(run, sizes, spec, descriptor.input_channels, corrections))
    if spec.colour is Colour.Y:
        network, spec = OwnLuma(network, sizes.scale, spec.value_range).eval(), replace(spec, value_range=VALUE_RANGE)
    return LoadedNetwork(network=network, spec=spec, weights=found.name), sizes


def _offered(checkpoint: Path, corrections: Corrections) -> tuple[WeightSet, Descriptor]:
    """The first set of weights that spandrel knows, in the order in which they are taken."""
    spandrel = _imported()
    contents = search(read_weights_file(checkpoint).found)
    misfit: CheckpointError | None = None
    for one in _candidates(contents, corrections):
        where = f"{checkpoint}, under `{one.name}`," if one.name else str(checkpoint)
        try:
            descriptor: Descriptor = spandrel.ModelLoader().load_from_state_dict(single_precision(one.state, where))
        except spandrel.UnsupportedModelError:
            continue
        except (Exception, SystemExit) as error:  # noqa: BLE001  # networks of others may raise anything
            misfit = misfit or MismatchedTensors(
                f"{where} has the keys of a network that spandrel knows, but cannot be loaded: "
                f"{' '.join(str(error).split())[:_LONGEST_TEXT].rstrip('.')}.",
                remedy="If you have the author's code, name its class with --network FILE.py:CLASS.")
            continue
        descriptor.model.eval().requires_grad_(False)
        return one, descriptor
    raise misfit or _unknown(contents, corrections, checkpoint)


def _imported() -> Any:
    try:
        return importlib.import_module("spandrel")
    except Exception as error:  # a library of another build raises RuntimeError, and worse
        raise OptionError(f"spandrel is installed, but cannot be imported: {in_one_line(error)}.",
                          remedy="torch and torchvision have to be of the same build: install both from one place, or "
                                 "remove spandrel.") from error


def _candidates(contents: Contents, corrections: Corrections) -> Iterator[WeightSet]:
    """Every mapping, and where all its keys begin alike what lies under that prefix; those that are asked for alone."""
    sets = [one for whole in contents.sets for one in groups(whole) if len(one.state) == len(whole.state)]
    wanted = corrections.weights
    named = [one for one in sets if wanted in (None, one.name, one.title)]
    if not named and wanted is not None:
        raise OptionError(f"There are no weights called {wanted!r}.",
                          remedy=f"There are: {', '.join(one.title for one in sets) or 'none'}.")
    yield from sorted(named, key=lambda one: one.rank)


def _unknown(contents: Contents, corrections: Corrections, checkpoint: Path) -> CheckpointError:
    """The error that a file has without spandrel, which was asked as well."""
    asked = f"spandrel {spandrel_version()} does not know it either."
    try:
        choose(contents, corrections, str(checkpoint))
    except CheckpointError as error:
        return type(error)(error.message, remedy=f"{asked} {error.remedy}")
    return UnknownNetwork(f"{checkpoint}: no known network fits. {asked}", remedy="Give its class with --network.")


def _check_purpose(descriptor: Descriptor, title: str) -> None:
    channels = descriptor.input_channels, descriptor.output_channels
    if descriptor.purpose == "Inpainting":
        raise UnsuitableNetwork(f"{title} fills in what a mask names: it takes two inputs, not one image.",
                                remedy="Give a network for super-resolution.")
    if channels not in ((1, 1), (3, 3)):
        raise UnsuitableNetwork(f"{title} takes {channels[0]} channels and returns {channels[1]}.",
                                remedy="Give a network from RGB to RGB, or from luma to luma.")
    if descriptor.size_requirements.square:
        raise UnsuitableNetwork(f"{title} takes square images alone.", remedy="Give one that takes images of any size.")


class _Image(nn.Module):
    """A network that gives its image alone, or several things with the image first."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> Tensor:
        """The image alone."""
        given = self.network(image)
        upscaled: Tensor = given if isinstance(given, Tensor) else given[0]
        return upscaled


def _sizes(descriptor: Descriptor, run: Run, title: str) -> Sizes:
    """What both spandrel and running it say of sizes."""
    told, measured = descriptor.size_requirements, measure_sizes(run, descriptor.input_channels)
    if measured.scale != descriptor.scale:
        raise UnsuitableNetwork(f"{title} enlarges by {measured.scale}, not by {descriptor.scale} as spandrel says.",
                                remedy="Name its class with --network FILE.py:CLASS.")
    multiple = math.lcm(told.multiple_of, measured.size_multiple_px)
    return Sizes(scale=measured.scale, size_multiple_px=multiple,
                 min_side_px=rounded_up(max(told.minimum, measured.min_side_px), multiple))


def _check_equals(network: nn.Module, descriptor: Descriptor, sizes: Sizes, title: str) -> None:
    """Raise UnsuitableNetwork where spandrel does more than to run the network and to clip."""
    side = sizes.fitting(48)
    image = torch.rand(1, descriptor.input_channels, side, side + sizes.size_multiple_px,
                       generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        plain, theirs = network(image.clone()).clamp(0, 1), descriptor(image.clone())
    if plain.shape != theirs.shape or not (plain - theirs).abs().max().item() <= SAME:
        raise UnsuitableNetwork(f"{title}: spandrel does more with an image than its network does.",
                                remedy="Write a class that does all of it, and name it with --network FILE.py:CLASS.")


def _tried(run: Run, sizes: Sizes, spec: ModelSpec, channels: int, corrections: Corrections) -> str:
    """What enlarging the trial image says of the value range, for the spec; a doubt is logged."""
    if sizes.scale == 1 or (corrections.trust and corrections.value_range is not None):
        return ""
    found = find_range(taking_any_size(run, sizes), sizes.scale, channels)
    if found.super_resolves and found.value_range == spec.value_range:
        _log.info("%s: %s; bicubic interpolation has %.1f dB.", spec.architecture, found.in_words, found.bicubic_db)
        return found.in_words
    _log.warning("%s: value range %g as %s, but trying does not confirm it (%s).", spec.architecture, spec.value_range,
                 "you say" if corrections.value_range else "spandrel says", _doubt(found))
    return f"not confirmed by trying: {_doubt(found)}"


def _doubt(found: RangeFound) -> str:
    return (f"at best {found.psnr_db:.1f} dB with range {found.value_range:g}, against {found.bicubic_db:.1f} of "
            "bicubic interpolation")
