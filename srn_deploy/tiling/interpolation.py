"""The geometry of ESA: which pixels a cell of its attention map sees, and how the map is interpolated back.

A side of n pixels has p(n) cells; cell k sees pixels 6k … 6k+14 (3x3 with stride 2, then 7x7 with
stride 3, both without padding). Bilinear interpolation with half-pixel centres is separable, and its
ratio p(N)/N belongs to the whole image: a window that starts at a multiple of 6 owns the cells from
start/6 on, and with its rows of the whole image's matrix it computes what the whole image would have
computed there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MIN_SIDE_PX = 15
"""The shortest side with a cell: 3x3 with stride 2, then 7x7; 14 pixels leave nothing to pool."""

CELL_PX = 6
"""Stride 2 times stride 3: the grid on which a window may start."""

Matrices = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Geometry:
    """The interpolation matrices of a batch of windows: rows (N, H, p(H)) and cols (N, W, p(W)), float32."""

    rows: Matrices
    cols: Matrices


def cell_count(side_px: int) -> int:
    """p(n), the number of cells of a side of n pixels; raises ValueError below 15."""
    if side_px < MIN_SIDE_PX:
        raise ValueError(f"a side of {side_px} px has no cells")
    return ((side_px - 3) // 2 + 1 - 7) // 3 + 1


def stretch_matrix(side_px: int, start: int, stop: int) -> Matrices:
    """Bilinear weights (stop - start, p(stop - start)) of the window [start, stop) of a side, float32; rows sum to 1.

    A row that needs a cell outside the window takes the nearest cell that the window owns. Raises ValueError unless
    start is a multiple of 6 and the window lies within the side.
    """
    if start % CELL_PX or not 0 <= start < stop <= side_px:
        raise ValueError(f"window {start}..{stop} does not lie on the grid of a side of {side_px} px")
    cells, first, owned = cell_count(side_px), start // CELL_PX, cell_count(stop - start)
    position = np.clip((np.arange(start, stop) + 0.5) * cells / side_px - 0.5, 0, cells - 1)
    lower = np.floor(position).astype(np.int64)
    upper_weight = position - lower
    matrix = np.zeros((stop - start, owned), dtype=np.float32)
    row = np.arange(stop - start)
    np.add.at(matrix, (row, np.clip(lower - first, 0, owned - 1)), 1.0 - upper_weight)
    np.add.at(matrix, (row, np.clip(lower + 1 - first, 0, owned - 1)), upper_weight)
    return matrix


def whole_geometry(batch: int, height: int, width: int) -> Geometry:
    """The matrices of a batch of whole images of height x width LR pixels."""
    rows, cols = stretch_matrix(height, 0, height), stretch_matrix(width, 0, width)
    return Geometry(rows=np.repeat(rows[None], batch, axis=0), cols=np.repeat(cols[None], batch, axis=0))
