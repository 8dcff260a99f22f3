"""How far two backends differ on pictures: the worst pixel in levels, and dB."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from srn_deploy.backends.protocol import Backend, Batch
from srn_deploy.contract import PixelType
from srn_deploy.errors import OptionError

LEVELS = 255.0


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """The difference of two artefacts over all pictures together, in 8-bit levels."""

    pictures: int
    worst_levels: float
    """The largest difference of a single value; a fraction for float pixels."""
    psnr_db: float
    """Infinite when nothing differs."""

    def __str__(self) -> str:
        return f"worst difference {self.worst_levels:.3g} of 255, {self.psnr_db:.1f} dB on {self.pictures} pictures"


def compare_backends(candidate: Backend, reference: Backend, pictures: Iterable[Batch]) -> Agreement:
    """Run both on whole pictures (H, W, 3) uint8 and compare what comes out.

    Float artefacts get the pictures as float32 in 0..1, so that differences below half a level count.
    """
    worst, squares, values, count = 0.0, 0.0, 0, 0
    for picture in pictures:
        batch = _batch_for(candidate, picture)
        difference = (candidate.run(batch).astype(np.float64) - reference.run(batch).astype(np.float64))
        if batch.dtype != np.uint8:
            difference *= LEVELS
        worst = max(worst, float(np.abs(difference).max()))
        squares, values, count = squares + float((difference**2).sum()), values + difference.size, count + 1
    if not count:
        raise OptionError("There is no picture to compare on.", remedy="Give at least one.")
    psnr_db = float("inf") if squares == 0 else 10 * float(np.log10(LEVELS**2 * values / squares))
    return Agreement(pictures=count, worst_levels=worst, psnr_db=psnr_db)


def _batch_for(backend: Backend, picture: Batch) -> Batch:
    if backend.spec.pixel_type is PixelType.UINT8:
        return picture[None]
    return picture[None].astype(np.float32) / np.float32(LEVELS)
