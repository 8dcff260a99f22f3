"""An image of any size is cut into windows that fit the shapes of an engine."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from srn_deploy.backends.batch import check_shape
from srn_deploy.errors import TilingError, UnsuitableBatch
from srn_deploy.grid import ESA_GRID
from srn_deploy.inference.upscale import upscale_rgb
from srn_deploy.spec import ModelSpec
from srn_deploy.tiling.shapes import Limits, ShapeRange
from srn_deploy.tiling.windows import TileOptions, planned_windows
from tests.fakes import NEAREST, NearestBackend

ESA = ModelSpec(architecture="srn", options={}, scale=4, value_range=255.0, min_side_px=15, alignment_px=6,
                halo_px=64, grids=(ESA_GRID,))

DYNAMIC = ShapeRange(smallest=(15, 15), largest=(320, 640), optimum=(160, 320))
STATIC = ShapeRange(smallest=(48, 64), largest=(48, 64), optimum=(48, 64))


def limits(*shapes: ShapeRange) -> Limits:
    return Limits(shapes=shapes)


@given(height=st.integers(15, 3000), width=st.integers(15, 3000), tile_px=st.none() | st.integers(32, 900))
def test_every_window_lies_in_the_engine_and_the_cores_cover_the_image(
        height: int, width: int, tile_px: int | None) -> None:
    tiles = planned_windows(ESA, limits(DYNAMIC), height, width, tile_px, TileOptions())
    assert all(DYNAMIC.takes(*tile.shape) for tile in tiles)
    assert all(tile.rows.start % 6 == 0 and tile.cols.start % 6 == 0 for tile in tiles)
    cores = ((tile.rows.core_stop - tile.rows.core_start) * (tile.cols.core_stop - tile.cols.core_start)
             for tile in tiles)
    assert sum(cores) == height * width


def test_what_the_engine_takes_whole_is_run_whole() -> None:
    assert len(planned_windows(ESA, limits(DYNAMIC), 320, 640, None, TileOptions())) == 1
    assert len(planned_windows(ESA, limits(DYNAMIC), 321, 640, None, TileOptions())) == 2


def test_of_several_ranges_the_one_with_the_fewest_pixels_is_taken() -> None:
    both = limits(STATIC, DYNAMIC)
    assert [tile.shape for tile in planned_windows(ESA, both, 48, 64, None, TileOptions())] == [(48, 64)]
    assert len(planned_windows(ESA, both, 500, 500, None, TileOptions())) > 1


def test_a_static_engine_says_what_it_takes_and_how_to_build_another() -> None:
    with pytest.raises(TilingError, match=r"takes images of 48x64.*500x500 cannot be cut") as caught:
        planned_windows(ESA, limits(STATIC), 500, 500, None, TileOptions())
    assert "more than 134." in caught.value.remedy


def test_larger_images_are_cut_into_what_a_model_for_one_size_takes() -> None:
    backend = NearestBackend(spec=replace(NEAREST, halo_px=4), limits=limits(STATIC))
    picture = np.random.default_rng(0).integers(0, 256, (150, 170, 3), dtype=np.uint8)
    upscaled = upscale_rgb(picture, backend)
    np.testing.assert_array_equal(upscaled, picture.repeat(2, axis=0).repeat(2, axis=1))
    assert {shape[1:3] for shape in backend.shapes} == {(48, 64)}


def test_a_image_below_the_engine_is_reflected_into_it_and_cropped_again() -> None:
    backend = NearestBackend(limits=limits(STATIC))
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    upscaled = upscale_rgb(picture, backend)
    np.testing.assert_array_equal(upscaled, picture.repeat(2, axis=0).repeat(2, axis=1))
    assert backend.shapes == [(1, 48, 64, 3)]


def test_no_more_tiles_are_run_at_once_than_the_engine_takes() -> None:
    shapes = ShapeRange(smallest=(8, 8), largest=(40, 40), optimum=(40, 40))
    backend = NearestBackend(spec=replace(NEAREST, halo_px=4), limits=Limits(shapes=(shapes,), largest_batch=2))
    picture = np.random.default_rng(0).integers(0, 256, (150, 170, 3), dtype=np.uint8)
    upscaled = upscale_rgb(picture, backend, TileOptions(tiles_per_batch=8))
    np.testing.assert_array_equal(upscaled, picture.repeat(2, axis=0).repeat(2, axis=1))
    assert {shape[0] for shape in backend.shapes} <= {1, 2}
    assert all(shapes.takes(*shape[1:3]) for shape in backend.shapes)


@given(height=st.integers(1, 700), width=st.integers(1, 700), multiple=st.sampled_from([2, 4, 8, 16]),
       tile_px=st.none() | st.integers(32, 300), halo_px=st.integers(0, 50))
def test_sides_that_must_be_multiples_are_reflected_to_them_and_the_result_is_cropped(
        height: int, width: int, multiple: int, tile_px: int | None, halo_px: int) -> None:
    backend = NearestBackend(spec=replace(NEAREST, size_multiple_px=multiple, halo_px=halo_px, alignment_px=6))
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    upscaled = upscale_rgb(image, backend, TileOptions(tile=tile_px))
    np.testing.assert_array_equal(upscaled, image.repeat(2, axis=0).repeat(2, axis=1))
    assert all(side % multiple == 0 for shape in backend.shapes for side in shape[1:3])


def test_a_size_that_is_not_such_a_multiple_is_refused_with_the_remedy() -> None:
    spec = replace(NEAREST, size_multiple_px=8)
    with pytest.raises(UnsuitableBatch, match="multiples of 8 px") as caught:
        check_shape((1, 32, 36), spec)
    assert "Reflect" in caught.value.remedy
    check_shape((1, 32, 40), spec)
