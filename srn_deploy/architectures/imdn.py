"""IMDN (Hui et al., ACM MM 2019), one of the networks in the paper's Table 1.

Keys are those of the authors' code: `fea_conv`, `IMDBN.c1…c5|cca.conv_du.0|2`, `c.0`, `LR_conv`, `upsampler.0`.

Its contrast-aware channel attention takes the mean and the standard deviation of each channel over the whole image, so
a tile has other statistics than the image and cannot be exact. Both are sums over millions of values, and are computed
in FP32 whatever the precision of the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from srn_deploy.architectures.image_residual import ImageResidual, enlarged_image, with_image
from srn_deploy.architectures.options import SLOPES, checked, filters, scale_from_tail
from srn_deploy.architectures.signature import Architecture, Signature, StateDict
from srn_deploy.errors import OptionError
from srn_deploy.spec import ModelSpec, Scalar

VALUE_RANGE = 1.0
"""The authors' test program divides pixels by 255."""


@dataclass(frozen=True, kw_only=True)
class ImdnOptions:
    """Hyper-parameters; the defaults are the network of the paper's Table 1."""

    scale: int = 4
    channels: int = 64
    distilled_channels: int = 16
    """Channels that each step of a block sets aside: a quarter of all."""
    squeezed_channels: int = 4
    """Channels inside the channel attention: a sixteenth of all."""
    blocks: int = 6
    negative_slope: float = 0.05
    """The slope of every LeakyReLU (the authors' published code)."""
    image_residual: ImageResidual = ImageResidual.NONE

    def __post_init__(self) -> None:
        if (min(self.scale, self.channels, self.distilled_channels, self.squeezed_channels, self.blocks) < 1
                or self.distilled_channels >= self.channels):
            raise OptionError(f"IMDN cannot be built from {asdict(self)}.",
                              remedy="Scale, channels, squeezed_channels and blocks are at least 1, and "
                                     "distilled_channels below channels.")


class ContrastAttention(nn.Module):
    """Weights each channel by a function of its mean plus its standard deviation over the whole image."""

    def __init__(self, channels: int, squeezed_channels: int) -> None:
        super().__init__()
        self.conv_du = nn.Sequential(nn.Conv2d(channels, squeezed_channels, 1), nn.ReLU(),
                                     nn.Conv2d(squeezed_channels, channels, 1), nn.Sigmoid())

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, C, H, W) to weighted features of the same shape."""
        wide = features.float()
        mean = wide.mean(dim=(2, 3), keepdim=True)
        contrast = (wide - mean).square().mean(dim=(2, 3), keepdim=True).sqrt()
        weights: Tensor = self.conv_du((contrast + mean).to(features.dtype))
        return features * weights


class MultiDistillationBlock(nn.Module):
    """Four 3x3 convolutions with a residual; the first three each set some channels aside and pass on the rest."""

    def __init__(self, options: ImdnOptions) -> None:
        super().__init__()
        width, distilled = options.channels, options.distilled_channels
        self.parts = distilled, width - distilled
        self.c1 = nn.Conv2d(width, width, 3, padding=1)
        self.c2 = nn.Conv2d(width - distilled, width, 3, padding=1)
        self.c3 = nn.Conv2d(width - distilled, width, 3, padding=1)
        self.c4 = nn.Conv2d(width - distilled, distilled, 3, padding=1)
        self.activation = nn.LeakyReLU(options.negative_slope)
        self.c5 = nn.Conv2d(4 * distilled, width, 1)
        self.cca = ContrastAttention(4 * distilled, options.squeezed_channels)

    def forward(self, features: Tensor) -> Tensor:
        """Features (N, C, H, W) to refined features of the same shape."""
        kept, rest = [], features
        for convolution in (self.c1, self.c2, self.c3):
            part, rest = self.activation(convolution(rest)).split(self.parts, dim=1)
            kept.append(part)
        joined = torch.cat([*kept, self.c4(rest)], dim=1)
        refined: Tensor = self.c5(self.cca(joined))
        return refined + features


class Imdn(nn.Module):
    """Head, a chain of blocks whose outputs are concatenated, one long residual, sub-pixel reconstruction."""

    def __init__(self, options: ImdnOptions) -> None:
        super().__init__()
        width = options.channels
        self.enlarged_image = enlarged_image(options.scale, options.image_residual)
        self.names = [f"IMDB{number}" for number in range(1, options.blocks + 1)]
        self.fea_conv = nn.Conv2d(3, width, 3, padding=1)
        for name in self.names:
            self.add_module(name, MultiDistillationBlock(options))
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
    return asdict(ImdnOptions(
        scale=scale_from_tail(state, "upsampler.0.weight"),
        channels=filters(state, "fea_conv.weight"),
        distilled_channels=filters(state, "IMDB1.c4.weight"),
        squeezed_channels=filters(state, "IMDB1.cca.conv_du.0.weight"),
        blocks=sum(f"IMDB{number}.c1.weight" in state for number in range(1, len(state) + 1)),
    ))


def _build(options: Mapping[str, Any]) -> nn.Module:
    return Imdn(checked(ImdnOptions, options))


def _describe(options: Mapping[str, Any]) -> ModelSpec:
    chosen = checked(ImdnOptions, options)
    # Measured: all block outputs, their concatenation and three more; or the statistics of the last block.
    in_body = max(2 * chosen.blocks + 3, chosen.blocks + 6) * chosen.channels
    in_tail = (chosen.blocks + 2) * chosen.channels + 6 * chosen.scale**2
    return ModelSpec(
        architecture="imdn",
        options=asdict(chosen),
        scale=chosen.scale,
        value_range=VALUE_RANGE,
        # The receptive field of the convolutions; no halo corrects the different statistics of a tile.
        halo_px=4 * chosen.blocks + 3,
        pools_whole_picture=True,
        activation_bytes_per_px=4 * max(in_body, in_tail),
    )


ARCHITECTURE = Architecture(
    name="imdn",
    title="IMDN (Hui et al., ACM MM 2019)",
    signature=Signature(required=("fea_conv.weight", "IMDB1.c1.weight", "IMDB1.c4.weight", "IMDB1.cca.conv_du.0.weight",
                                  "c.0.weight", "LR_conv.weight", "upsampler.0.weight")),
    read_options=_read_options,
    build=_build,
    describe=_describe,
    open_options={"negative_slope": SLOPES, "image_residual": tuple(ImageResidual)},
)
