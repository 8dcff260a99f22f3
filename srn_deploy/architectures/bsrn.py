"""BSRN (Li et al., CVPRW 2022): the blocks of RFDN with blueprint separable convolutions, ESA and channel attention.

Keys are those of the authors' code: `fea_conv.pw|dw`, `BN.c1_d|c1_r.pw|...|c5|esa|cca`, `c1`, `c2`,
`upsampler.upsampleOneStep.0`. Their entry to NTIRE 2022, BSRN-S, differs: learned weights of channels (`cw`) and a 1x1
convolution (`conv_out`) in place of the contrast-aware attention, biases in all 1x1 parts, an ordinary strided
convolution in ESA, and 1x1 convolutions that are stored as matrices, which become convolutions when a file is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

import torch
from torch import Tensor, nn

from srn_deploy.architectures.esa import OldEsa
from srn_deploy.architectures.image_residual import ImageResidual, enlarged_image, with_image
from srn_deploy.architectures.imdn import ContrastAttention
from srn_deploy.architectures.layers import named
from srn_deploy.architectures.options import checked, filters, scale_from_tail
from srn_deploy.architectures.signature import Architecture, OtherForm, Signature, StateDict
from srn_deploy.grid import ESA_GRID
from srn_deploy.spec import ModelSpec, Scalar

VALUE_RANGE = 1.0
"""The authors train on 0..1."""


class BsrnVariant(StrEnum):
    """Which of the two published networks."""

    PAPER = "paper"
    """Contrast-aware attention at the end of a block, which looks at the whole image."""
    CHALLENGE = "challenge"
    """BSRN-S: learned weights of channels in its place."""


@dataclass(frozen=True, kw_only=True)
class BsrnOptions:
    """Hyper-parameters; the defaults are the network of the paper."""

    scale: int = 4
    channels: int = 64
    distilled_channels: int = 32
    """Channels that each step of a block sets aside: half of all."""
    blocks: int = 8
    esa_channels: int = 16
    """Channels inside ESA: a quarter of all."""
    squeezed_channels: int = 4
    """Channels inside the channel attention of the paper's variant: a sixteenth of all."""
    variant: BsrnVariant = BsrnVariant.PAPER
    image_residual: ImageResidual = ImageResidual.NONE

    @property
    def has_bias(self) -> bool:
        """Whether the 1x1 part of a separable convolution has a bias."""
        return self.variant is BsrnVariant.CHALLENGE


class BlueprintConv(nn.Module):
    """A blueprint separable convolution: 1x1, then a 3x3 on each channel by itself (Haase and Amthor, CVPR 2020)."""

    def __init__(self, entering: int, leaving: int, *, bias: bool, stride: int = 1, padding: int = 1) -> None:
        super().__init__()
        self.pw = nn.Conv2d(entering, leaving, 1, bias=bias)
        self.dw = nn.Conv2d(leaving, leaving, 3, stride=stride, padding=padding, groups=leaving)

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) to (N, D, H, W), smaller with a stride."""
        refined: Tensor = self.dw(self.pw(features))
        return refined


def _esa(options: BsrnOptions) -> OldEsa:
    """The ESA of RFDN with separable convolutions on the cells, and GELU."""
    narrow, bias = options.esa_channels, options.has_bias
    plain = nn.Conv2d(narrow, narrow, 3, stride=2) if options.variant is BsrnVariant.CHALLENGE else None
    return OldEsa(options.channels, narrow, activation=nn.GELU(), on_cells=lambda: BlueprintConv(
        narrow, narrow, bias=bias), to_cells=plain or BlueprintConv(narrow, narrow, bias=bias, stride=2, padding=0))


class SeparableDistillationBlock(nn.Module):
    """Three steps that each set aside a 1x1 of their input and refine it by a residual 3x3; 1x1, ESA, channels."""

    def __init__(self, options: BsrnOptions) -> None:
        super().__init__()
        width, distilled, bias = options.channels, options.distilled_channels, options.has_bias
        for step in (1, 2, 3):
            self.add_module(f"c{step}_d", nn.Conv2d(width, distilled, 1))
            self.add_module(f"c{step}_r", BlueprintConv(width, width, bias=bias))
        self.c4 = BlueprintConv(width, distilled, bias=bias)
        self.c5 = nn.Conv2d(4 * distilled, width, 1)
        self.esa = _esa(options)
        self.activation = nn.GELU()
        self.variant = options.variant
        if options.variant is BsrnVariant.CHALLENGE:
            self.cw = nn.Parameter(torch.ones(1, width))
            self.conv_out = nn.Conv2d(width, width, 1)
        else:
            self.cca = ContrastAttention(width, options.squeezed_channels)

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, C, H, W) to refined features of the same shape."""
        kept, refined = [], features
        for step in (1, 2, 3):
            kept.append(self.activation(self.get_submodule(f"c{step}_d")(refined)))
            refined = self.activation(self.get_submodule(f"c{step}_r")(refined) + refined)
        kept.append(self.activation(self.c4(refined)))
        weighted = self.esa(self.c5(torch.cat(kept, dim=1)))
        if self.variant is BsrnVariant.CHALLENGE:
            weighted = self.conv_out(weighted * self.cw[:, :, None, None])
        else:
            weighted = self.cca(weighted)
        joined: Tensor = weighted + features
        return joined


