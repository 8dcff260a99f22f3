"""SRVGGNetCompact (Real-ESRGAN, Wang et al., ICCVW 2021): a chain of 3x3 convolutions and a sub-pixel shuffle.

Keys are those of the authors' code: `body.N`, convolutions at even numbers and the slopes of PReLUs at odd ones. The
input itself is added to each sub-pixel, which is nearest-neighbour enlargement. `realesr-general-x4v3` has 32
convolutions between the first and the last, `realesr-animevideov3` 16.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from torch import Tensor, nn

from srn_deploy.architectures.options import checked, filters, scale_from_tail
from srn_deploy.architectures.signature import Architecture, Signature, StateDict
from srn_deploy.spec import ModelSpec, Scalar

VALUE_RANGE = 1.0
"""The authors' programs divide pixels by 255, and so do those that trained all networks of this kind."""

NEGATIVE_SLOPE = 0.1
"""Of the LeakyReLU that the authors' code can have in the place of PReLUs."""


class SrvggActivation(StrEnum):
    """The activation after every convolution but the last; without slopes in a file it is taken to be ReLU."""

    PRELU = "prelu"
    RELU = "relu"
    LEAKYRELU = "leakyrelu"


@dataclass(frozen=True, kw_only=True)
class SrvggOptions:
    """Hyper-parameters; the defaults are those of the authors' code."""

    scale: int = 4
    channels: int = 64
    blocks: int = 16
    """Convolutions between the first and the last."""
    activation: SrvggActivation = SrvggActivation.PRELU


class Srvgg(nn.Module):
    """Convolutions, each with its activation; the last gives the sub-pixels."""

    def __init__(self, options: SrvggOptions) -> None:
        super().__init__()
        width, self.scale = options.channels, options.scale
        layers: list[nn.Module] = []
        for number in range(options.blocks + 1):
            layers += [nn.Conv2d(width if number else 3, width, 3, padding=1), _activation(options)]
        self.body = nn.Sequential(*layers, nn.Conv2d(width, 3 * options.scale**2, 3, padding=1))
        self.upsampler = nn.PixelShuffle(options.scale)

    def forward(self, lr: Tensor) -> Tensor:
        """RGB (N, 3, H, W) in the trained value range to (N, 3, scale*H, scale*W), not clipped."""
        upscaled: Tensor = self.upsampler(self.body(lr) + lr.repeat_interleave(self.scale**2, dim=1))
        return upscaled


def _activation(options: SrvggOptions) -> nn.Module:
    if options.activation is SrvggActivation.PRELU:
        return nn.PReLU(options.channels)
    return nn.ReLU() if options.activation is SrvggActivation.RELU else nn.LeakyReLU(NEGATIVE_SLOPE)


_WEIGHT = re.compile(r"body\.([0-9]{1,4})\.weight")
"""Of a convolution or of a PReLU, with its number."""


def _read_options(state: StateDict) -> dict[str, Scalar]:
    channels = filters(state, "body.0.weight")  # first: below there is at least this one
    convolutions = {int(found[1]): key for key in state if (found := _WEIGHT.fullmatch(key)) and state[key].dim() == 4}
    return asdict(SrvggOptions(
        scale=scale_from_tail(state, convolutions[max(convolutions)]),
        channels=channels,
        blocks=len(convolutions) - 2,
        activation=SrvggActivation.PRELU if "body.1.weight" in state else SrvggActivation.RELU,
    ))


def _build(options: Mapping[str, Any]) -> nn.Module:
    return Srvgg(checked(SrvggOptions, options))


def _describe(options: Mapping[str, Any]) -> ModelSpec:
    chosen = checked(SrvggOptions, options)
    return ModelSpec(
        architecture="srvgg",
        options=asdict(chosen),
        scale=chosen.scale,
        value_range=VALUE_RANGE,
        halo_px=chosen.blocks + 2,  # the receptive field, so that tiles are exact
        # Measured: the input and output of an activation, or three times the sub-pixels.
        activation_bytes_per_px=4 * max(2 * chosen.channels + 5, 9 * chosen.scale**2),
    )


ARCHITECTURE = Architecture(
    name="srvgg",
    title="SRVGGNetCompact (Wang et al., Real-ESRGAN, ICCVW 2021)",
    signature=Signature(required=("body.0.weight", "body.0.bias", "body.2.weight", "body.2.bias", "body.4.weight"),
                        forbidden=("head.0.weight", "conv_first.weight", "tail.0.weight")),
    read_options=_read_options,
    build=_build,
    describe=_describe,
    value_ranges=(),
)
