"""The enlarged input that some networks add to their output, which their keys do not show."""

from __future__ import annotations

from enum import StrEnum

import torch
from torch import Tensor, nn
from torch.nn import functional

_REACH_PX = 2
"""The largest distance of the cubic kernel from the input pixel that contains an output pixel."""


class ImageResidual(StrEnum):
    """How the input is enlarged before it is added to the output; PyTorch's modes, with half-pixel centres."""

    NONE = "none"
    NEAREST = "nearest"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    """Keys' kernel with a = -0.75, which is not MATLAB's."""


class EnlargedImage(nn.Module):
    """What `torch.nn.functional.interpolate` gives for an integer scale, as one convolution and a shuffle.

    So it computes in half precision like the rest, and a tile computes what the whole image does.
    """

    def __init__(self, scale: int, mode: ImageResidual) -> None:
        super().__init__()
        self.scale = scale
        self.register_buffer("kernels", _phase_kernels(scale, mode), persistent=False)

    def forward(self, lr: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, 3, scale*H, scale*W); beyond the border the edge pixel is repeated."""
        padded = functional.pad(lr, (_REACH_PX,) * 4, mode="replicate")
        return functional.pixel_shuffle(functional.conv2d(padded, self.get_buffer("kernels")), self.scale)


def enlarged_image(scale: int, mode: ImageResidual) -> EnlargedImage | None:
    """The layer of a mode; None for NONE."""
    return None if mode is ImageResidual.NONE else EnlargedImage(scale, mode)


def with_image(upscaled: Tensor, lr: Tensor, enlarged: EnlargedImage | None) -> Tensor:
    """An output (N, 3, scale*H, scale*W) with the enlarged input (N, 3, H, W) added, if it is added."""
    return upscaled if enlarged is None else upscaled + enlarged(lr)


def _phase_kernels(scale: int, mode: ImageResidual) -> Tensor:
    """(3 * scale², 3, 5, 5): for each output pixel within an input pixel, the weights of the pixels around it."""
    side = 2 * _REACH_PX + 1
    impulses = torch.eye(side**2).view(side**2, 1, side, side)
    smooth = None if mode is ImageResidual.NEAREST else False
    answers = functional.interpolate(impulses, scale_factor=scale, mode=mode.value, align_corners=smooth)
    middle = slice(_REACH_PX * scale, (_REACH_PX + 1) * scale)
    plane = answers[:, 0, middle, middle].permute(1, 2, 0).reshape(scale**2, side, side)
    kernels = torch.zeros(3, scale**2, 3, side, side)
    for colour in range(3):
        kernels[colour, :, colour] = plane
    return kernels.view(3 * scale**2, 3, side, side)
