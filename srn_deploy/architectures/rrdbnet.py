"""RRDBNet, the network of ESRGAN (Wang et al., ECCVW 2018) and Real-ESRGAN (ICCVW 2021).

Keys are those of BasicSR: `conv_first`, `body.N.rdbM.convK`, `conv_body`, `conv_up1`, `conv_up2`, `conv_hr` and
`conv_last`. ESRGAN's own code has the same under other names (`RRDB_trunk.N.RDBM.convK`, `trunk_conv`, `upconv1`,
`HRconv`), and its first version numbers its layers (`model.1.sub.N.RDBM.convK.0`); both are renamed when they are read.

Real-ESRGAN's x2 network folds squares of 2 x 2 pixels into channels first and then enlarges by 4, and the authors' x1
network folds 4 x 4; sides must be multiples of that.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import isqrt, log2
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from srn_deploy.architectures.options import checked, count_blocks, filters
from srn_deploy.architectures.signature import Architecture, OtherForm, Signature, StateDict
from srn_deploy.errors import OptionError
from srn_deploy.spec import ModelSpec, Scalar

VALUE_RANGE = 1.0
"""The authors' programs divide pixels by 255, and so do those that trained all networks of this kind."""

NEGATIVE_SLOPE = 0.2
RESIDUAL_SCALING = 0.2
"""Of every dense block and of every group of three (section 3.1 of ESRGAN's paper)."""

MOST_STEPS = 5
"""Enlargements by 2: of x8 after squares of 4 x 4 pixels were folded."""

_GROUP, _CONVOLUTIONS = (1, 2, 3), (1, 2, 3, 4, 5)
"""Dense blocks of a group, and convolutions of a dense block."""


@dataclass(frozen=True, kw_only=True)
class RrdbNetOptions:
    """Hyper-parameters; the defaults are those of ESRGAN and RealESRGAN_x4plus."""

    scale: int = 4
    channels: int = 64
    growth: int = 32
    """Channels that each convolution of a dense block adds."""
    blocks: int = 23
    """Groups of three dense blocks."""
    unshuffle: int = 1
    """The side of the squares of pixels that are folded into channels first: 2 in RealESRGAN_x2plus."""

    def __post_init__(self) -> None:
        if self.scale not in (1, 2, 4, 8) or self.unshuffle not in (1, 2, 4) or min(
                self.channels, self.growth, self.blocks) < 1:
            raise OptionError(f"RRDBNet cannot be built from {asdict(self)}.",
                              remedy="Scale is 1, 2, 4 or 8, unshuffle 1, 2 or 4; channels, growth and blocks are at "
                                     "least 1.")

    @property
    def steps(self) -> int:
        """How often the features are enlarged by 2."""
        return int(log2(self.scale * self.unshuffle))


class DenseBlock(nn.Module):
    """Five 3x3 convolutions, each of which sees the input and the outputs of those before it."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        for number in _CONVOLUTIONS:
            leaving = channels if number == _CONVOLUTIONS[-1] else growth
            self.add_module(f"conv{number}", nn.Conv2d(channels + (number - 1) * growth, leaving, 3, padding=1))
        self.activation = nn.LeakyReLU(NEGATIVE_SLOPE)

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, C, H, W) to refined features of the same shape."""
        joined = features
        for number in _CONVOLUTIONS[:-1]:
            more = self.activation(self.get_submodule(f"conv{number}")(joined))
            joined = torch.cat([joined, more], dim=1)
        last: Tensor = self.get_submodule(f"conv{_CONVOLUTIONS[-1]}")(joined)
        return last * RESIDUAL_SCALING + features


class DenseGroup(nn.Module):
    """Three dense blocks, and the input added to what they give."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        for number in _GROUP:
            self.add_module(f"rdb{number}", DenseBlock(channels, growth))

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, C, H, W) to refined features of the same shape."""
        refined = features
        for number in _GROUP:
            refined = self.get_submodule(f"rdb{number}")(refined)
        return refined * RESIDUAL_SCALING + features


class RrdbNet(nn.Module):
    """Head, a chain of groups, one long residual, and an upsampler of repeated pixels and convolutions."""

    def __init__(self, options: RrdbNetOptions) -> None:
        super().__init__()
        width, self.unshuffle, self.steps = options.channels, options.unshuffle, options.steps
        self.conv_first = nn.Conv2d(3 * options.unshuffle**2, width, 3, padding=1)
        self.body = nn.Sequential(*(DenseGroup(width, options.growth) for _ in range(options.blocks)))
        self.conv_body = nn.Conv2d(width, width, 3, padding=1)
        for step in range(1, options.steps + 1):
            self.add_module(f"conv_up{step}", nn.Conv2d(width, width, 3, padding=1))
        self.conv_hr = nn.Conv2d(width, width, 3, padding=1)
        self.conv_last = nn.Conv2d(width, 3, 3, padding=1)
        self.activation = nn.LeakyReLU(NEGATIVE_SLOPE)

    def forward(self, lr: Tensor) -> Tensor:
        """RGB (N, 3, H, W) in the trained value range to (N, 3, scale*H, scale*W), not clipped.

        H and W are multiples of unshuffle.
        """
        shallow = self.conv_first(functional.pixel_unshuffle(lr, self.unshuffle) if self.unshuffle > 1 else lr)
        features = shallow + self.conv_body(self.body(shallow))
        for step in range(1, self.steps + 1):
            features = self.activation(self.get_submodule(f"conv_up{step}")(_doubled(features)))
        upscaled: Tensor = self.conv_last(self.activation(self.conv_hr(features)))
        return upscaled


