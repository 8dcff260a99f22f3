"""VDSR (Kim et al., CVPR 2016): twenty convolutions that correct an image enlarged by bicubic interpolation.

Keys are those of the best known PyTorch port: `input`, `residual_layer.N.conv`, `output`, without biases (664,704
parameters); with them there are 665,921, the 666K of the paper's Table 1. One file serves all scales, so the scale
must be given. That port's own file is a pickled module, which is never executed here: save its state dict instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, nn

from srn_deploy.architectures.luma import Bicubic, LumaNetwork
from srn_deploy.architectures.options import checked, count_blocks, filters
from srn_deploy.architectures.signature import Architecture, Signature, StateDict
from srn_deploy.errors import OptionError
from srn_deploy.spec import Colour, ModelSpec, Scalar


@dataclass(frozen=True, kw_only=True)
class VdsrOptions:
    """Hyper-parameters; the defaults are those of its paper."""

    scale: int
    channels: int = 64
    layers: int = 18
    """Convolutions between the first and the last."""
    bias: bool = True
    luma_range: float = 1.0
    """The value range of Y in training."""

    def __post_init__(self) -> None:
        if not 2 <= self.scale <= 4 or min(self.channels, self.layers) < 1 or self.luma_range <= 0:
            raise OptionError(f"VDSR cannot be built from {asdict(self)}.",
                              remedy="Scale is 2, 3 or 4; channels and layers are at least 1; luma_range is 1 or 255.")


class _Layer(nn.Module):
    """Convolution and ReLU, under the published key."""

    def __init__(self, channels: int, *, bias: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=bias)
        self.relu = nn.ReLU()

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        refined: Tensor = self.relu(self.conv(features))
        return refined


class Vdsr(LumaNetwork):
    """The enlarged luma plus a correction computed by the network."""

    def __init__(self, options: VdsrOptions) -> None:
        super().__init__(options.scale, options.luma_range)
        width = options.channels
        self.enlarge = Bicubic(options.scale, 1)
        self.input = nn.Conv2d(1, width, 3, padding=1, bias=options.bias)
        self.relu = nn.ReLU()
        self.residual_layer = nn.Sequential(*(_Layer(width, bias=options.bias) for _ in range(options.layers)))
        self.output = nn.Conv2d(width, 1, 3, padding=1, bias=options.bias)

    def upscale_luma(self, luma: Tensor) -> Tensor:
        """Y (N, 1, H, W) in 0..1 to (N, 1, scale*H, scale*W)."""
        enlarged: Tensor = self.enlarge(self.as_trained(luma))
        residual: Tensor = self.output(self.residual_layer(self.relu(self.input(enlarged))))
        return self.from_trained(enlarged + residual)


def _read_options(state: StateDict) -> dict[str, Scalar]:
    return {"channels": filters(state, "input.weight"), "layers": count_blocks(state, "residual_layer."),
            "bias": "input.bias" in state}


def _build(options: Mapping[str, Any]) -> nn.Module:
    return Vdsr(checked(VdsrOptions, options))


def _describe(options: Mapping[str, Any]) -> ModelSpec:
    chosen = checked(VdsrOptions, options)
    return ModelSpec(
        architecture="vdsr", options=asdict(chosen), scale=chosen.scale, value_range=1.0, colour=Colour.Y,
        halo_px=-(-(chosen.layers + 2) // chosen.scale) + 2,
        activation_bytes_per_px=4 * 2 * chosen.channels * chosen.scale**2)


ARCHITECTURE = Architecture(
    name="vdsr",
    title="VDSR (Kim et al., CVPR 2016)",
    signature=Signature(required=("input.weight", "residual_layer.0.conv.weight", "output.weight")),
    read_options=_read_options,
    build=_build,
    describe=_describe,
    value_ranges=(),
    open_options={"luma_range": (1.0, 255.0)},
    unknown_options=("scale",),
)
