"""RFDN (Liu et al., ECCVW 2020): the winner of AIM 2020 and the baseline of the NTIRE efficiency challenges.

Keys are those of the authors' code and of the challenge's `team00_rfdn.pth`: `fea_conv`,
`BN.c1_d|c1_r|c2_d|c2_r|c3_d|c3_r|c4|c5|esa`, `c.0`, `LR_conv`, `upsampler.0`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from srn_deploy.architectures.esa import OldEsa
from srn_deploy.architectures.image_residual import ImageResidual, enlarged_image, with_image
from srn_deploy.architectures.options import BOTH, SLOPES, checked, filters, scale_from_tail
from srn_deploy.architectures.signature import Architecture, Signature, StateDict
from srn_deploy.errors import OptionError
from srn_deploy.grid import ESA_GRID
from srn_deploy.spec import ModelSpec, Scalar

VALUE_RANGE = 255.0
"""The challenge's test program runs the baseline on 0..255."""

_DILATIONS = re.compile("[1-9](,[1-9],[1-9])?")


@dataclass(frozen=True, kw_only=True)
class RfdnOptions:
    """Hyper-parameters; the defaults are the challenge's baseline."""

    scale: int = 4
    channels: int = 50
    distilled_channels: int = 25
    """Channels that each step of a block sets aside: half of all in the published code."""
    blocks: int = 4
    esa_channels: int = 12
    """Channels inside ESA: a quarter of all in the published code."""
    negative_slope: float = 0.05
    """The slope of every LeakyReLU (the authors' published code)."""
    inner_residual: bool = True
    """Whether the 3x3 convolutions of a block are residual (the authors' published code; pruned variants drop it)."""
    dilations: str = "1"
    """Of the three 3x3 convolutions of a block, as in "1,2,5" (NTIRE 2022, team 13); one number holds for all three."""
    image_residual: ImageResidual = ImageResidual.NONE

    def __post_init__(self) -> None:
        if (min(self.scale, self.channels, self.distilled_channels, self.blocks, self.esa_channels) < 1
                or not _DILATIONS.fullmatch(self.dilations)):
            raise OptionError(f"RFDN cannot be built from {asdict(self)}.",
                              remedy="Scale, channels, distilled_channels, blocks and esa_channels are at least 1; "
                                     "dilations is one number or three from 1 to 9, as in 1,2,5.")

    @property
    def dilation_of(self) -> tuple[int, ...]:
        """Of the first, second and third 3x3 convolution of a block."""
        numbers = tuple(map(int, self.dilations.split(",")))
        return numbers * 3 if len(numbers) == 1 else numbers


