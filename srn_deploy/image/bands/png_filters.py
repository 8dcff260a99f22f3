"""The filters of PNG, which make rows of bytes easier to compress (PNG specification, section 9)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

NONE, SUB, UP, AVERAGE, PAETH = range(5)


def filtered(rows: Bytes, above: Bytes | None, pixel_bytes: int, kind: int) -> Bytes:
    """Rows (n, length) after the number of their filter: (n, 1 + length).

    above: the row before them (1, length); None at the top of an image. pixel_bytes: how far left a neighbour is.
    """
    up = np.zeros_like(rows)
    up[1:] = rows[:-1]
    if above is not None:
        up[0] = above[0]
    left = _moved(rows, pixel_bytes)
    stored = np.empty((rows.shape[0], rows.shape[1] + 1), np.uint8)
    stored[:, 0] = kind
    if kind == PAETH:
        expected = _paeth(left, up, _moved(up, pixel_bytes))
    elif kind == AVERAGE:
        expected = (left & up) + ((left ^ up) >> 1)  # has no room to overflow
    else:
        expected = {NONE: np.zeros_like(rows), SUB: left, UP: up}[kind]
    np.subtract(rows, expected, out=stored[:, 1:])
    return stored


def best_filtered(rows: Bytes, above: Bytes | None, pixel_bytes: int) -> Bytes:
    """Each row after the filter that leaves the smallest sum of distances from 0, as section 12.7 advises."""
    best, least = filtered(rows, above, pixel_bytes, NONE), np.full(len(rows), np.inf)
    for kind in range(PAETH + 1):
        stored = filtered(rows, above, pixel_bytes, kind)
        distance = np.abs(stored[:, 1:].view(np.int8).astype(np.int16)).sum(axis=1, dtype=np.int64)
        better = distance < least
        best[better], least[better] = stored[better], distance[better]
    return best


def _moved(rows: Bytes, pixel_bytes: int) -> Bytes:
    """The neighbours on the left; 0 beyond the edge."""
    left = np.zeros_like(rows)
    left[:, pixel_bytes:] = rows[:, :-pixel_bytes]
    return left


def _paeth(left: Bytes, up: Bytes, corner: Bytes) -> Bytes:
    """The neighbour that is nearest to left + up - corner; of equals left, then up."""
    wide_left, wide_up, wide_corner = (values.astype(np.int16) for values in (left, up, corner))
    from_left, from_up = np.abs(wide_up - wide_corner), np.abs(wide_left - wide_corner)
    from_corner = np.abs(wide_left + wide_up - 2 * wide_corner)
    return np.where((from_left <= from_up) & (from_left <= from_corner), left,
                    np.where(from_up <= from_corner, up, corner))