def _doubled(features: Tensor) -> Tensor:
    """Every value twice each way: (N, C, H, W) to (N, C, 2*H, 2*W)."""
    return functional.pixel_shuffle(features.repeat_interleave(4, dim=1), 2)


def _read_options(state: StateDict) -> dict[str, Scalar]:
    filters(state, "conv_first.weight")
    unshuffle = isqrt(int(state["conv_first.weight"].shape[1]) // 3)
    steps = len([key for key in state if re.fullmatch(r"conv_up[0-9]+\.weight", key)])
    if steps > MOST_STEPS:
        raise OptionError(f"There are {steps} enlargements by 2.", remedy=f"An RRDBNet has at most {MOST_STEPS}.")
    return asdict(RrdbNetOptions(
        scale=2**steps // max(unshuffle, 1), channels=filters(state, "conv_first.weight"),
        growth=filters(state, "body.0.rdb1.conv1.weight"), blocks=count_blocks(state, "body."),
        unshuffle=unshuffle))


_OWN_NAMES = (("RRDB_trunk.", "body."), ("trunk_conv.", "conv_body."), ("upconv", "conv_up"), ("HRconv.", "conv_hr."))
"""Names of ESRGAN's code, and those of BasicSR."""

_NUMBERED = re.compile(r"model\.([0-9]{1,3})\.(weight|bias)")


def _renamed(state: StateDict, given: Mapping[str, Any]) -> StateDict:
    """Convert the names of ESRGAN's code."""
    renamed = {}
    for key, value in state.items():
        name = next((own + key.removeprefix(theirs) for theirs, own in _OWN_NAMES if key.startswith(theirs)), key)
        renamed[name.replace(".RDB", ".rdb")] = value
    return renamed


def _named(state: StateDict, given: Mapping[str, Any]) -> StateDict:
    """Convert the numbered layers of ESRGAN's first version: `model.1.sub.B` is the convolution behind B groups."""
    numbers = sorted({int(found[1]) for key in state if (found := _NUMBERED.fullmatch(key))})
    layers = ["conv_first", *(f"conv_up{step}" for step in range(1, len(numbers) - 2)), "conv_hr", "conv_last"]
    names = {f"model.{number}": layer for number, layer in zip(numbers, layers, strict=False)}
    named = {}
    for key, value in state.items():
        layer, _, kind = key.rpartition(".")
        inner = re.fullmatch(r"model\.1\.sub\.([0-9]+)\.RDB([0-9]+)\.conv([0-9]+)\.0", layer)
        if inner:
            layer = f"body.{inner[1]}.rdb{inner[2]}.conv{inner[3]}"
        elif re.fullmatch(r"model\.1\.sub\.[0-9]+", layer):
            layer = "conv_body"
        named[f"{names.get(layer, layer)}.{kind}"] = value
    return named


def _build(options: Mapping[str, Any]) -> nn.Module:
    return RrdbNet(checked(RrdbNetOptions, options))


MEASURED_HALO_PX = 48
"""Tiles of networks with drawn weights, of 6 and 23 blocks, differ at 16 px by rounding errors alone, below a hundredth
of a level (tests/test_todays_networks.py); three times that, because trained weights may look further. The receptive
field of 23 blocks has 349 px."""


def reach_px(options: RrdbNetOptions) -> int:
    """The receptive field to one side, in pixels of the input.

    Head, blocks and `conv_body`, then two more: each enlargement halves the pitch, so what follows reaches less than
    two pixels further, however many enlargements there are.
    """
    return options.unshuffle * (2 + len(_GROUP) * len(_CONVOLUTIONS) * options.blocks + 2)


def _describe(options: Mapping[str, Any]) -> ModelSpec:
    chosen = checked(RrdbNetOptions, options)
    width, folded = chosen.channels, chosen.unshuffle**2
    # Measured: what a dense block joins, before and after; or the last enlargement, three times the full resolution.
    in_block = (5 * width + 9 * chosen.growth) / folded
    in_tail = width * (3.25 * chosen.scale**2 + 1 / folded)
    return ModelSpec(
        architecture="rrdbnet",
        options=asdict(chosen),
        scale=chosen.scale,
        value_range=VALUE_RANGE,
        halo_px=min(reach_px(chosen), MEASURED_HALO_PX * chosen.unshuffle),
        size_multiple_px=chosen.unshuffle,
        activation_bytes_per_px=int(4 * (max(in_block, in_tail) + 3)),
    )


ARCHITECTURE = Architecture(
    name="rrdbnet",
    title="RRDBNet (Wang et al., ESRGAN, ECCVW 2018, and Real-ESRGAN)",
    signature=Signature(required=("conv_first.weight", "body.0.rdb1.conv1.weight", "body.0.rdb3.conv5.weight",
                                  "conv_body.weight", "conv_hr.weight", "conv_last.weight"),
                        forbidden=("body.0.rdb1.conv1x1.weight",)),
    other_forms=(
        OtherForm(signature=Signature(
            required=("conv_first.weight", "RRDB_trunk.0.RDB1.conv1.weight", "trunk_conv.weight", "HRconv.weight",
                      "conv_last.weight"), forbidden=("RRDB_trunk.0.RDB1.conv1x1.weight",)), converted=_renamed),
        OtherForm(signature=Signature(
            required=("model.0.weight", "model.1.sub.0.RDB1.conv1.0.weight", "model.1.sub.0.RDB3.conv5.0.weight"),
            forbidden=("model.1.sub.0.RDB1.conv1x1.weight",)), converted=_named)),
    read_options=_read_options,
    build=_build,
    describe=_describe,
    value_ranges=(),
)
