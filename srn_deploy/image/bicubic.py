"""Bicubic resizing as MATLAB's imresize does it (antialiased, a = -0.5), which SR data sets are made with.

OpenCV's bicubic is another kernel (a = -0.75) and does not antialias. Two habits of the imresize that made
the published sets are kept, because with them the LR pictures of Set5 and Set14 come out bit for bit: beyond
the border the edge pixel is repeated (later versions mirror), and 8-bit pictures are rounded after each of
the two passes.
"""

from __future__ import annotations

from math import ceil

import numpy as np
from numpy.typing import NDArray

from srn_deploy.errors import OptionError

CUBIC_WIDTH = 4.0
"""Support of the cubic kernel in source pixels (Keys 1981)."""


def cubic(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' cubic convolution kernel with a = -0.5 at signed distances in source pixels."""
    x = np.abs(distance)
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return np.where(x <= 1.0, near, np.where(x <= 2.0, far, 0.0))


def resize_matrix(source: int, target: int) -> NDArray[np.float64]:
    """Weights (target, source) of one side; every row sums to 1. Raises OptionError for an empty side.

    When it shrinks, the kernel is widened by the ratio (antialiasing); beyond the border the edge pixel
    is repeated.
    """
    if min(source, target) < 1:
        raise OptionError(f"A side of {source} px cannot be resized to {target} px.",
                          remedy="Give sides of at least one pixel.")
    ratio = target / source
    squeeze = min(ratio, 1.0)
    width = CUBIC_WIDTH / squeeze
    centres = (np.arange(target) + 0.5) / ratio - 0.5
    first = np.floor(centres - width / 2).astype(np.int64)
    taps = first[:, None] + np.arange(ceil(width) + 2)[None, :]
    weights = squeeze * cubic(squeeze * (centres[:, None] - taps))
    weights /= weights.sum(axis=1, keepdims=True)
    matrix = np.zeros((target, source))
    np.add.at(matrix, (np.arange(target)[:, None], np.clip(taps, 0, source - 1)), weights)
    return matrix


def resize(image_hwc: NDArray[np.generic], height: int, width: int) -> NDArray[np.float64]:
    """Resize (H, W, C) of any dtype to float64 (height, width, C), neither rounded nor clipped."""
    pixels = image_hwc.astype(np.float64)
    for axis, side in enumerate((height, width)):
        pixels = _resize_axis(pixels, axis, side)
    return np.ascontiguousarray(pixels)


def resize_uint8(image_hwc: NDArray[np.generic], height: int, width: int) -> NDArray[np.uint8]:
    """Resize 8-bit (H, W, C) pixels to uint8 (height, width, C) as MATLAB does: rounded and clipped after each pass.

    The side that shrinks more goes first, rows if both shrink alike.
    """
    pixels = image_hwc.astype(np.float64)
    sides = (height, width)
    for axis in sorted((0, 1), key=lambda axis: sides[axis] / image_hwc.shape[axis]):
        # MATLAB rounds halves up; numpy's rint would round them to even.
        pixels = np.clip(np.floor(_resize_axis(pixels, axis, sides[axis]) + 0.5), 0, 255)
    return np.ascontiguousarray(pixels.astype(np.uint8))


def _resize_axis(pixels: NDArray[np.float64], axis: int, side: int) -> NDArray[np.float64]:
    matrix = resize_matrix(pixels.shape[axis], side)
    return np.moveaxis(np.tensordot(matrix, pixels, axes=(1, axis)), 0, axis)