class Bsrn(nn.Module):
    """Head on the image four times over, blocks whose outputs are concatenated, one long residual, reconstruction."""

    def __init__(self, options: BsrnOptions) -> None:
        super().__init__()
        width = options.channels
        self.enlarged_image = enlarged_image(options.scale, options.image_residual)
        self.names = [f"B{number}" for number in range(1, options.blocks + 1)]
        self.fea_conv = BlueprintConv(4 * 3, width, bias=options.has_bias)
        for name in self.names:
            self.add_module(name, SeparableDistillationBlock(options))
        self.c1 = nn.Conv2d(options.blocks * width, width, 1)
        self.activation = nn.GELU()
        self.c2 = BlueprintConv(width, width, bias=options.has_bias)
        self.upsampler = named(upsampleOneStep=nn.Sequential(
            nn.Conv2d(width, 3 * options.scale**2, 3, padding=1), nn.PixelShuffle(options.scale)))

    def forward(self, lr: Tensor) -> Tensor:
        """RGB (N, 3, H, W) in the trained value range to (N, 3, scale*H, scale*W), not clipped."""
        shallow = features = self.fea_conv(torch.cat([lr] * 4, dim=1))
        outputs = []
        for name in self.names:
            features = self.get_submodule(name)(features)
            outputs.append(features)
        deep = self.c2(self.activation(self.c1(torch.cat(outputs, dim=1))))
        upscaled: Tensor = self.upsampler(deep + shallow)
        return with_image(upscaled, lr, self.enlarged_image)


def _read_options(state: StateDict) -> dict[str, Scalar]:
    squeezed = "B1.cca.conv_du.0.weight"
    return asdict(BsrnOptions(
        scale=scale_from_tail(state, "upsampler.upsampleOneStep.0.weight"),
        channels=filters(state, "fea_conv.dw.weight"),
        distilled_channels=filters(state, "B1.c4.dw.weight"),
        blocks=sum(f"B{number}.c4.dw.weight" in state for number in range(1, len(state) + 1)),
        esa_channels=filters(state, "B1.esa.conv3.dw.weight"),
        squeezed_channels=filters(state, squeezed) if squeezed in state else BsrnOptions.squeezed_channels,
        variant=BsrnVariant.PAPER if squeezed in state else BsrnVariant.CHALLENGE,
    ))


def _with_convolutions(state: StateDict, given: Mapping[str, Any]) -> StateDict:
    """Matrices of BSRN-S as 1x1 convolutions; what is one already stays."""
    return {key: value[:, :, None, None] if value.dim() == 2 and key.endswith(".weight") else value
            for key, value in state.items()}


def _build(options: Mapping[str, Any]) -> nn.Module:
    return Bsrn(checked(BsrnOptions, options))


def _describe(options: Mapping[str, Any]) -> ModelSpec:
    chosen = checked(BsrnOptions, options)
    # Measured: all block outputs and their concatenation; or in the last block its attention, or its parts.
    in_join = (2 * chosen.blocks + 2) * chosen.channels
    in_attention = (chosen.blocks + 4) * chosen.channels + 4 * chosen.distilled_channels + 2 * chosen.esa_channels
    in_block = (chosen.blocks + 2) * chosen.channels + 8 * chosen.distilled_channels
    in_tail = (chosen.blocks + 3) * chosen.channels + 6 * chosen.scale**2
    return ModelSpec(
        architecture="bsrn",
        options=asdict(chosen),
        scale=chosen.scale,
        value_range=VALUE_RANGE,
        min_side_px=ESA_GRID.first_cell_px,
        alignment_px=ESA_GRID.cell_px,
        grids=(ESA_GRID,),
        # As of RFDN; no halo corrects the different statistics of a tile in the paper's variant.
        halo_px=36 + 9 * chosen.blocks,
        pools_whole_picture=chosen.variant is BsrnVariant.PAPER,
        activation_bytes_per_px=4 * max(in_join, in_attention, in_block, in_tail),
    )


_KEYS = ("fea_conv.pw.weight", "B1.c1_d.weight", "B1.c1_r.pw.weight", "B1.esa.conv_max.dw.weight", "c1.weight",
         "upsampler.upsampleOneStep.0.weight")

ARCHITECTURE = Architecture(
    name="bsrn",
    title="BSRN (Li et al., CVPRW 2022)",
    signature=Signature(required=(*_KEYS, "B1.cca.conv_du.0.weight")),
    other_forms=(OtherForm(signature=Signature(required=(*_KEYS, "B1.cw", "B1.conv_out.weight")),
                           converted=_with_convolutions),),
    read_options=_read_options,
    build=_build,
    describe=_describe,
    open_options={"image_residual": tuple(ImageResidual)},
)
