"""FSRCNN (Dong et al., ECCV 2016): the first network that works at low resolution and enlarges at its end.

Keys are those of the best known PyTorch port: `first_part.0|1`, `mid_part.N`, `last_part`. The paper's Table 1
gives it 12K parameters for both scales: its kernels do not depend on the scale, so the scale must be given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, nn

from srn_deploy.architectures.luma import LumaNetwork
from srn_deploy.architectures.options import checked, filters
from srn_deploy.architectures.signature import Architecture, Signature, StateDict
from srn_deploy.errors import OptionError
from srn_deploy.spec import Colour, ModelSpec, Scalar


@dataclass(frozen=True, kw_only=True)
class FsrcnnOptions:
    """Hyper-parameters by the names of section 3 of its paper; the defaults are FSRCNN(56, 12, 4)."""

    scale: int
    features: int = 56
    """d: channels of the first layer and of the last."""
    shrunk: int = 12
    """s: channels of the mapping layers."""
    mappings: int = 4
    """m: the number of mapping layers."""
    luma_range: float = 1.0
    """The value range of Y in training."""

    def __post_init__(self) -> None:
        if not 2 <= self.scale <= 4 or min(self.features, self.shrunk, self.mappings) < 1 or self.luma_range <= 0:
            raise OptionError(f"FSRCNN cannot be built from {asdict(self)}.",
                              remedy="Scale is 2, 3 or 4; the widths and the depth are at least 1; "
                                     "luma_range is 1 or 255.")


class Fsrcnn(LumaNetwork):
    """Extract, shrink, map, expand, then one transposed convolution; PReLU between all of them."""

    def __init__(self, options: FsrcnnOptions) -> None:
        super().__init__(options.scale, options.luma_range)
        wide, narrow = options.features, options.shrunk
        self.first_part = nn.Sequential(nn.Conv2d(1, wide, 5, padding=2), nn.PReLU(wide))
        mapping: list[nn.Module] = [nn.Conv2d(wide, narrow, 1), nn.PReLU(narrow)]
        for _ in range(options.mappings):
            mapping += [nn.Conv2d(narrow, narrow, 3, padding=1), nn.PReLU(narrow)]
        self.mid_part = nn.Sequential(*mapping, nn.Conv2d(narrow, wide, 1), nn.PReLU(wide))
        self.last_part = nn.ConvTranspose2d(wide, 1, 9, stride=options.scale, padding=4,
                                            output_padding=options.scale - 1)

    def upscale_luma(self, luma: Tensor) -> Tensor:
        """Y (N, 1, H, W) in 0..1 to (N, 1, scale*H, scale*W)."""
        upscaled: Tensor = self.last_part(self.mid_part(self.first_part(self.as_trained(luma))))
        return self.from_trained(upscaled)


def _read_options(state: StateDict) -> dict[str, Scalar]:
    mappings = sum(key.startswith("mid_part.") and tensor.shape[2:] == (3, 3) for key, tensor in state.items()
                   if tensor.ndim == 4)
    return {"features": filters(state, "first_part.0.weight"), "shrunk": filters(state, "mid_part.0.weight"),
            "mappings": mappings}


def _build(options: Mapping[str, Any]) -> nn.Module:
    return Fsrcnn(checked(FsrcnnOptions, options))


def _describe(options: Mapping[str, Any]) -> ModelSpec:
    chosen = checked(FsrcnnOptions, options)
    return ModelSpec(
        architecture="fsrcnn", options=asdict(chosen), scale=chosen.scale, value_range=1.0, colour=Colour.Y,
        # The 5x5, the mappings, and the reach of the transposed 9x9 in pixels of the input.
        halo_px=2 + chosen.mappings + -(-4 // chosen.scale) + 1,
        activation_bytes_per_px=4 * (2 * chosen.features + 8 * chosen.scale**2))


ARCHITECTURE = Architecture(
    name="fsrcnn",
    title="FSRCNN (Dong et al., ECCV 2016)",
    signature=Signature(required=("first_part.0.weight", "first_part.1.weight", "mid_part.0.weight",
                                  "last_part.weight")),
    read_options=_read_options,
    build=_build,
    describe=_describe,
    value_ranges=(),
    open_options={"luma_range": (1.0, 255.0)},
    unknown_options=("scale",),
)
