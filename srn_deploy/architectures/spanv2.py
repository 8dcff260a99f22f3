"""SPANV2 (XiaomiMM, the runtime winner of NTIRE 2026): three 3x3 convolutions and a gate without parameters but a 1x1.

Keys are those of the authors' published file: `block_N.c1|c2|c3.conv`, `block_N.guidance_map_conv` (all blocks but the
first), `conv_near`, `depthwise_conv`, `pointwise_conv`. Their program runs the gate in a kernel of its own; here it is
what the kernel computes, (x + f) * conv1x1(f), so that every runtime and every engine has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from srn_deploy.architectures.layers import named
from srn_deploy.architectures.options import checked, count_blocks, filters, scale_from_tail
from srn_deploy.architectures.signature import Architecture, Signature, StateDict
from srn_deploy.errors import OptionError
from srn_deploy.spec import ModelSpec, Scalar

VALUE_RANGE = 1.0
"""The challenge's test program runs it on 0..1."""


@dataclass(frozen=True, kw_only=True)
class SpanV2Options:
    """Hyper-parameters; the defaults are the authors' entry to NTIRE 2026."""

    scale: int = 4
    channels: int = 32
    blocks: int = 5
    """The first one, which widens the image, included."""

    def __post_init__(self) -> None:
        if min(self.scale, self.channels, self.blocks) < 1 or self.channels == 3:
            raise OptionError(f"SPANV2 cannot be built from {asdict(self)}.",
                              remedy="Scale, channels and blocks are at least 1; channels are not 3.")


def _convolution(entering: int, leaving: int) -> nn.Sequential:
    return named(conv=nn.Conv2d(entering, leaving, 3, padding=1, bias=False))


class WideningBlock(nn.Module):
    """The first block: three 3x3 convolutions, each with a ReLU, that widen the image to all channels."""

    def __init__(self, entering: int, channels: int) -> None:
        super().__init__()
        self.c1 = _convolution(entering, channels)
        self.c2 = _convolution(channels, channels)
        self.c3 = _convolution(channels, channels)
        self.activation = nn.ReLU()

    def forward(self, features: Tensor) -> Tensor:
        """(N, E, H, W) to (N, C, H, W)."""
        for convolution in (self.c1, self.c2, self.c3):
            features = self.activation(convolution(features))
        return features


class GuidedBlock(nn.Module):
    """Three 3x3 convolutions with ReLU between them; their result, added to the input, is gated by a 1x1 of itself."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.c1 = _convolution(channels, channels)
        self.c2 = _convolution(channels, channels)
        self.c3 = _convolution(channels, channels)
        self.guidance_map_conv = nn.Conv2d(channels, channels, 1)
        self.activation = nn.ReLU()

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, C, H, W) to refined features of the same shape."""
        refined = self.c3(self.activation(self.c2(self.activation(self.c1(features)))))
        gated: Tensor = (features + refined) * self.guidance_map_conv(refined)
        return gated


class SpanV2(nn.Module):
    """A chain of blocks; their result and the repeated image go through a separable convolution and a shuffle."""

    def __init__(self, options: SpanV2Options) -> None:
        super().__init__()
        width, subpixels = options.channels, 3 * options.scale**2
        self.names = [f"block_{number}" for number in range(1, options.blocks + 1)]
        for name in self.names:
            self.add_module(name, WideningBlock(3, width) if name == "block_1" else GuidedBlock(width))
        self.conv_near = nn.Conv2d(3, subpixels, 3, padding=1, groups=3, bias=False)
        joined = subpixels + width
        self.depthwise_conv = nn.Conv2d(joined, joined, 3, padding=1, groups=joined, bias=False)
        self.pointwise_conv = nn.Conv2d(joined, subpixels, 1, bias=False)
        self.depth_to_space = nn.PixelShuffle(options.scale)
        _repeat_pixels(self.conv_near)

    def forward(self, lr: Tensor) -> Tensor:
        """RGB (N, 3, H, W) in the trained value range to (N, 3, scale*H, scale*W), not clipped."""
        features = lr
        for name in self.names:
            features = self.get_submodule(name)(features)
        joined = torch.cat([self.conv_near(lr), features], dim=1)
        upscaled: Tensor = self.depth_to_space(self.pointwise_conv(self.depthwise_conv(joined)))
        return upscaled


@torch.no_grad()
def _repeat_pixels(convolution: nn.Conv2d) -> None:
    """Begin with every sub-pixel as its pixel, as the authors do: enlarging by the nearest neighbour."""
    convolution.weight.zero_()
    convolution.weight[:, :, 1, 1] = 1.0


def _read_options(state: StateDict) -> dict[str, Scalar]:
    return asdict(SpanV2Options(
        scale=scale_from_tail(state, "pointwise_conv.weight"),
        channels=filters(state, "block_1.c1.conv.weight"),
        blocks=count_blocks(state, "block_"),
    ))


def _build(options: Mapping[str, Any]) -> nn.Module:
    return SpanV2(checked(SpanV2Options, options))


def _describe(options: Mapping[str, Any]) -> ModelSpec:
    chosen = checked(SpanV2Options, options)
    return ModelSpec(
        architecture="spanv2",
        options=asdict(chosen),
        scale=chosen.scale,
        value_range=VALUE_RANGE,
        halo_px=3 * chosen.blocks + 1,  # the receptive field
        activation_bytes_per_px=4 * max(5 * chosen.channels, 3 * chosen.channels + 9 * chosen.scale**2),  # measured
    )


ARCHITECTURE = Architecture(
    name="spanv2",
    title="SPANV2 (XiaomiMM, NTIRE 2026)",
    signature=Signature(required=("block_1.c1.conv.weight", "block_2.guidance_map_conv.weight", "conv_near.weight",
                                  "depthwise_conv.weight", "pointwise_conv.weight")),
    read_options=_read_options,
    build=_build,
    describe=_describe,
)
