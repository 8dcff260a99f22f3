"""Makes images smaller: antialiased bicubic, on the stored levels, in float.

The kernel is that of MATLAB's imresize (`bicubic`), with which the small images that networks learn from are made: so
a result that is reduced by the network's own factor is nearest to its input. On Set5, with the shipped x4 network, the
reduced results differ from their inputs by 44.3 dB; with Lanczos by 39.8, with areas of pixels (OpenCV) by 42.2.

The levels are reduced as they are stored (gamma light), because networks are trained so (in linear light the same
figure is 36.3 dB, and bright edges get dark seams), and because stored levels need no knowledge of the curve: an
image may have any colour profile.

Pillow computes it, which has this kernel in float and takes a part of an image with what lies around it.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, floor
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

_BAND_PIXELS = 1 << 22
"""Pixels of the source that are held in float at once: bounds the memory."""
_REACH = 2.0
"""Of the cubic kernel to one side, in pixels of the result."""


def reduced(pixels: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """(H, W, C) as (height, width, C) of the same dtype, rounded and clipped; the same array where the size is its own.

    uint8, uint16 or float32 in 0..1. Sides may also grow a little, by the same kernel.
    """
    if pixels.shape[:2] == (height, width):
        return pixels
    result = np.empty((height, width, pixels.shape[2]), pixels.dtype)
    for rows, source, box in _bands(pixels.shape[0], pixels.shape[1], height):
        result[rows] = _as_levels(_resized(pixels[source].astype(np.float32), box, rows, width), result.dtype)
    return result


def reduced_with_alpha(colour: NDArray[Any], alpha: NDArray[Any] | None, height: int, width: int) \
        -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Colour (H, W, 1 or 3) and alpha (H, W, 1), each as `reduced` gives it, colour weighted by alpha.

    So the colour of transparent pixels does not come into visible ones. Alpha that is the same everywhere stays so.
    """
    if alpha is None:
        return reduced(colour, height, width), None
    if colour.shape[:2] == (height, width):
        return colour, alpha
    if (alpha == alpha.flat[0]).all():
        return reduced(colour, height, width), np.full((height, width, 1), alpha.flat[0])
    small = np.empty((height, width, colour.shape[2]), colour.dtype)
    small_alpha = np.empty((height, width, 1), alpha.dtype)
    for rows, source, box in _bands(colour.shape[0], colour.shape[1], height):
        plain, weight = colour[source].astype(np.float32), alpha[source].astype(np.float32)
        sums, total = _resized(plain * weight, box, rows, width), _resized(weight, box, rows, width)
        small_alpha[rows] = _as_levels(total, alpha.dtype)
        # What is not seen keeps the colour around it; the kernel's overshoot leaves totals near zero, too.
        shown = small_alpha[rows] > 0
        visible = sums / np.where(shown, total, 1)
        small[rows] = _as_levels(np.where(shown, visible, _resized(plain, box, rows, width)), colour.dtype)
    return small, small_alpha


def _bands(source_height: int, source_width: int, height: int) -> Iterator[tuple[slice, slice, tuple[float, float]]]:
    """Rows of the result, the rows of the source that they are made of, and the part of those that they stand for."""
    ratio = source_height / height
    reach = ceil(_REACH * max(ratio, 1.0)) + 1
    step = max(1, floor(_BAND_PIXELS / (source_width * ratio)))
    for start in range(0, height, step):
        stop = min(start + step, height)
        top, bottom = max(0, floor(start * ratio) - reach), min(source_height, ceil(stop * ratio) + reach)
        box = start * ratio - top, min(stop * ratio, source_height) - top
        yield slice(start, stop), slice(top, bottom), box


def _resized(levels: NDArray[np.float32], box: tuple[float, float], rows: slice, width: int) -> NDArray[np.float32]:
    """The part of (h, w, C) between two rows as (rows, width, C)."""
    size = width, rows.stop - rows.start
    part = 0.0, box[0], float(levels.shape[1]), box[1]
    planes = [Pillow.fromarray(np.ascontiguousarray(levels[..., channel])).resize(size, Pillow.Resampling.BICUBIC, part)
              for channel in range(levels.shape[2])]
    return np.stack([np.asarray(plane) for plane in planes], axis=2)


def _as_levels(values: NDArray[np.float32], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Values rounded and clipped to what the dtype holds; float is clipped to 0..1."""
    if not np.issubdtype(dtype, np.integer):
        return np.clip(values, 0, 1)
    return np.clip(np.rint(values), 0, np.iinfo(dtype).max).astype(dtype)
