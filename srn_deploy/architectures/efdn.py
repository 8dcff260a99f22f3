"""EFDN (Wang, CVPRW 2022): cells of a 1x1 and two 3x3 convolutions, each set aside in part, with ESA.

Keys are those of the authors' published files, which are the folded form: `head`,
`cells.N.conv1.conv1x1|conv2.rep_conv|conv3.rep_conv|branch.M|fuse|att`, `local_fuse.N`, `tail.0`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from srn_deploy.architectures.esa import OldEsa
from srn_deploy.architectures.image_residual import ImageResidual, enlarged_image, with_image
from srn_deploy.architectures.layers import named
from srn_deploy.architectures.options import checked, filters, scale_from_tail
from srn_deploy.architectures.signature import Architecture, Signature, StateDict
from srn_deploy.grid import ESA_GRID
from srn_deploy.spec import ModelSpec, Scalar

VALUE_RANGE = 1.0
"""The authors' test program runs it on 0..1."""

CELLS = 4
"""The network fuses the outputs of exactly four cells (section 3.3 of the paper)."""

_FUSED = ((0, 1), (1, 2), (1, 3))
"""Cells whose outputs are fused before the third, before the fourth, and at the end (the authors' published code)."""


@dataclass(frozen=True, kw_only=True)
class EfdnOptions:
    """Hyper-parameters; the defaults are the authors' entry to NTIRE 2022."""

    scale: int = 4
    channels: int = 48
    distilled_channels: int = 24
    """Channels that each of the four steps of a cell sets aside: half of all."""
    esa_channels: int = 12
    """Channels inside ESA: a quarter of all."""
    image_residual: ImageResidual = ImageResidual.NONE


class EdgeDistillationCell(nn.Module):
    """The input and the output of three steps, each reduced by a 1x1, joined by another; then ESA and a residual."""

    def __init__(self, options: EfdnOptions) -> None:
        super().__init__()
        width = options.channels
        self.conv1 = named(conv1x1=nn.Conv2d(width, width, 1), act=nn.PReLU(width))
        self.conv2, self.conv3 = (named(rep_conv=nn.Conv2d(width, width, 3, padding=1), act=nn.PReLU(width))
                                  for _ in range(2))  # edge-enhanced blocks of the paper, folded
        self.fuse = nn.Conv2d(4 * options.distilled_channels, width, 1)
        self.att = OldEsa(width, options.esa_channels)
        self.branch = nn.ModuleList(nn.Conv2d(width, options.distilled_channels, 1) for _ in range(4))

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, C, H, W) to refined features of the same shape."""
        steps = [features]
        for step in (self.conv1, self.conv2, self.conv3):
            steps.append(step(steps[-1]))
        kept = [branch(step) for branch, step in zip(self.branch, steps, strict=True)]
        weighted: Tensor = self.att(self.fuse(torch.cat(kept, dim=1)))
        return weighted + features


class Efdn(nn.Module):
    """Head, four cells whose outputs are fused in pairs, one long residual, sub-pixel reconstruction."""

    def __init__(self, options: EfdnOptions) -> None:
        super().__init__()
        width = options.channels
        self.enlarged_image = enlarged_image(options.scale, options.image_residual)
        self.head = nn.Conv2d(3, width, 3, padding=1)
        self.cells = nn.ModuleList(EdgeDistillationCell(options) for _ in range(CELLS))
        self.local_fuse = nn.ModuleList(nn.Conv2d(2 * width, width, 1) for _ in _FUSED)
        self.tail = nn.Sequential(nn.Conv2d(width, 3 * options.scale**2, 3, padding=1),
                                  nn.PixelShuffle(options.scale))

    def forward(self, lr: Tensor) -> Tensor:
        """RGB (N, 3, H, W) in the trained value range to (N, 3, scale*H, scale*W), not clipped."""
        shallow = self.head(lr)
        outputs = [self.cells[0](shallow)]
        outputs.append(self.cells[1](outputs[0]))
        for number, (first, second) in enumerate(_FUSED):
            fused = self.local_fuse[number](torch.cat([outputs[first], outputs[second]], dim=1))
            if number + 2 < CELLS:
                outputs.append(self.cells[number + 2](fused))
        upscaled: Tensor = self.tail(fused + shallow)
        return with_image(upscaled, lr, self.enlarged_image)


def _read_options(state: StateDict) -> dict[str, Scalar]:
    return asdict(EfdnOptions(
        scale=scale_from_tail(state, "tail.0.weight"),
        channels=filters(state, "head.weight"),
        distilled_channels=filters(state, "cells.0.branch.0.weight"),
        esa_channels=filters(state, "cells.0.att.conv1.weight"),
    ))


def _build(options: Mapping[str, Any]) -> nn.Module:
    return Efdn(checked(EfdnOptions, options))


def _describe(options: Mapping[str, Any]) -> ModelSpec:
    chosen = checked(EfdnOptions, options)
    # Measured: in the last cell its attention or its parts, concatenated, beside the outputs of all; or the end.
    in_cell = 11 * chosen.channels + 4 * chosen.distilled_channels + 2 * chosen.esa_channels
    in_join = 9 * chosen.channels + 8 * chosen.distilled_channels
    in_tail = 7 * chosen.channels + 6 * chosen.scale**2
    return ModelSpec(
        architecture="efdn",
        options=asdict(chosen),
        scale=chosen.scale,
        value_range=VALUE_RANGE,
        min_side_px=ESA_GRID.first_cell_px,
        alignment_px=ESA_GRID.cell_px,
        grids=(ESA_GRID,),
        # As of RFDN, which has the same attention; tests/test_challenge_networks.py proves that it is enough.
        halo_px=36 + 9 * CELLS,
        activation_bytes_per_px=4 * max(in_cell, in_join, in_tail),
    )


ARCHITECTURE = Architecture(
    name="efdn",
    title="EFDN (Wang, CVPRW 2022)",
    signature=Signature(required=("head.weight", "cells.0.conv1.conv1x1.weight", "cells.3.conv2.rep_conv.weight",
                                  "cells.0.branch.0.weight", "cells.0.att.conv_max.weight", "local_fuse.2.weight",
                                  "tail.0.weight")),
    read_options=_read_options,
    build=_build,
    describe=_describe,
    open_options={"image_residual": tuple(ImageResidual)},
)