class DistillationBlock(nn.Module):
    """Three steps that each set aside a 1x1 of their input and refine it by a residual 3x3; then 1x1 and ESA."""

    def __init__(self, options: RfdnOptions) -> None:
        super().__init__()
        width, distilled = options.channels, options.distilled_channels
        for step, dilation in zip((1, 2, 3), options.dilation_of, strict=True):
            self.add_module(f"c{step}_d", nn.Conv2d(width, distilled, 1))
            self.add_module(f"c{step}_r", nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation))
        self.c4 = nn.Conv2d(width, distilled, 3, padding=1)
        self.c5 = nn.Conv2d(4 * distilled, width, 1)
        self.esa = OldEsa(width, options.esa_channels)
        self.activation = nn.LeakyReLU(options.negative_slope)
        self.inner_residual = options.inner_residual

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, C, H, W) to refined features of the same shape."""
        kept = []
        for step in (1, 2, 3):
            kept.append(self.activation(self.get_submodule(f"c{step}_d")(features)))
            features = self.activation(self._refined(step, features))
        kept.append(self.activation(self.c4(features)))
        weighted: Tensor = self.esa(self.c5(torch.cat(kept, dim=1)))
        return weighted

    def _refined(self, step: int, features: Tensor) -> Tensor:
        refined: Tensor = self.get_submodule(f"c{step}_r")(features)
        return refined + features if self.inner_residual else refined


class Rfdn(nn.Module):
    """Head, a chain of blocks whose outputs are concatenated, one long residual, sub-pixel reconstruction."""

    def __init__(self, options: RfdnOptions) -> None:
        super().__init__()
        width = options.channels
        self.enlarged_image = enlarged_image(options.scale, options.image_residual)
        self.names = [f"B{number}" for number in range(1, options.blocks + 1)]
        self.fea_conv = nn.Conv2d(3, width, 3, padding=1)
        for name in self.names:
            self.add_module(name, DistillationBlock(options))
        self.c = nn.Sequential(nn.Conv2d(options.blocks * width, width, 1), nn.LeakyReLU(options.negative_slope))
        self.LR_conv = nn.Conv2d(width, width, 3, padding=1)
        self.upsampler = nn.Sequential(nn.Conv2d(width, 3 * options.scale**2, 3, padding=1),
                                       nn.PixelShuffle(options.scale))

    def forward(self, lr: Tensor) -> Tensor:
        """RGB (N, 3, H, W) in the trained value range to (N, 3, scale*H, scale*W), not clipped."""
        shallow = features = self.fea_conv(lr)
        outputs = []
        for name in self.names:
            features = self.get_submodule(name)(features)
            outputs.append(features)
        upscaled: Tensor = self.upsampler(self.LR_conv(self.c(torch.cat(outputs, dim=1))) + shallow)
        return with_image(upscaled, lr, self.enlarged_image)


def _read_options(state: StateDict) -> dict[str, Scalar]:
    return asdict(RfdnOptions(
        scale=scale_from_tail(state, "upsampler.0.weight"),
        channels=filters(state, "fea_conv.weight"),
        distilled_channels=filters(state, "B1.c1_d.weight"),
        blocks=sum(f"B{number}.c1_d.weight" in state for number in range(1, len(state) + 1)),
        esa_channels=filters(state, "B1.esa.conv1.weight"),
    ))


def _build(options: Mapping[str, Any]) -> nn.Module:
    return Rfdn(checked(RfdnOptions, options))


def _describe(options: Mapping[str, Any]) -> ModelSpec:
    chosen = checked(RfdnOptions, options)
    # Measured: all block outputs, their concatenation and three more; or in the last block its parts, concatenated.
    in_join = (2 * chosen.blocks + 3) * chosen.channels
    in_tail = (chosen.blocks + 2) * chosen.channels + 6 * chosen.scale**2
    in_block = (chosen.blocks + 3) * chosen.channels + 8 * chosen.distilled_channels
    return ModelSpec(
        architecture="rfdn",
        options=asdict(chosen),
        scale=chosen.scale,
        value_range=VALUE_RANGE,
        min_side_px=ESA_GRID.first_cell_px,
        alignment_px=ESA_GRID.cell_px,
        grids=(ESA_GRID,),
        # The formula of SRN with the same attention (old ESA); tests/test_peer_tiling.py proves that it is enough.
        # Dilations reach so much further.
        halo_px=36 + 9 * chosen.blocks + chosen.blocks * (sum(chosen.dilation_of) - 3),
        activation_bytes_per_px=4 * max(in_join, in_block, in_tail),
    )


ARCHITECTURE = Architecture(
    name="rfdn",
    title="RFDN (Liu et al., ECCVW 2020)",
    signature=Signature(required=("fea_conv.weight", "B1.c1_d.weight", "B1.c1_r.weight", "B1.esa.conv_max.weight",
                                  "c.0.weight", "LR_conv.weight", "upsampler.0.weight")),
    read_options=_read_options,
    build=_build,
    describe=_describe,
    open_options={"negative_slope": SLOPES, "inner_residual": BOTH, "dilations": ("1", "1,2,5"),
                  "image_residual": tuple(ImageResidual)},
)
