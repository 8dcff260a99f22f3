"""Makes images smaller: antialiased bicubic, on the stored levels, in float.

The kernel is that of MATLAB's imresize (`bicubic`), with which the small images that networks learn from are made: so
a result that is reduced by the network's own factor is nearest to its input. On Set5, with the shipped x4 network, the
reduced results differ from their inputs by 44.3 dB; with Lanczos by 39.8, with areas of pixels (OpenCV) by 42.2.

The levels are reduced as they are stored (gamma light), because networks are trained so (in linear light the same
figure is 36.3 dB, and bright edges get dark seams), and because stored levels need no knowledge of the curve: an
image may have any colour profile.

Pillow computes it, which has this kernel in float and takes a part of an image with what lies around it. An image is
always reduced in the same parts, `parts_of`, so that rows that come one after the other give the bits of the whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, floor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

PART_PIXELS = 1 << 22
"""Pixels of the source that are reduced at once, so that one channel of them in float takes 16 MiB."""
_REACH = 2.0
"""Of the cubic kernel to one side, in pixels of the result."""


class ReductionPart(NamedTuple):
    """Rows of a result, and what they are made of."""

    rows: slice
    """Of the result."""
    source: slice
    """Of the source: all that the kernel reaches."""
    box: tuple[float, float]
    """What the rows stand for, counted from the first row of `source`."""


def parts_of(source_height: int, source_width: int, height: int) -> Iterator[ReductionPart]:
    """The parts in which an image of this size is reduced to a height, from top to bottom."""
    ratio = source_height / height
    reach = ceil(_REACH * max(ratio, 1.0)) + 1
    step = max(1, floor(PART_PIXELS / (source_width * ratio)))
    for start in range(0, height, step):
        stop = min(start + step, height)
        top, bottom = max(0, floor(start * ratio) - reach), min(source_height, ceil(stop * ratio) + reach)
        yield ReductionPart(slice(start, stop), slice(top, bottom),
                   (start * ratio - top, min(stop * ratio, source_height) - top))


def reduced(pixels: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """(H, W, C) as (height, width, C) of the same dtype, rounded and clipped; the same array where the size is its own.

    uint8, uint16 or float32 in 0..1. Sides may also grow a little, by the same kernel.
    """
    return reduced_with_alpha(pixels, None, height, width)[0]


def reduced_with_alpha(colour: NDArray[Any], alpha: NDArray[Any] | None, height: int, width: int) \
        -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Colour (H, W, 1 or 3) and alpha (H, W, 1), each as `reduced` gives it, colour weighted by alpha.

    So the colour of transparent pixels does not come into visible ones. Alpha that is the same everywhere stays so.
    """
    if colour.shape[:2] == (height, width):
        return colour, alpha
    small = np.empty((height, width, colour.shape[2]), colour.dtype)
    small_alpha = None if alpha is None else np.empty((height, width, 1), alpha.dtype)
    for part in parts_of(colour.shape[0], colour.shape[1], height):
        rows = None if alpha is None else alpha[part.source]
        small[part.rows], reduced_alpha = reduced_part(colour[part.source], rows, part, width)
        if small_alpha is not None:
            small_alpha[part.rows] = reduced_alpha
    return small, small_alpha


def reduced_part(colour: NDArray[Any], alpha: NDArray[Any] | None, part: ReductionPart, width: int) \
        -> tuple[NDArray[Any], NDArray[Any] | None]:
    """The rows of a part in this width; colour and alpha: its source."""
    if alpha is None or (alpha == alpha.flat[0]).all():
        small = [_as_levels(_resized(_plane(colour, channel), part, width), colour.dtype)
                 for channel in range(colour.shape[2])]
        same = None if alpha is None else np.full((*small[0].shape, 1), alpha.flat[0])
        return np.stack(small, axis=2), same
    weight = _plane(alpha, 0)
    total = _resized(weight, part, width)
    small_alpha = _as_levels(total, alpha.dtype)
    # What is not seen keeps the colour around it; the kernel's overshoot leaves totals near zero, too.
    shown = small_alpha > 0
    small = []
    for channel in range(colour.shape[2]):
        plane = _plane(colour, channel)
        visible = _resized(plane * weight, part, width) / np.where(shown, total, 1)
        small.append(_as_levels(np.where(shown, visible, _resized(plane, part, width)), colour.dtype))
    return np.stack(small, axis=2), small_alpha[..., None]


def _plane(pixels: NDArray[Any], channel: int) -> NDArray[np.float32]:
    return np.ascontiguousarray(pixels[..., channel], np.float32)


def _resized(plane: NDArray[np.float32], part: ReductionPart, width: int) -> NDArray[np.float32]:
    """(h, w) of a part's source as (rows, width)."""
    size = width, part.rows.stop - part.rows.start
    box = 0.0, part.box[0], float(plane.shape[1]), part.box[1]
    return np.asarray(Pillow.fromarray(plane).resize(size, Pillow.Resampling.BICUBIC, box))


def _as_levels(values: NDArray[np.float32], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Values rounded and clipped to what the dtype holds; float is clipped to 0..1."""
    if not np.issubdtype(dtype, np.integer):
        return np.clip(values, 0, 1)
    return np.clip(np.rint(values), 0, np.iinfo(dtype).max).astype(dtype)
