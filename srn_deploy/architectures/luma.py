"""Networks for luma alone: they take and return RGB; the network enlarges Y, bicubic interpolation the chroma.

The conversion is part of the network, so these networks are exported, tiled and built like any other, and 8-bit pixels
are rounded once, at the end.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from srn_deploy.image.bicubic import resize_matrix

STUDIO = ((65.481, 128.553, 24.966), (-37.797, -74.203, 112.0), (112.0, -93.786, -18.214))
"""BT.601 for 8-bit video: rows of Y, Cb, Cr times 255, for RGB in 0..1; offsets 16, 128, 128."""

FULL = ((76.245, 149.685, 29.07), (-43.02768, -84.47232, 127.5), (127.5, -106.76544, -20.73456))
"""The same matrix stretched to 0..255, as in JPEG; offsets 0, 128, 128."""

_REACH_PX = 2
"""The largest distance of the cubic kernel from the input pixel that contains an output pixel."""


class ColourSpace(nn.Module):
    """RGB in 0..1 to YCbCr in 0..1 and back, as 1x1 convolutions with fixed weights."""

    def __init__(self, rows: tuple[tuple[float, ...], ...], offsets: tuple[float, float, float]) -> None:
        super().__init__()
        matrix = torch.tensor(rows, dtype=torch.float64) / 255
        inverse = torch.linalg.inv(matrix)
        shift = torch.tensor(offsets, dtype=torch.float64) / 255
        self.register_buffer("forth", matrix.float().view(3, 3, 1, 1), persistent=False)
        self.register_buffer("back", inverse.float().view(3, 3, 1, 1), persistent=False)
        self.register_buffer("forth_shift", shift.float(), persistent=False)
        self.register_buffer("back_shift", (-inverse @ shift).float(), persistent=False)

    def split(self, rgb: Tensor) -> Tensor:
        """(N, 3, H, W) RGB to YCbCr."""
        return functional.conv2d(rgb, self.get_buffer("forth"), self.get_buffer("forth_shift"))

    def merge(self, ycbcr: Tensor) -> Tensor:
        """(N, 3, H, W) YCbCr to RGB."""
        return functional.conv2d(ycbcr, self.get_buffer("back"), self.get_buffer("back_shift"))


class Bicubic(nn.Module):
    """Enlarges by an integer factor as MATLAB's imresize does, without rounding: one convolution, then a shuffle."""

    def __init__(self, scale: int, channels: int) -> None:
        super().__init__()
        self.scale = scale
        self.register_buffer("kernels", _phase_kernels(scale, channels), persistent=False)

    def forward(self, planes: Tensor) -> Tensor:
        """(N, C, H, W) to (N, C, scale*H, scale*W); beyond the border the edge pixel is repeated."""
        padded = functional.pad(planes, (_REACH_PX,) * 4, mode="replicate")
        return functional.pixel_shuffle(functional.conv2d(padded, self.get_buffer("kernels")), self.scale)


def _phase_kernels(scale: int, channels: int) -> Tensor:
    """(C * scale², C, 5, 5): for each output pixel within an input pixel, the weights of the pixels around it."""
    taps = 2 * _REACH_PX + 1
    weights = resize_matrix(3 * taps, 3 * taps * scale)
    middle = 3 * taps // 2  # far enough from both ends
    phases = weights[middle * scale:(middle + 1) * scale, middle - _REACH_PX:middle + _REACH_PX + 1]
    plane = np.einsum("yi,xj->yxij", phases, phases).reshape(scale**2, taps, taps)
    kernels = np.zeros((channels, scale**2, channels, taps, taps))
    for channel in range(channels):
        kernels[channel, :, channel] = plane
    return torch.from_numpy(kernels.reshape(-1, channels, taps, taps)).float()


class LumaNetwork(nn.Module, ABC):
    """A network for luma, wrapped so that it takes and returns RGB; both in 0..1."""

    def __init__(self, scale: int, luma_range: float = 1.0) -> None:
        super().__init__()
        self.luma_range = luma_range
        """The value range of Y in training."""
        self.colours = ColourSpace(STUDIO, (16.0, 128.0, 128.0))
        self.enlarge_chroma = Bicubic(scale, 2)

    def as_trained(self, luma: Tensor) -> Tensor:
        """Y in 0..1 to the range of the training, without a node in the graph if they are the same."""
        return luma if self.luma_range == 1.0 else luma * self.luma_range

    def from_trained(self, luma: Tensor) -> Tensor:
        """Y in the range of the training to 0..1."""
        return luma if self.luma_range == 1.0 else luma / self.luma_range

    @abstractmethod
    def upscale_luma(self, luma: Tensor) -> Tensor:
        """Y (N, 1, H, W) in 0..1 to (N, 1, scale*H, scale*W)."""

    def forward(self, rgb: Tensor) -> Tensor:
        """RGB (N, 3, H, W) to (N, 3, scale*H, scale*W), not clipped."""
        ycbcr = self.colours.split(rgb)
        upscaled = self.upscale_luma(ycbcr[:, :1])
        return self.colours.merge(torch.cat([upscaled, self.enlarge_chroma(ycbcr[:, 1:])], dim=1))
