"""Bicubic resizing as in MATLAB's imresize (antialiased, a = -0.5), with which SR data sets are made.

OpenCV's bicubic has another kernel (a = -0.75) and does not antialias. Two properties of the imresize that made the
published data sets are kept, because they reproduce the LR images of Set5 and Set14 bit for bit: beyond the border the
edge pixel is repeated (later versions mirror), and 8-bit images are rounded after each of the two passes.
"""

from __future__ import annotations

from math import ceil

import numpy as np
from numpy.typing import NDArray

from srn_deploy.errors import OptionError

CUBIC_WIDTH = 4.0
"""Support of the cubic kernel in source pixels (Keys 1981)."""


def cubic(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' cubic convolution kernel (1981) with a = -0.5, at signed distances in source pixels; the same shape."""
    x = np.abs(distance)
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return np.where(x <= 1.0, near, np.where(x <= 2.0, far, 0.0))


def resize_matrix(source: int, target: int) -> NDArray[np.float64]:
    """The weights (target, source) that resize one side, both in pixels; every row sums to 1.

    When the side shrinks, the kernel is widened by the ratio (antialiasing). Beyond the border the edge pixel is
    repeated. Raises OptionError for a side below 1.
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
    """Resize (H, W, C) of any dtype to a new float64 array (height, width, C), neither rounded nor clipped.

    Raises OptionError for a side below 1.
    """
    pixels = image_hwc.astype(np.float64)
    for axis, side in enumerate((height, width)):
        pixels = _resize_axis(pixels, axis, side)
    return np.ascontiguousarray(pixels)


def resize_uint8(image_hwc: NDArray[np.generic], height: int, width: int) -> NDArray[np.uint8]:
    """Resize (H, W, C) in 0..255 to a new uint8 array (height, width, C), rounded and clipped after each pass.

    This is what MATLAB does. The side that shrinks more is resized first; if both shrink equally, the height. Raises
    OptionError for a side below 1.
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
