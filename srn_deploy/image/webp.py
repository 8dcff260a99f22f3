"""Lossless WebP through Pillow, which lets libwebp take more or less time; OpenCV does not."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from srn_deploy.errors import UnwritableImage
from srn_deploy.image.effort import Effort
from srn_deploy.image.pixels import Pixels

# libwebp's method 0..6 and quality 0..100, which for lossless files is effort too. The record of
# benchmarks/effort_table.py has the time and the size of each.
METHOD_AND_QUALITY = {Effort.FAST: (0, 20), Effort.NORMAL: (1, 0), Effort.SMALL: (6, 75)}


def encode_lossless(path: Path, colour: Pixels, alpha: Pixels | None, effort: Effort) -> bytes:
    """Encode without loss and without metadata, the colour of transparent pixels included.

    colour: (H, W, 1) or (H, W, 3) RGB uint8; grey is stored as RGB. alpha: (H, W, 1). Raises UnwritableImage; `path` is
    only used in messages.
    """
    rgb = np.broadcast_to(colour, (*colour.shape[:2], 3))
    pixels = rgb if alpha is None else np.concatenate([rgb, alpha], axis=2)
    method, quality = METHOD_AND_QUALITY[effort]
    file = io.BytesIO()
    try:
        Pillow.fromarray(np.ascontiguousarray(pixels)).save(file, "WEBP", lossless=True, exact=True, method=method,
                                                            quality=quality)
    except (OSError, ValueError) as error:
        raise UnwritableImage(f"{path} cannot be encoded: {error}.", remedy="Choose another format.") from error
    return file.getvalue()
