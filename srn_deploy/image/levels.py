"""Levels of 10 and 12 bits as levels of 16."""

from __future__ import annotations

from typing import cast

import numpy as np

from srn_deploy.image.pixels import Pixels


def widened(pixels: Pixels, bits: int) -> Pixels:
    """Levels of 9 to 16 bits in uint16 as levels of all 16, rounded; what is beyond the bits is cut off."""
    largest = 2**bits - 1
    levels = np.minimum(pixels, largest).astype(np.uint32)
    return cast(Pixels, ((levels * 65535 + largest // 2) // largest).astype(np.uint16))
