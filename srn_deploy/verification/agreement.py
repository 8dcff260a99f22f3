"""How far two backends differ on images: the largest difference in levels, and PSNR in dB."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from srn_deploy.backends.protocol import Backend, Batch
from srn_deploy.errors import OptionError
from srn_deploy.spec import PixelType, Precision
from srn_deploy.tiling.interpolation import Geometry

LEVELS = 255.0

LEAST_PSNR_DB = {Precision.FP32: 70.0, Precision.FP16: 45.0, Precision.BF16: 50.0,
                 Precision.INT8: 38.0}
"""70 dB is one value in 150 that differs by one level; 45 dB is a difference far too small to be seen. BF16 is taken
without being asked for, so more is required of it. Steps of 8 bits leave 45 to 50 dB; what counts there is the PSNR
that is lost against originals."""

Case = tuple[Batch, Geometry | None]
"""A uint8 batch (N, H, W, 3), and the geometry of its windows or None for whole images."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """The difference of two backends over all images together, in levels of 0..255."""

    images: int
    worst_levels: float
    """The largest difference of a single value; it has a fraction for float pixels."""
    psnr_db: float
    """Over all values; infinite when nothing differs."""

    def __str__(self) -> str:
        return f"worst difference {self.worst_levels:.3g} of 255, {self.psnr_db:.1f} dB on {self.images} images"


def whole_images(images: Iterable[Batch]) -> Iterator[Case]:
    """Each uint8 image (H, W, 3) as a batch of its own."""
    return ((image[None], None) for image in images)


def compare_backends(candidate: Backend, reference: Backend, cases: Iterable[Case]) -> Agreement:
    """Run both backends on uint8 batches (N, H, W, 3) with their geometry and compare their outputs.

    Backends with float pixels get the batches as float32 in 0..1, so that differences below half a level count.
    Raises OptionError without a case.
    """
    worst, squares, values, count = 0.0, 0.0, 0, 0
    for pixels, geometry in cases:
        batch = _batch_for(candidate, pixels)
        difference = candidate.run(batch, geometry).astype(np.float64) - reference.run(batch, geometry)
        if batch.dtype != np.uint8:
            difference *= LEVELS
        worst = float(np.maximum(worst, np.abs(difference).max()))  # max() would forget a NaN
        squares, values, count = squares + float((difference**2).sum()), values + difference.size, count + len(pixels)
    if not count:
        raise OptionError("There is no image to compare on.", remedy="Give at least one.")
    psnr_db = float("inf") if squares == 0 else 10 * float(np.log10(LEVELS**2 * values / squares))
    return Agreement(images=count, worst_levels=worst, psnr_db=psnr_db)


def _batch_for(backend: Backend, pixels: Batch) -> Batch:
    if backend.spec.pixel_type is PixelType.UINT8:
        return pixels
    return pixels.astype(np.float32) / np.float32(LEVELS)
