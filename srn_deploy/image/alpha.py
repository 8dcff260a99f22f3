"""Upscaling images with transparency: hidden colour must not bleed into visible edges, and opaque areas stay opaque."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float32]

REACH_PX = 8
"""Up to this distance a network visibly mixes the colour of one pixel into another."""

VISIBLE_SHARE = 0.25
"""A pixel keeps its colour if its alpha is at least this share of the largest alpha around it; others hardly show."""

PLAIN_PX = 2
"""If alpha is constant within this distance of a pixel, there is no edge to upscale."""

BAND_ROWS = 256
"""The number of rows held in float at once, which bounds the memory."""


def fill_hidden_colour(colour: NDArray[Any], alpha: NDArray[Any]) -> NDArray[Any]:
    """Give hidden pixels the colour of the visible pixels around them.

    colour: (H, W, C) of uint8, uint16 or float32. alpha: (H, W, 1) of the same dtype. Returns a new array like
    `colour`, or `colour` itself if nothing or everything is hidden.

    A pixel is hidden to the degree that its alpha is below VISIBLE_SHARE of the largest alpha within REACH_PX: entirely
    at alpha 0; in between, its own and the new colour are mixed. The new colour is the mean over that square, weighted
    by alpha, or the mean of the whole image where nothing in the square is visible.
    """
    if not alpha.any():
        return colour
    filled, everywhere, height = colour, None, len(colour)
    for start in range(0, height, BAND_ROWS):
        stop, top = min(start + BAND_ROWS, height), max(start - REACH_PX, 0)
        around = slice(top, min(stop + REACH_PX, height))
        if is_visible(alpha[around]):
            continue
        everywhere = mean_colour(banded(colour, alpha)) if everywhere is None else everywhere
        filled = colour.copy() if filled is colour else filled
        filled[start:stop] = filled_rows(colour[around], alpha[around], everywhere)[start - top:stop - top]
    return filled


def is_visible(alpha: NDArray[Any]) -> bool:
    """Whether every pixel of (H, W, 1) keeps its colour."""
    return bool((_visibility(alpha) == 1).all())


def filled_rows(colour: NDArray[Any], alpha: NDArray[Any], everywhere: Values) -> NDArray[Any]:
    """Some rows of `fill_hidden_colour`, a new array; the first and last REACH_PX are only context for the others.

    everywhere: the mean colour of the whole image, from `mean_colour`.
    """
    share = _visibility(alpha)[..., None]
    mixed = share * colour + (1 - share) * _nearby(colour, alpha, everywhere)
    return np.asarray(np.rint(mixed) if np.issubdtype(colour.dtype, np.integer) else mixed, colour.dtype)


def banded(colour: NDArray[Any], alpha: NDArray[Any]) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """Colour and alpha, BAND_ROWS rows at a time."""
    for start in range(0, len(colour), BAND_ROWS):
        yield colour[start:start + BAND_ROWS], alpha[start:start + BAND_ROWS]


def mean_colour(bands: Iterable[tuple[NDArray[Any], NDArray[Any]]]) -> Values:
    """The mean colour (C,) of an image, weighted by alpha; colour and alpha come BAND_ROWS rows at a time.

    NaN where nothing is visible.
    """
    sums, weight = np.zeros(1), 0.0
    for colour, alpha in bands:
        weights = alpha.astype(np.float64)
        sums = sums + (colour * weights).sum(axis=(0, 1))
        weight += float(weights.sum())
    return np.asarray(sums / weight if weight else np.full_like(sums, np.nan), np.float32)


def flatten_plain_alpha(alpha: NDArray[Any], upscaled: NDArray[Any], scale: int,
                        rows: slice = slice(None)) -> None:
    """Make the upscaled alpha exactly opaque or transparent, in place, where the input is so within PLAIN_PX.

    alpha: (H, W, 1). upscaled: (scale*H, scale*W, 1) of the same dtype. rows: those of alpha that were upscaled; the
    others are only context for them. This is needed because a network changes even a constant area by a level or two.
    """
    opaque = alpha.dtype.type(np.iinfo(alpha.dtype).max if np.issubdtype(alpha.dtype, np.integer) else 1)
    for hidden, level in ((alpha[..., 0], 0), (opaque - alpha[..., 0], opaque)):
        flat = (_largest_around(hidden, PLAIN_PX) == 0)[rows]
        for row in np.flatnonzero(flat.any(axis=1)):
            enlarged = upscaled[row * scale:(row + 1) * scale, :, 0]
            enlarged[:, np.repeat(flat[row], scale)] = level


def _visibility(alpha: NDArray[Any]) -> Values:
    """(H, W) from 0 (hidden) to 1 (visible)."""
    largest = _largest_around(alpha[..., 0], REACH_PX).astype(np.float32)
    shares = alpha[..., 0] / np.maximum(VISIBLE_SHARE * largest, np.finfo(np.float32).tiny)
    return np.asarray(np.minimum(shares, 1), np.float32)


def _largest_around(values: NDArray[Any], reach: int) -> NDArray[Any]:
    """The maximum over the square of 2 * reach + 1 pixels around each of (H, W); the edge is repeated outwards."""
    found = np.pad(values, reach, mode="edge")
    for _ in range(2):
        done = 1
        while done < 2 * reach + 1:
            step = min(done, 2 * reach + 1 - done)
            found = np.maximum(found[:-step], found[step:])
            done += step
        found = found.T
    return found


def _nearby(colour: NDArray[Any], alpha: NDArray[Any], everywhere: Values) -> Values:
    """The mean colour within REACH_PX of each pixel of a band, weighted by alpha."""
    weights = alpha.astype(np.float32)
    sums = _sums_around(np.concatenate([colour * weights, weights], axis=2))
    totals = sums[..., -1:]
    return np.asarray(np.where(totals > 0, sums[..., :-1] / np.maximum(totals, np.finfo(np.float32).tiny), everywhere),
                      np.float32)


def _sums_around(values: Values) -> Values:
    """The sum over the square within REACH_PX of each pixel of (H, W, C); there is nothing outside the border."""
    sums = np.pad(values, ((REACH_PX, REACH_PX), (REACH_PX, REACH_PX), (0, 0)))
    for _ in range(2):
        length = len(sums) - 2 * REACH_PX
        rows = sums[:length].copy()
        for start in range(1, 2 * REACH_PX + 1):
            rows += sums[start:start + length]
        sums = rows.swapaxes(0, 1)
    return sums
