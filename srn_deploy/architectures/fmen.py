"""FMEN (Du et al., CVPRW 2022): pairs of 3x3 convolutions, each followed by attention that looks a few pixels far.

The folded form was published under two sets of names. This module uses those of the entry to NTIRE 2022 (team 3):
`head`, `warmup.0`, `warmup.1.squeeze|convs.M.conv1.rep_conv|excitate`, `basic_blocks.N`, `hfabs.N`, `lr_conv`,
`tail.0`. The authors' own repository calls the blocks `ERBs` and `HFABs`; they are renamed when a file is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from srn_deploy.architectures.image_residual import ImageResidual, enlarged_image, with_image
from srn_deploy.architectures.layers import named
from srn_deploy.architectures.options import SLOPES, checked, count_blocks, filters, scale_from_tail
from srn_deploy.architectures.signature import Architecture, OtherForm, Signature, StateDict
from srn_deploy.spec import ModelSpec, Scalar

VALUE_RANGE = 255.0
"""The challenge's test program runs it on 0..255."""


@dataclass(frozen=True, kw_only=True)
class FmenOptions:
    """Hyper-parameters; the defaults are the authors' entry to NTIRE 2022."""

    scale: int = 4
    channels: int = 50
    blocks: int = 4
    attention_channels: int = 16
    """Channels inside the attention of a block."""
    attention_pairs: int = 1
    """Pairs of 3x3 convolutions inside the attention of a block."""
    first_attention_channels: int = 12
    """Channels inside the attention before the blocks."""
    first_attention_pairs: int = 2
    negative_slope: float = 0.1
    """The slope of every LeakyReLU (the authors' published code)."""
    image_residual: ImageResidual = ImageResidual.NONE


class ConvPair(nn.Module):
    """Two 3x3 convolutions with a LeakyReLU between them: a residual block of the paper, folded."""

    def __init__(self, channels: int, negative_slope: float) -> None:
        super().__init__()
        self.conv1, self.conv2 = (named(rep_conv=nn.Conv2d(channels, channels, 3, padding=1)) for _ in range(2))
        self.activation = nn.LeakyReLU(negative_slope)

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, C, H, W) to features of the same shape."""
        refined: Tensor = self.conv2(self.activation(self.conv1(features)))
        return refined


class HighFrequencyAttention(nn.Module):
    """Features weighted by a map in 0..1 that fewer channels of 3x3 convolutions make of them."""

    def __init__(self, channels: int, squeezed_channels: int, pairs: int, negative_slope: float) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, squeezed_channels, 3, padding=1)
        self.convs = nn.Sequential(*(ConvPair(squeezed_channels, negative_slope) for _ in range(pairs)))
        self.excitate = nn.Conv2d(squeezed_channels, channels, 3, padding=1)
        self.activation = nn.LeakyReLU(negative_slope)

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, C, H, W) to weighted features of the same shape."""
        squeezed = self.activation(self.convs(self.activation(self.squeeze(features))))
        return torch.sigmoid(self.excitate(squeezed)) * features


class Fmen(nn.Module):
    """Head, one convolution with attention, a chain of pairs with attention, one long residual, reconstruction."""

    def __init__(self, options: FmenOptions) -> None:
        super().__init__()
        width, slope = options.channels, options.negative_slope
        self.enlarged_image = enlarged_image(options.scale, options.image_residual)
        self.head = nn.Conv2d(3, width, 3, padding=1)
        self.warmup = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), HighFrequencyAttention(
            width, options.first_attention_channels, options.first_attention_pairs, slope))
        self.basic_blocks = nn.ModuleList(ConvPair(width, slope) for _ in range(options.blocks))
        self.hfabs = nn.ModuleList(HighFrequencyAttention(
            width, options.attention_channels, options.attention_pairs, slope) for _ in range(options.blocks))
        self.lr_conv = nn.Conv2d(width, width, 3, padding=1)
        self.tail = nn.Sequential(nn.Conv2d(width, 3 * options.scale**2, 3, padding=1),
                                  nn.PixelShuffle(options.scale))

    def forward(self, lr: Tensor) -> Tensor:
        """RGB (N, 3, H, W) in the trained value range to (N, 3, scale*H, scale*W), not clipped."""
        shallow = self.head(lr)
        features = self.warmup(shallow)
        for pair, attention in zip(self.basic_blocks, self.hfabs, strict=True):
            features = attention(pair(features))
        upscaled: Tensor = self.tail(self.lr_conv(features) + shallow)
        return with_image(upscaled, lr, self.enlarged_image)


def _read_options(state: StateDict) -> dict[str, Scalar]:
    return asdict(FmenOptions(
        scale=scale_from_tail(state, "tail.0.weight"),
        channels=filters(state, "head.weight"),
        blocks=count_blocks(state, "basic_blocks."),
        attention_channels=filters(state, "hfabs.0.squeeze.weight"),
        attention_pairs=count_blocks(state, "hfabs.0.convs."),
        first_attention_channels=filters(state, "warmup.1.squeeze.weight"),
        first_attention_pairs=count_blocks(state, "warmup.1.convs."),
    ))


_OWN_NAMES = {"ERBs": "basic_blocks", "HFABs": "hfabs"}


def _renamed(state: StateDict, given: Mapping[str, Any]) -> StateDict:
    """Rename the keys of the authors' repository to those of this module."""
    parts = {key: key.partition(".") for key in state}
    return {f"{_OWN_NAMES.get(layer, layer)}{dot}{rest}": state[key] for key, (layer, dot, rest) in parts.items()}


def _build(options: Mapping[str, Any]) -> nn.Module:
    return Fmen(checked(FmenOptions, options))


def _describe(options: Mapping[str, Any]) -> ModelSpec:
    chosen = checked(FmenOptions, options)
    attention_reach_px = 2 + 2 * chosen.attention_pairs
    in_attention = 5 * chosen.channels + max(chosen.attention_channels, chosen.first_attention_channels)
    in_tail = 3 * chosen.channels + 6 * chosen.scale**2
    return ModelSpec(
        architecture="fmen",
        options=asdict(chosen),
        scale=chosen.scale,
        value_range=VALUE_RANGE,
        # The receptive field: head, warm-up with its attention, the blocks with theirs, the last two convolutions.
        halo_px=2 + (2 + 2 * chosen.first_attention_pairs) + chosen.blocks * (2 + attention_reach_px) + 2,
        activation_bytes_per_px=4 * max(in_attention, in_tail),  # measured
    )


ARCHITECTURE = Architecture(
    name="fmen",
    title="FMEN (Du et al., CVPRW 2022)",
    signature=Signature(required=("head.weight", "warmup.1.squeeze.weight", "basic_blocks.0.conv1.rep_conv.weight",
                                  "hfabs.0.excitate.weight", "lr_conv.weight", "tail.0.weight")),
    other_forms=(OtherForm(
        signature=Signature(required=("head.weight", "warmup.1.squeeze.weight", "ERBs.0.conv1.rep_conv.weight",
                                      "HFABs.0.excitate.weight", "lr_conv.weight", "tail.0.weight")),
        converted=_renamed),),
    read_options=_read_options,
    build=_build,
    describe=_describe,
    open_options={"negative_slope": SLOPES, "image_residual": tuple(ImageResidual)},
)
