"""RLFN (Kong et al., CVPRW 2022), the runtime winner of NTIRE 2022 and the paper's reference for speed (Table 1).

Its authors published the same layers under two sets of names. This module uses those of their own repository:
`conv_1`, `block_N.c1_r|c2_r|c3_r|c5|esa`, `conv_2`, `upsampler.0`. Their entry to the challenge (team 4) calls them
`fea_conv`, `BN.…`, `LR_conv`, `upsampler.0`; they are renamed when a file is read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from torch import Tensor, nn

from srn_deploy.architectures.esa import LightEsa
from srn_deploy.architectures.image_residual import ImageResidual, enlarged_image, with_image
from srn_deploy.architectures.options import BOTH, SLOPES, checked, filters, scale_from_tail
from srn_deploy.architectures.signature import Architecture, OtherForm, Signature, StateDict
from srn_deploy.errors import OptionError
from srn_deploy.grid import ESA_GRID
from srn_deploy.spec import ModelSpec, Scalar

VALUE_RANGE = 255.0
"""The authors' test programs multiply their 0..1 images by 255."""


@dataclass(frozen=True, kw_only=True)
class RlfnOptions:
    """Hyper-parameters; the defaults are the network of the paper's Table 1."""

    scale: int = 4
    channels: int = 52
    mid_channels: int = 52
    """Channels between the 3x3 convolutions of a block; the challenge's pruned network has 48 with 46 channels."""
    blocks: int = 6
    esa_channels: int = 16
    negative_slope: float = 0.05
    """The slope of every LeakyReLU (the authors' published code)."""
    inner_residual: bool = True
    """Whether a block adds its input before its 1x1 convolution (the authors' published code)."""
    image_residual: ImageResidual = ImageResidual.NONE

    def __post_init__(self) -> None:
        if min(self.scale, self.channels, self.mid_channels, self.blocks, self.esa_channels) < 1:
            raise OptionError(f"RLFN cannot be built from {asdict(self)}.",
                              remedy="Scale, channels, mid_channels, blocks and esa_channels are at least 1.")


