"""Pictures with transparency: hidden colour stays out of the visible edge, and what is opaque stays opaque."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float32]

REACH_PX = 8
"""Within this distance a network draws one pixel's colour into another's visibly."""

VISIBLE_SHARE = 0.25
"""A pixel keeps its colour from this share of the largest alpha around it on; below, it is hardly seen beside it."""

SETTLED_PX = 2
"""Where alpha is the same this far around a pixel there is no edge to draw."""

_BAND_ROWS = 256
"""Rows that are held in float at once: bounds the memory."""


def fill_hidden_colour(colour: NDArray[Any], alpha: NDArray[Any]) -> NDArray[Any]:
    """Colour (H, W, C) whose hidden pixels take the colour of visible ones nearby; the same dtype.

    alpha: (H, W, 1). Hidden is what is transparent beside something much more opaque, all of it at alpha 0; in between
    both colours are mixed. Nearby is the mean of the square of REACH_PX around, each pixel by its alpha; where nothing
    there is visible, the mean of the whole. The same array where nothing is hidden.
    """
    shares = _visibility(alpha)
    if (shares == 1).all() or not alpha.any():
        return colour
    filled, everywhere, height = colour.copy(), _mean(colour, alpha), len(colour)
    for start in range(0, height, _BAND_ROWS):
        stop, top = min(start + _BAND_ROWS, height), max(start - REACH_PX, 0)
        around = slice(top, min(stop + REACH_PX, height))
        nearby = _nearby(colour[around], alpha[around], everywhere)[start - top:stop - top]
        share = shares[start:stop, :, None]
        mixed = share * colour[start:stop] + (1 - share) * nearby
        filled[start:stop] = np.rint(mixed) if np.issubdtype(colour.dtype, np.integer) else mixed
    return filled


def flatten_plain_alpha(alpha: NDArray[Any], upscaled: NDArray[Any], scale: int) -> None:
    """Make the upscaled alpha, in place, exactly opaque or transparent where the input is so all around.

    alpha: (H, W, 1); upscaled: (scale*H, scale*W, 1). A network moves even a plain area by a level or two.
    """
    opaque = alpha.dtype.type(np.iinfo(alpha.dtype).max if np.issubdtype(alpha.dtype, np.integer) else 1)
    for hidden, level in ((alpha[..., 0], 0), (opaque - alpha[..., 0], opaque)):
        flat = _largest_around(hidden, SETTLED_PX) == 0
        for row in np.flatnonzero(flat.any(axis=1)):
            rows = upscaled[row * scale:(row + 1) * scale, :, 0]
            rows[:, np.repeat(flat[row], scale)] = level


def _visibility(alpha: NDArray[Any]) -> Values:
    """(H, W) from 0, hidden, to 1."""
    largest = _largest_around(alpha[..., 0], REACH_PX).astype(np.float32)
    shares = alpha[..., 0] / np.maximum(VISIBLE_SHARE * largest, np.finfo(np.float32).tiny)
    return np.asarray(np.minimum(shares, 1), np.float32)


def _largest_around(values: NDArray[Any], reach: int) -> NDArray[Any]:
    """The largest of the square of 2 * reach + 1 pixels around each of (H, W); the edge is repeated beyond it."""
    found = np.pad(values, reach, mode="edge")
    for _ in range(2):
        done = 1
        while done < 2 * reach + 1:
            step = min(done, 2 * reach + 1 - done)
            found = np.maximum(found[:-step], found[step:])
            done += step
        found = found.T
    return found


def _mean(colour: NDArray[Any], alpha: NDArray[Any]) -> Values:
    """Of all pixels, each by its alpha, (C,); band by band."""
    sums, weight = np.zeros(colour.shape[2]), 0.0
    for start in range(0, len(colour), _BAND_ROWS):
        weights = alpha[start:start + _BAND_ROWS].astype(np.float64)
        sums += (colour[start:start + _BAND_ROWS] * weights).sum(axis=(0, 1))
        weight += float(weights.sum())
    return np.asarray(sums / weight, np.float32)


def _nearby(colour: NDArray[Any], alpha: NDArray[Any], everywhere: Values) -> Values:
    """The mean colour around each pixel of a band, each pixel by its alpha."""
    weights = alpha.astype(np.float32)
    sums = _sums_around(np.concatenate([colour * weights, weights], axis=2))
    totals = sums[..., -1:]
    return np.asarray(np.where(totals > 0, sums[..., :-1] / np.maximum(totals, np.finfo(np.float32).tiny), everywhere),
                      np.float32)


def _sums_around(values: Values) -> Values:
    """Over the square of REACH_PX around each pixel of (H, W, C); beyond the border there is nothing."""
    sums = np.pad(values, ((REACH_PX, REACH_PX), (REACH_PX, REACH_PX), (0, 0)))
    for _ in range(2):
        length = len(sums) - 2 * REACH_PX
        rows = sums[:length].copy()
        for start in range(1, 2 * REACH_PX + 1):
            rows += sums[start:start + length]
        sums = rows.swapaxes(0, 1)
    return sums
