"""SRN, SRN-S, the challenge model and the ablation networks of Tables 2-4 (sections 3.2 and 4).

One module with four switches: attention (none, old, new ESA), residual or non-residual blocks,
with or without the last convolution, and the width. Keys are those of the authors' checkpoint
`team25_srn.pt`; the name `last_conv` was chosen here, as no checkpoint with it has been published.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from torch import Tensor, nn

from srn_deploy.architectures.esa import NewEsa, OldEsa
from srn_deploy.architectures.image_residual import ImageResidual, enlarged_image, with_image
from srn_deploy.architectures.options import BOTH, SLOPES, checked, count_blocks, filters, scale_from_tail
from srn_deploy.architectures.signature import Architecture, Signature, StateDict
from srn_deploy.errors import OptionError
from srn_deploy.grid import ESA_GRID
from srn_deploy.spec import ModelSpec, Scalar


class Attention(StrEnum):
    """The attention at the end of a block (Table 2)."""

    NONE = "none"
    OLD = "old"
    NEW = "new"


@dataclass(frozen=True, kw_only=True)
class SrnOptions:
    """Hyper-parameters; the defaults are the paper's SRN-S (section 3.2)."""

    scale: int = 4
    channels: int = 64
    blocks: int = 6
    esa_channels: int = 16
    attention: Attention = Attention.NEW
    residual: bool = False
    last_conv: bool = False
    negative_slope: float = 0.1
    """The slope of the LeakyReLU between the two convolutions (the authors' published code)."""
    image_residual: ImageResidual = ImageResidual.NONE

    def __post_init__(self) -> None:
        if min(self.scale, self.channels, self.blocks, self.esa_channels) < 1:
            raise OptionError(f"SRN cannot be built from {asdict(self)}.",
                              remedy="Scale, channels, blocks and esa_channels are at least 1.")


class SrnBlock(nn.Module):
    """Conv, LeakyReLU, conv, ESA (figure 3): an RB with the residual, an NRB without."""

    def __init__(self, options: SrnOptions) -> None:
        super().__init__()
        width = options.channels
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.activation = nn.LeakyReLU(options.negative_slope)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        if options.attention is not Attention.NONE:
            self.ESA = (NewEsa if options.attention is Attention.NEW else OldEsa)(width, options.esa_channels)
        self.residual = options.residual

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, C, H, W) to refined features of the same shape (equation 2)."""
        refined: Tensor = self.conv2(self.activation(self.conv1(features)))
        if hasattr(self, "ESA"):
            refined = self.ESA(refined)
        return refined + features if self.residual else refined


class Srn(nn.Module):
    """Head, a chain of blocks, one long residual, sub-pixel reconstruction (equations 1-3)."""

    def __init__(self, options: SrnOptions) -> None:
        super().__init__()
        self.enlarged_image = enlarged_image(options.scale, options.image_residual)
        self.recon_trunk = nn.ModuleList(SrnBlock(options) for _ in range(options.blocks))
        if options.last_conv:
            self.last_conv = nn.Conv2d(options.channels, options.channels, 3, padding=1)
        self.head = nn.Conv2d(3, options.channels, 3, padding=1)
        self.tail = nn.Conv2d(options.channels, 3 * options.scale**2, 3, padding=1)
        self.shuffle = nn.PixelShuffle(options.scale)

    def forward(self, lr: Tensor) -> Tensor:
        """RGB (N, 3, H, W) in the trained value range to (N, 3, scale*H, scale*W), not clipped."""
        shallow = features = self.head(lr)
        for block in self.recon_trunk:
            features = block(features)
        if hasattr(self, "last_conv"):
            features = self.last_conv(features)
        upscaled: Tensor = self.shuffle(self.tail(features + shallow))
        return with_image(upscaled, lr, self.enlarged_image)


VALUE_RANGE = 255.0
"""The authors' test script runs the checkpoint on 0..255; checkpoints from this package state their own range."""

ACTIVATION_FACTOR = 4
"""Feature maps in memory at once: long residual, block input, input and output of a convolution."""


def _halo_px(options: SrnOptions) -> int:
    """The context in pixels that a tile needs to come within 1/255 of the whole image.

    The first block reaches as far as its cells (with one convolution on them or three), each further block less. The
    formula was fitted to seeded networks of every kind with strong attention, for which tests/test_exact_tiling.py
    checks it; measurements of trained networks are in benchmarks/README.md.
    """
    if options.attention is Attention.NONE:
        return 2 * options.blocks + 2 + options.last_conv  # the exact receptive field
    if options.attention is Attention.OLD:
        return 36 + 9 * options.blocks
    return 24 + 6 * options.blocks


_ESA_KEY = "recon_trunk.0.ESA.conv1.weight"


def _read_options(state: StateDict) -> dict[str, Scalar]:
    attention = Attention.NONE
    if _ESA_KEY in state:
        attention = Attention.OLD if "recon_trunk.0.ESA.conv_f.weight" in state else Attention.NEW
    return asdict(SrnOptions(
        scale=scale_from_tail(state, "tail.weight"),
        channels=filters(state, "head.weight"),
        blocks=count_blocks(state, "recon_trunk."),
        esa_channels=SrnOptions.esa_channels if attention is Attention.NONE else filters(state, _ESA_KEY),
        attention=attention,
        # Not visible in the keys. Networks with the new ESA are SRNs (NRB); the others are the
        # baseline and ESAN_old of Table 2, which have residual blocks.
        residual=attention is not Attention.NEW,
        last_conv="last_conv.weight" in state,
    ))


def _build(options: Mapping[str, Any]) -> nn.Module:
    return Srn(checked(SrnOptions, options))


def _describe(options: Mapping[str, Any]) -> ModelSpec:
    chosen = checked(SrnOptions, options)
    has_esa = chosen.attention is not Attention.NONE
    return ModelSpec(
        architecture="srn",
        options=asdict(chosen),
        scale=chosen.scale,
        value_range=VALUE_RANGE,
        min_side_px=ESA_GRID.first_cell_px if has_esa else 1,
        alignment_px=ESA_GRID.cell_px if has_esa else 1,
        grids=(ESA_GRID,) if has_esa else (),
        halo_px=_halo_px(chosen),
        activation_bytes_per_px=4 * (ACTIVATION_FACTOR * chosen.channels + 2 * 3 * chosen.scale**2),
    )


ARCHITECTURE = Architecture(
    name="srn",
    title="SRN / SRN-S (Wang and Cai, CVPRW 2023)",
    signature=Signature(required=("recon_trunk.0.conv1.weight", "recon_trunk.0.conv2.weight", "head.weight",
                                  "tail.weight")),
    read_options=_read_options,
    build=_build,
    describe=_describe,
    open_options={"negative_slope": SLOPES, "residual": BOTH, "image_residual": tuple(ImageResidual)},
)
