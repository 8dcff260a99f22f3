"""The geometry of ESA."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional

from srn_deploy.grid import ESA_GRID
from srn_deploy.tiling.interpolation import whole_geometry, window_matrix

SIDES = st.integers(ESA_GRID.first_cell_px, 700)


@given(side=SIDES)
def test_cells_are_counted_as_convolution_and_pooling_leave_them(side: int) -> None:
    pooled = functional.max_pool1d(functional.conv1d(torch.zeros(1, 1, side), torch.zeros(1, 1, 3), stride=2), 7, 3)
    assert ESA_GRID.cells(side) == pooled.shape[-1]


def test_a_side_below_fifteen_pixels_has_no_cells() -> None:
    with pytest.raises(ValueError, match="no cells"):
        ESA_GRID.cells(ESA_GRID.first_cell_px - 1)


@given(side=SIDES)
def test_the_matrix_of_a_whole_side_is_torchs_bilinear_interpolation(side: int) -> None:
    cells = torch.rand(1, 1, ESA_GRID.cells(side), generator=torch.Generator().manual_seed(side))
    expected = functional.interpolate(cells, size=side, mode="linear", align_corners=False)[0, 0]
    ours = window_matrix(ESA_GRID, side, 0, side) @ cells[0, 0].numpy()
    # torch computes positions in float32: at 700 px they are off by up to 700 * 2**-24.
    np.testing.assert_allclose(ours, expected.numpy(), atol=1e-4)


@given(side=SIDES, data=st.data())
def test_rows_of_every_window_sum_to_one(side: int, data: st.DataObject) -> None:
    start = ESA_GRID.cell_px * data.draw(st.integers(0, (side - ESA_GRID.first_cell_px) // ESA_GRID.cell_px))
    stop = data.draw(st.integers(start + ESA_GRID.first_cell_px, side))
    matrix = window_matrix(ESA_GRID, side, start, stop)
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0, atol=1e-6)  # two float32 weights
    assert matrix.min() >= 0


@given(side=st.integers(100, 700), data=st.data())
def test_a_window_has_the_whole_images_weights_where_it_owns_the_cells(side: int, data: st.DataObject) -> None:
    start = ESA_GRID.cell_px * data.draw(st.integers(0, (side - 90) // ESA_GRID.cell_px))
    stop = data.draw(st.integers(start + 90, side))
    first, owned = start // ESA_GRID.cell_px, ESA_GRID.cells(stop - start)
    whole = window_matrix(ESA_GRID, side, 0, side)[start:stop]
    kept = whole[:, first:first + owned]
    inside = np.isclose(kept.sum(axis=1), 1.0)
    assert inside.sum() > 0
    np.testing.assert_array_equal(window_matrix(ESA_GRID, side, start, stop)[inside], kept[inside])


def test_a_window_off_the_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="grid"):
        window_matrix(ESA_GRID, 100, 5, 60)


def test_whole_geometry_repeats_one_pair_per_item() -> None:
    geometry = whole_geometry(3, 40, 50, grids=[ESA_GRID])
    assert geometry.rows[0].shape == (3, 40, ESA_GRID.cells(40))
    assert geometry.cols[0].shape == (3, 50, ESA_GRID.cells(50))
    assert geometry.rows[0].dtype == np.float32
