"""Colour below full transparency: what stands there is arbitrary, and a network would draw it into the visible edge."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[Any]


def solidified(colour: Pixels, alpha: Pixels) -> Pixels:
    """Colour (H, W, C) whose fully transparent pixels take the colour of visible ones nearby; the same dtype.

    alpha: (H, W, 1). Visible pixels stay as they are. The same array where there is nothing to fill, or nothing
    to fill it with. Means of ever larger squares are taken, as far as a square has a visible pixel (push-pull:
    Gortler et al., The Lumigraph, 1996, section 3.4).
    """
    visible = alpha[..., 0] > 0
    if visible.all() or not visible.any():
        return colour
    filled = colour.copy()
    sums, counts = _halved(colour * visible[..., None], visible)
    nearby = _doubled(_means(sums, counts), visible.shape)[~visible]
    filled[~visible] = np.rint(nearby) if np.issubdtype(colour.dtype, np.integer) else nearby
    return filled


def _means(sums: NDArray[np.float32], counts: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of every square; one that is empty takes that of the square around it."""
    known = counts > 0
    means = np.asarray(sums / np.maximum(counts, 1)[..., None], np.float32)
    if not known.all():
        wider = _doubled(_means(*_halved(means * known[..., None], known)), known.shape)
        means[~known] = wider[~known]
    return means


def _halved(values: Pixels, counts: Pixels) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Sums over squares of two by two; an odd side is filled up with nothing."""
    return _pair_sums(_pair_sums(values, 0), 1), _pair_sums(_pair_sums(counts, 0), 1)


def _pair_sums(values: Pixels, axis: int) -> NDArray[np.float32]:
    side = values.shape[axis]
    even, odd = np.take(values, range(0, side, 2), axis), np.take(values, range(1, side, 2), axis)
    sums = even.astype(np.float32)
    sums[(slice(None),) * axis + (slice(0, odd.shape[axis]),)] += odd
    return sums


def _doubled(values: NDArray[np.float32], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Every value twice along both sides, cut to (height, width)."""
    return np.repeat(np.repeat(values, 2, axis=0), 2, axis=1)[:shape[0], :shape[1]]
