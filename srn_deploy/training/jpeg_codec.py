"""What JPEG does to pixels, as arithmetic on a batch: without files or entropy coding, on any device.

Quantisation tables, their scaling by quality and the upsampling of halved chroma are those of the
Independent JPEG Group's library, which nearly every camera and program uses;
tests/test_degradation.py compares the result with its files.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

BLOCK_PX = 8

# ITU-T T.81, Annex K, tables K.1 and K.2.
LUMINANCE = (
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56,
    14, 17, 22, 29, 51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
    49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99)
CHROMINANCE = (
    17, 18, 24, 47, 99, 99, 99, 99, 18, 21, 26, 66, 99, 99, 99, 99, 24, 26, 56, 99, 99, 99, 99, 99,
    47, 66, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99,
    99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99, 99)

# JFIF 1.02: full-range BT.601; chroma is centred on 0 here, luma is shifted by 128 as T.81 requires.
_TO_YCC = torch.tensor([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])
_TO_RGB = torch.tensor([[1.0, 0.0, 1.402], [1.0, -0.344136, -0.714136], [1.0, 1.772, 0.0]])


def through_jpeg(rgb: Tensor, quality: Tensor, halved_chroma: Tensor) -> Tensor:
    """Compress and decompress a batch of RGB images.

    rgb: float32 (N, 3, H, W) in 0..1. quality: (N,) in 1..100. halved_chroma: bool (N,), True for 4:2:0, False for
    4:4:4. Returns a new tensor like rgb, whose values are multiples of 1/255.
    """
    height, width = rgb.shape[-2:]
    bottom, right = (-side % (2 * BLOCK_PX) for side in (height, width))
    padded = functional.pad((rgb * 255).round(), (0, right, 0, bottom), mode="replicate")
    ycc = torch.einsum("ij,njhw->nihw", _TO_YCC.to(rgb), padded).round()  # the codec works in integers
    luma, chroma = ycc[:, :1] - 128, ycc[:, 1:]
    luma = _coded(luma, _table(LUMINANCE, quality)) + 128
    table = _table(CHROMINANCE, quality)
    half = _coded(functional.avg_pool2d(chroma, 2).round(), table)
    half = functional.interpolate(half, scale_factor=2, mode="bilinear")
    chroma = torch.where(halved_chroma.view(-1, 1, 1, 1), half, _coded(chroma, table))
    decoded = torch.einsum("ij,njhw->nihw", _TO_RGB.to(rgb), torch.cat([luma, chroma], dim=1))
    return decoded[..., :height, :width].clamp(0, 255).round() / 255


def _table(base: tuple[int, ...], quality: Tensor) -> Tensor:
    """Quantisation steps (N, 1, 1, 8, 1, 8) for each quality, integers from 1 to 255."""
    percent = torch.where(quality < 50, (5000 / quality).floor(), 200 - 2 * quality).view(-1, 1)
    steps = ((torch.tensor(base, device=quality.device) * percent + 50) / 100).floor().clamp(1, 255)
    return steps.view(-1, 1, 1, BLOCK_PX, 1, BLOCK_PX)


def _coded(planes: Tensor, table: Tensor) -> Tensor:
    """Planes (N, C, H, W), with sides that are multiples of 8, after transform, quantisation and inverse transform."""
    count, channels, height, width = planes.shape
    cosine = _cosine_matrix().to(planes)
    blocks = planes.reshape(count, channels, height // BLOCK_PX, BLOCK_PX, width // BLOCK_PX, BLOCK_PX)
    coefficients = torch.einsum("ui,ncyixj,vj->ncyuxv", cosine, blocks, cosine)
    quantised = (coefficients / table).round() * table
    restored = torch.einsum("ui,ncyuxv,vj->ncyixj", cosine, quantised, cosine)
    return restored.round().reshape(planes.shape)


def _cosine_matrix() -> Tensor:
    """The orthonormal discrete cosine transform of 8 samples, (8 frequencies, 8 samples)."""
    frequency, sample = torch.arange(BLOCK_PX).view(-1, 1), torch.arange(BLOCK_PX).view(1, -1)
    matrix = torch.cos((2 * sample + 1) * frequency * math.pi / (2 * BLOCK_PX)) * math.sqrt(2 / BLOCK_PX)
    matrix[0] /= math.sqrt(2)
    return matrix
