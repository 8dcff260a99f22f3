"""SRCNN (Dong et al., TPAMI 2016): three convolutions on an image enlarged by bicubic interpolation.

Keys are those of a PyTorch port: `patch_extraction`, `nonlinear_map`, `recon`. The files of the port work on all three
channels of full-range YCbCr (as in JPEG), the paper's network on luma alone: 9-5-5 on one channel has 57,281
parameters, the 57K of the paper's Table 1. The convolutions have no padding, which would make the image smaller, so
its border is repeated first. One file serves all scales, so the scale must be given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from srn_deploy.architectures.luma import FULL, Bicubic, ColourSpace, LumaNetwork
from srn_deploy.architectures.options import checked, filters
from srn_deploy.architectures.signature import Architecture, Signature, StateDict
from srn_deploy.errors import OptionError
from srn_deploy.spec import Colour, ModelSpec, Scalar


@dataclass(frozen=True, kw_only=True)
class SrcnnOptions:
    """Hyper-parameters; the defaults are 9-5-5 on luma."""

    scale: int
    all_channels: bool = False
    """Whether it works on full-range YCbCr instead of luma alone."""
    features: int = 64
    mapped: int = 32
    mapping_side: int = 5

    def __post_init__(self) -> None:
        if not 2 <= self.scale <= 4 or min(self.features, self.mapped) < 1 or self.mapping_side not in (1, 3, 5):
            raise OptionError(f"SRCNN cannot be built from {asdict(self)}.",
                              remedy="Scale is 2, 3 or 4, the side of the mapping 1, 3 or 5, the widths at least 1.")

    @property
    def reach_px(self) -> int:
        """The reach of the three convolutions, in pixels of the enlarged image."""
        return 4 + self.mapping_side // 2 + 2


class Srcnn(LumaNetwork):
    """Enlarge, extract patches, map, reconstruct."""

    def __init__(self, options: SrcnnOptions) -> None:
        super().__init__(options.scale)
        channels = 3 if options.all_channels else 1
        self.reach_px, self.all_channels = options.reach_px, options.all_channels
        self.enlarge = Bicubic(options.scale, channels)
        self.patch_extraction = nn.Conv2d(channels, options.features, 9)
        self.nonlinear_map = nn.Conv2d(options.features, options.mapped, options.mapping_side)
        self.recon = nn.Conv2d(options.mapped, channels, 5)
        self.relu = nn.ReLU()
        if options.all_channels:
            self.colours = ColourSpace(FULL, (0.0, 128.0, 128.0))

    def upscale_luma(self, luma: Tensor) -> Tensor:
        """(N, C, H, W) in 0..1 to (N, C, scale*H, scale*W)."""
        padded = functional.pad(self.enlarge(luma), (self.reach_px,) * 4, mode="replicate")
        upscaled: Tensor = self.recon(self.relu(self.nonlinear_map(self.relu(self.patch_extraction(padded)))))
        return upscaled

    def forward(self, rgb: Tensor) -> Tensor:
        """RGB (N, 3, H, W) in 0..1 to (N, 3, scale*H, scale*W), not clipped."""
        if not self.all_channels:
            return super().forward(rgb)
        return self.colours.merge(self.upscale_luma(self.colours.split(rgb)))


def _read_options(state: StateDict) -> dict[str, Scalar]:
    return {"all_channels": state["patch_extraction.weight"].shape[1:2] == torch.Size([3]),
            "features": filters(state, "patch_extraction.weight"), "mapped": filters(state, "nonlinear_map.weight"),
            "mapping_side": int(state["nonlinear_map.weight"].shape[-1])}


def _build(options: Mapping[str, Any]) -> nn.Module:
    return Srcnn(checked(SrcnnOptions, options))


def _describe(options: Mapping[str, Any]) -> ModelSpec:
    chosen = checked(SrcnnOptions, options)
    return ModelSpec(
        architecture="srcnn", options=asdict(chosen), scale=chosen.scale, value_range=1.0,
        colour=Colour.RGB if chosen.all_channels else Colour.Y,
        halo_px=-(-chosen.reach_px // chosen.scale) + 2,
        activation_bytes_per_px=4 * 2 * chosen.features * chosen.scale**2)


ARCHITECTURE = Architecture(
    name="srcnn",
    title="SRCNN (Dong et al., TPAMI 2016)",
    signature=Signature(required=("patch_extraction.weight", "nonlinear_map.weight", "recon.weight")),
    read_options=_read_options,
    build=_build,
    describe=_describe,
    value_ranges=(),
    unknown_options=("scale",),
)
