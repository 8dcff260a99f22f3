"""EDSR (Lim et al., CVPRW 2017) and the paper's teacher, a smaller EDSR (section 3.3).

Keys are those of the EDSR authors' PyTorch code: `head.0`, `body.N.body.0|2`, `tail.0.N`, `tail.1`
and the frozen mean shifts. The teacher has 128 channels, 20 blocks, residual scaling 1 and no last
convolution in the trunk; the paper does not say more, so everything else follows EDSR.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from srn_deploy.architectures.options import checked, count_blocks, filters
from srn_deploy.architectures.signature import Architecture, Signature, StateDict
from srn_deploy.errors import OptionError
from srn_deploy.spec import ModelSpec, Scalar

DIV2K_MEAN_RGB = (0.4488, 0.4371, 0.4040)
"""Mean colour of the DIV2K training images in 0..1 (EDSR's published code)."""

VALUE_RANGE = 255.0
"""EDSR's published code trains and tests on 0..255."""

_UPSAMPLER_STEPS = {1: (), 2: (2,), 3: (3,), 4: (2, 2), 8: (2, 2, 2)}


@dataclass(frozen=True, kw_only=True)
class EdsrOptions:
    """Hyper-parameters; the defaults are the paper's teacher."""

    scale: int = 4
    channels: int = 128
    blocks: int = 20
    residual_scaling: float = 1.0
    last_conv: bool = False
    mean_shift: bool = True

    def __post_init__(self) -> None:
        if self.scale not in _UPSAMPLER_STEPS or min(self.channels, self.blocks) < 1:
            raise OptionError(f"EDSR cannot be built from {asdict(self)}.",
                              remedy=f"Scale is one of {', '.join(map(str, _UPSAMPLER_STEPS))}; "
                                     "channels and blocks are at least 1.")


class EdsrMeanShift(nn.Conv2d):
    """A frozen 1x1 convolution that adds sign * range * mean to each colour (EDSR's published code)."""

    def __init__(self, sign: int) -> None:
        super().__init__(3, 3, 1)
        self.weight.data = torch.eye(3).view(3, 3, 1, 1)
        self.bias.data = sign * VALUE_RANGE * torch.tensor(DIV2K_MEAN_RGB)  # type: ignore[union-attr]
        self.requires_grad_(False)


class EdsrBlock(nn.Module):
    """Conv, ReLU and conv, scaled and added to the input; no batch normalisation."""

    def __init__(self, channels: int, residual_scaling: float) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1))
        self.residual_scaling = residual_scaling

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, C, H, W) to refined features of the same shape."""
        refined: Tensor = self.body(features)
        if self.residual_scaling != 1.0:
            refined = refined * self.residual_scaling
        return refined + features


class Edsr(nn.Module):
    """Head, residual blocks, one long residual, sub-pixel upsampler, output convolution."""

    def __init__(self, options: EdsrOptions) -> None:
        super().__init__()
        width = options.channels
        trunk: list[nn.Module] = [EdsrBlock(width, options.residual_scaling) for _ in range(options.blocks)]
        if options.last_conv:
            trunk.append(nn.Conv2d(width, width, 3, padding=1))
        upsampler: list[nn.Module] = []
        for step in _UPSAMPLER_STEPS[options.scale]:
            upsampler += [nn.Conv2d(width, width * step**2, 3, padding=1), nn.PixelShuffle(step)]
        self.sub_mean = EdsrMeanShift(-1) if options.mean_shift else nn.Identity()
        self.head = nn.Sequential(nn.Conv2d(3, width, 3, padding=1))
        self.body = nn.Sequential(*trunk)
        self.tail = nn.Sequential(nn.Sequential(*upsampler), nn.Conv2d(width, 3, 3, padding=1))
        self.add_mean = EdsrMeanShift(+1) if options.mean_shift else nn.Identity()

    def forward(self, lr: Tensor) -> Tensor:
        """RGB (N, 3, H, W) in the trained value range to (N, 3, scale*H, scale*W), not clipped."""
        shallow = self.head(self.sub_mean(lr))
        upscaled: Tensor = self.add_mean(self.tail(self.body(shallow) + shallow))
        return upscaled


def _read_scale(state: StateDict) -> int:
    channels = filters(state, "head.0.weight")
    steps = [filters(state, key) for key in state if key.startswith("tail.0.") and key.endswith(".weight")]
    return prod(3 if step == 9 * channels else 2 for step in steps)


def _read_value_range(state: StateDict) -> float | None:
    """The mean shift holds range * mean, with a mean within 0..1, so a value above 1 means a range of 255."""
    shift = state.get("add_mean.bias")
    return None if shift is None else 1.0 if float(shift.abs().max()) <= 1.0 else VALUE_RANGE


def _read_options(state: StateDict) -> dict[str, Scalar]:
    blocks = sum(f"body.{i}.body.0.weight" in state for i in range(count_blocks(state, "body.")))
    channels = filters(state, "head.0.weight")
    return asdict(EdsrOptions(
        scale=_read_scale(state),
        channels=channels,
        blocks=blocks,
        # Not visible in the keys; EDSR scales residuals only in its large version (256 channels).
        residual_scaling=0.1 if channels >= 256 else 1.0,
        last_conv=f"body.{blocks}.weight" in state,
        mean_shift="sub_mean.weight" in state,
    ))


def _halo_px(options: EdsrOptions) -> int:
    """The exact receptive field: head, blocks and last convolution, then the upsampler and the output convolution.

    After the first shuffle, a pixel of the finer grid at the border reaches one LR pixel further, however many
    convolutions follow: each reaches one pixel of its own grid, whose pitch halves every time.
    """
    return 1 + 2 * options.blocks + options.last_conv + (1 if options.scale == 1 else 2)


def _build(options: Mapping[str, Any]) -> nn.Module:
    return Edsr(checked(EdsrOptions, options))


def _describe(options: Mapping[str, Any]) -> ModelSpec:
    chosen = checked(EdsrOptions, options)
    return ModelSpec(
        architecture="edsr",
        options=asdict(chosen),
        scale=chosen.scale,
        value_range=VALUE_RANGE,
        halo_px=_halo_px(chosen),
        # The upsampler's last stage holds its input and output at full resolution.
        activation_bytes_per_px=4 * 3 * chosen.channels * chosen.scale**2,
    )


ARCHITECTURE = Architecture(
    name="edsr",
    title="EDSR (Lim et al., CVPRW 2017) and the paper's teacher",
    signature=Signature(required=("head.0.weight", "body.0.body.0.weight", "body.0.body.2.weight", "tail.1.weight")),
    read_options=_read_options,
    build=_build,
    describe=_describe,
    open_options={"residual_scaling": (1.0, 0.1)},
    read_value_range=_read_value_range,
)
