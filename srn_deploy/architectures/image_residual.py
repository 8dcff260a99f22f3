"""The enlarged input that some networks add to their output, which their keys do not show."""

from __future__ import annotations

from enum import StrEnum

from torch import Tensor
from torch.nn import functional


class ImageResidual(StrEnum):
    """How the input is enlarged before it is added to the output; PyTorch's modes, with half-pixel centres."""

    NONE = "none"
    NEAREST = "nearest"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    """Keys' kernel with a = -0.75, which is not MATLAB's."""


def enlarged(lr: Tensor, scale: int, mode: ImageResidual) -> Tensor:
    """(N, C, H, W) to (N, C, scale*H, scale*W); the mode is not NONE."""
    if mode is ImageResidual.NEAREST:
        return functional.interpolate(lr, scale_factor=scale, mode="nearest")
    return functional.interpolate(lr, scale_factor=scale, mode=mode.value, align_corners=False)


def with_image(upscaled: Tensor, lr: Tensor, scale: int, mode: ImageResidual) -> Tensor:
    """An output (N, C, scale*H, scale*W) with the enlarged input (N, C, H, W) added, unless the mode is NONE."""
    return upscaled if mode is ImageResidual.NONE else upscaled + enlarged(lr, scale, mode)
