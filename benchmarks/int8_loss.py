"""What an INT8 graph may lose to be shipped, and the images on which that is measured."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from statistics import fmean

from srn_deploy.backends import Backend
from srn_deploy.image.bicubic import resize_uint8
from srn_deploy.image.pixels import Rgb8
from srn_deploy.inference.upscale import upscale_rgb
from srn_deploy.quality.metrics import psnr_y
from srn_deploy.tiling.windows import WHOLE_IMAGE
from srn_deploy.verification.sample_images import originals

MOST_INT8_LOSS_DB = 0.1
"""PSNR in dB that a shipped INT8 graph may lose against its FP32 graph on the drawn originals."""


def drawn_pairs(scale: int) -> Iterator[tuple[Rgb8, Rgb8]]:
    """The originals that are drawn for certificates, cropped to a multiple of the scale, each with its small image."""
    for image in originals():
        height, width = (side // scale for side in image.shape[:2])
        hr = image[:height * scale, :width * scale]
        yield hr, resize_uint8(hr, height, width)


def mean_psnr(backend: Backend, pairs: Iterable[tuple[Rgb8, Rgb8]]) -> float:
    """Mean PSNR on Y in dB of a network's results; pairs: original and small image."""
    return fmean(psnr_y(upscale_rgb(lr, backend, WHOLE_IMAGE), hr, border_px=backend.spec.scale) for hr, lr in pairs)