class ResidualLocalBlock(nn.Module):
    """Three 3x3 convolutions, each with a LeakyReLU, the block's input added, a 1x1 convolution, ESA."""

    def __init__(self, options: RlfnOptions, *, bias: bool) -> None:
        super().__init__()
        width, middle = options.channels, options.mid_channels
        self.c1_r = nn.Conv2d(width, middle, 3, padding=1, bias=bias)
        self.c2_r = nn.Conv2d(middle, middle, 3, padding=1, bias=bias)
        self.c3_r = nn.Conv2d(middle, width, 3, padding=1, bias=bias)
        self.c5 = nn.Conv2d(width, width, 1, bias=bias)
        self.esa = LightEsa(width, options.esa_channels)
        self.activation = nn.LeakyReLU(options.negative_slope)
        self.inner_residual = options.inner_residual

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, C, H, W) to refined features of the same shape."""
        refined = features
        for convolution in (self.c1_r, self.c2_r, self.c3_r):
            refined = self.activation(convolution(refined))
        weighted: Tensor = self.esa(self.c5(refined + features if self.inner_residual else refined))
        return weighted


class Rlfn(nn.Module):
    """Head, a chain of blocks, one long residual around them, sub-pixel reconstruction.

    bias: whether convolutions outside ESA have one; they do in RLFN, not in DIPNet.
    """

    def __init__(self, options: RlfnOptions, *, bias: bool = True) -> None:
        super().__init__()
        width = options.channels
        self.enlarged_image = enlarged_image(options.scale, options.image_residual)
        self.names = [f"block_{number}" for number in range(1, options.blocks + 1)]
        self.conv_1 = nn.Conv2d(3, width, 3, padding=1, bias=bias)
        for name in self.names:
            self.add_module(name, ResidualLocalBlock(options, bias=bias))
        self.conv_2 = nn.Conv2d(width, width, 3, padding=1, bias=bias)
        self.upsampler = nn.Sequential(nn.Conv2d(width, 3 * options.scale**2, 3, padding=1, bias=bias),
                                       nn.PixelShuffle(options.scale))

    def forward(self, lr: Tensor) -> Tensor:
        """RGB (N, 3, H, W) in the trained value range to (N, 3, scale*H, scale*W), not clipped."""
        shallow = features = self.conv_1(lr)
        for name in self.names:
            features = self.get_submodule(name)(features)
        upscaled: Tensor = self.upsampler(self.conv_2(features) + shallow)
        return with_image(upscaled, lr, self.enlarged_image)


def read_rlfn_options(state: StateDict) -> dict[str, Scalar]:
    """The options of an RLFN or a DIPNet, from keys and shapes; raises OptionError."""
    return asdict(RlfnOptions(
        scale=scale_from_tail(state, "upsampler.0.weight"),
        channels=filters(state, "conv_1.weight"),
        mid_channels=filters(state, "block_1.c1_r.weight"),
        blocks=sum(f"block_{number}.c1_r.weight" in state for number in range(1, len(state) + 1)),
        esa_channels=filters(state, "block_1.esa.conv1.weight"),
    ))


def rlfn_spec(architecture: str, options: RlfnOptions, *, value_range: float) -> ModelSpec:
    """The spec of an RLFN, or of a network with its layers.

    value_range: the largest pixel value in training, 1 or 255. The halo grows with depth as in SRN: it keeps the worst
    pixel within 1/255, for seeded networks with strong attention and the published ones (tests/test_peer_tiling.py).
    """
    in_attention, in_tail = 6 * options.channels + 2 * options.esa_channels, 3 * options.channels + 6 * options.scale**2
    return ModelSpec(
        architecture=architecture,
        options=asdict(options),
        scale=options.scale,
        value_range=value_range,
        min_side_px=ESA_GRID.first_cell_px,
        alignment_px=ESA_GRID.cell_px,
        grids=(ESA_GRID,),
        halo_px=24 + 6 * options.blocks,
        activation_bytes_per_px=4 * max(in_attention, in_tail),  # measured
    )


RLFN_OPEN_OPTIONS: Mapping[str, tuple[Scalar, ...]] = MappingProxyType(
    {"negative_slope": SLOPES, "inner_residual": BOTH, "image_residual": tuple(ImageResidual)})
"""What the keys of an RLFN or a DIPNet leave open."""

_OWN_NAMES = {"fea_conv": "conv_1", "LR_conv": "conv_2"}


def _renamed(state: StateDict, given: Mapping[str, Any]) -> StateDict:
    """Rename the keys of the challenge entry to those of this module."""
    return {_own_name(key): value for key, value in state.items()}


def _own_name(key: str) -> str:
    layer, _, rest = key.partition(".")
    own = _OWN_NAMES.get(layer, re.sub("^B(?=[0-9]+$)", "block_", layer))
    return f"{own}.{rest}"


def _build(options: Mapping[str, Any]) -> nn.Module:
    return Rlfn(checked(RlfnOptions, options))


def _describe(options: Mapping[str, Any]) -> ModelSpec:
    return rlfn_spec("rlfn", checked(RlfnOptions, options), value_range=VALUE_RANGE)


ARCHITECTURE = Architecture(
    name="rlfn",
    title="RLFN (Kong et al., CVPRW 2022)",
    signature=Signature(required=("conv_1.weight", "conv_1.bias", "block_1.c1_r.weight", "block_1.esa.conv1.weight",
                                  "conv_2.weight", "upsampler.0.weight")),
    other_forms=(OtherForm(
        signature=Signature(required=("fea_conv.weight", "B1.c1_r.weight", "B1.esa.conv1.weight", "LR_conv.weight",
                                      "upsampler.0.weight"), forbidden=("B1.c1_d.weight",)),
        converted=_renamed),),
    read_options=read_rlfn_options,
    build=_build,
    describe=_describe,
    open_options=RLFN_OPEN_OPTIONS,
)
