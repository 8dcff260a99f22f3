"""The geometry of a window within its image: the matrices that resize its cells as those of the whole image.

A network that pools its image on a grid and resizes the cells by a ratio that depends on the size of the image
computes something else on a window. Interpolation is separable, and its ratio belongs to the whole image: a window that
starts on the grid owns the cells from there on, and with its rows of the whole image's matrix it computes what the
whole image would have computed there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from srn_deploy.grid import Coordinates, Grid, Interpolation, Rounding, matrix_names

Matrices = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, eq=False)
class Geometry:
    """The interpolation matrices of a batch of windows, float32, a pair for each grid of the network.

    For a grid whose windows of H x W pixels have h x w rows and p x q cells: rows (N, h, p) and cols (N, w, q).
    """

    rows: tuple[Matrices, ...]
    cols: tuple[Matrices, ...]

    def named(self) -> dict[str, Matrices]:
        """The matrices by the names of a graph's inputs, in their order."""
        pairs = zip(self.rows, self.cols, strict=True)
        return dict(zip(matrix_names(len(self.rows)), (matrix for pair in pairs for matrix in pair), strict=True))


def resize_matrix(grid: Grid, cells: int, rows: int) -> Matrices:
    """ONNX's Resize of `cells` values to `rows`, along one side, as a matrix (rows, cells) in float32."""
    return _matrix(*_taps(grid, cells, rows), cells)


def window_matrix(grid: Grid, side_px: int, start: int, stop: int) -> Matrices:
    """The matrix (rows, cells) of the window [start, stop) of a side, float32, with the weights of the whole side.

    A row that needs a cell outside the window takes the nearest cell that the window owns. Raises ValueError unless
    the window starts on the grid, lies within the side and has a cell.
    """
    if start % grid.cell_px or start % grid.row_px or not 0 <= start < stop <= side_px:
        raise ValueError(f"window {start}..{stop} does not lie on the grid of a side of {side_px} px")
    columns, weights = _taps(grid, grid.cells(side_px), grid.rows(side_px))
    first_row, first_cell, owned = start // grid.row_px, start // grid.cell_px, grid.cells(stop - start)
    own = slice(first_row, first_row + grid.rows(stop - start))
    return _matrix(np.clip(columns[own] - first_cell, 0, owned - 1), weights[own], owned)


def whole_geometry(batch: int, height: int, width: int, *, grids: Sequence[Grid]) -> Geometry:
    """The matrices of a batch of whole images of height x width LR pixels."""
    return Geometry(rows=_repeated(grids, batch, height), cols=_repeated(grids, batch, width))


def _repeated(grids: Sequence[Grid], batch: int, side_px: int) -> tuple[Matrices, ...]:
    return tuple(np.repeat(window_matrix(grid, side_px, 0, side_px)[None], batch, axis=0) for grid in grids)


def _matrix(columns: NDArray[np.int64], weights: NDArray[np.float64], width: int) -> Matrices:
    """Taps (n, k) with their weights as a matrix (n, width); taps of one column add up."""
    matrix = np.zeros((len(columns), width), dtype=np.float32)
    for tap in range(columns.shape[1]):
        np.add.at(matrix, (np.arange(len(columns)), columns[:, tap]), weights[:, tap])
    return matrix


def _taps(grid: Grid, cells: int, rows: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The cells (rows, k) that each row is interpolated from, and their weights, as ONNX's operator Resize defines."""
    position = _positions(grid.coordinates, cells, rows)
    if grid.interpolation is Interpolation.NEAREST:
        nearest = _rounded(grid.rounding, position)
        return np.clip(nearest, 0, cells - 1)[:, None], np.ones((rows, 1))
    if grid.interpolation is Interpolation.LINEAR:
        position = np.clip(position, 0, cells - 1)
    lower = np.floor(position).astype(np.int64)
    fraction = position - lower
    if grid.interpolation is Interpolation.LINEAR:
        columns, weights = np.stack([lower, lower + 1], axis=1), np.stack([1.0 - fraction, fraction], axis=1)
    else:
        steps = np.arange(-1, 3)
        columns, weights = lower[:, None] + steps, _keys(np.abs(fraction[:, None] - steps), grid.cubic_coefficient)
    return np.clip(columns, 0, cells - 1), weights


def _positions(coordinates: Coordinates, cells: int, rows: int) -> NDArray[np.float64]:
    """Where each row lies among the cells."""
    row = np.arange(rows, dtype=np.float64)
    if coordinates is Coordinates.ALIGN_CORNERS:
        return row * (cells - 1) / (rows - 1) if rows > 1 else row
    if coordinates is Coordinates.ASYMMETRIC:
        return row * cells / rows
    if coordinates is Coordinates.PYTORCH_HALF_PIXEL and rows == 1:
        return row
    return (row + 0.5) * cells / rows - 0.5


def _rounded(rounding: Rounding, position: NDArray[np.float64]) -> NDArray[np.int64]:
    nearest = {Rounding.FLOOR: np.floor(position), Rounding.CEIL: np.ceil(position),
               Rounding.PREFER_FLOOR: np.ceil(position - 0.5), Rounding.PREFER_CEIL: np.floor(position + 0.5)}
    return nearest[rounding].astype(np.int64)


def _keys(distance: NDArray[np.float64], a: float) -> NDArray[np.float64]:
    """Keys' cubic kernel (1981, equation 4 with a free)."""
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((distance - 5) * distance + 8) * distance * a - 4 * a
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))
