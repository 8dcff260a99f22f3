"""Plans are right before any pixel is cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from srn_deploy.errors import TilingError
from srn_deploy.tiling.tiles import (
    batches,
    cut,
    join,
    largest_tile_px,
    plan_equal_windows,
    plan_side,
    plan_tiles,
    reflected,
)

SIDE, TILE, HALO = st.integers(15, 900), st.integers(1, 300), st.integers(0, 80)
ALIGNMENT = st.sampled_from([1, 6])


@given(side=SIDE, tile=TILE, halo=HALO, alignment=ALIGNMENT)
def test_cores_cover_a_side_without_gap_or_overlap(side: int, tile: int, halo: int, alignment: int) -> None:
    spans = plan_side(side, tile_px=tile, halo_px=halo, alignment_px=alignment, min_side_px=15)
    assert [span.core_start for span in spans] == [0, *(span.core_stop for span in spans[:-1])]
    assert spans[-1].core_stop == side
    assert all(span.core_start < span.core_stop for span in spans)


@given(side=SIDE, tile=TILE, halo=HALO, alignment=ALIGNMENT)
def test_every_inner_cut_has_its_halo(side: int, tile: int, halo: int, alignment: int) -> None:
    for span in plan_side(side, tile_px=tile, halo_px=halo, alignment_px=alignment, min_side_px=15):
        assert span.start == 0 or span.core_start - span.start >= halo
        assert span.stop == side or span.stop - span.core_stop >= halo


@given(side=SIDE, tile=TILE, halo=HALO)
def test_windows_start_on_the_grid_and_the_last_ends_at_the_border(side: int, tile: int, halo: int) -> None:
    spans = plan_side(side, tile_px=tile, halo_px=halo, alignment_px=6, min_side_px=15)
    assert all(span.start % 6 == 0 for span in spans)
    assert spans[-1].stop == side
    assert all(span.length >= 15 for span in spans)


@given(side=SIDE, tile=TILE, halo=HALO, alignment=ALIGNMENT)
def test_a_side_has_at_most_two_window_lengths(side: int, tile: int, halo: int, alignment: int) -> None:
    spans = plan_side(side, tile_px=tile, halo_px=halo, alignment_px=alignment, min_side_px=15)
    assert len({span.length for span in spans}) <= 2
    assert len({span.length for span in spans[:-1]}) <= 1


@given(side=SIDE, length=st.integers(15, 300), halo=HALO, alignment=ALIGNMENT)
def test_windows_of_one_length_cover_a_side_with_their_halo_or_there_are_none(
        side: int, length: int, halo: int, alignment: int) -> None:
    spans = plan_equal_windows(side, length_px=length, halo_px=halo, alignment_px=alignment)
    possible = side == length or (side > length and (side - length) % alignment == 0
                                  and length - 2 * halo >= alignment)
    assert bool(spans) == possible
    assert all(span.length == length and span.start % alignment == 0 for span in spans)
    assert [span.core_start for span in spans] == [0, *(span.core_stop for span in spans[:-1])] * bool(spans)
    assert all(span.stop == side or span.stop - span.core_stop >= halo for span in spans)
    assert all(span.start == 0 or span.core_start - span.start >= halo for span in spans)


def test_windows_of_one_length_are_as_few_as_possible() -> None:
    assert len(plan_equal_windows(1000, length_px=100, halo_px=10)) == 13  # 80 px each, and 20 more at the ends


@pytest.mark.parametrize(("height", "width"), [(768, 1024), (720, 1280), (900, 900), (1080, 1920), (3000, 4000)])
def test_windows_are_spread_evenly_over_ordinary_images(height: int, width: int) -> None:
    tile_px = largest_tile_px(budget_bytes=2**30, bytes_per_px=1408, halo_px=48, alignment_px=6)
    tiles = plan_tiles(height, width, tile_px=tile_px, halo_px=48, alignment_px=6, min_side_px=15)
    computed = sum(tile.shape[0] * tile.shape[1] for tile in tiles)
    assert computed <= 1.35 * height * width  # full windows that overlap at the end would cost up to 3.7


def test_a_tile_larger_than_the_image_is_one_window() -> None:
    (tile,) = plan_tiles(40, 50, tile_px=200, halo_px=64, alignment_px=6, min_side_px=15)
    assert tile.shape == (40, 50)


@pytest.mark.parametrize(("tile", "halo"), [(0, 8), (-3, 8), (32, -1)])
def test_an_impossible_tile_is_an_error_with_a_remedy(tile: int, halo: int) -> None:
    with pytest.raises(TilingError, match="--tile auto"):
        plan_side(100, tile_px=tile, halo_px=halo)


@given(height=st.integers(15, 200), width=st.integers(15, 200), size=st.integers(1, 5))
def test_batches_hold_equal_shapes_and_lose_no_tile(height: int, width: int, size: int) -> None:
    tiles = plan_tiles(height, width, tile_px=32, halo_px=8, alignment_px=6, min_side_px=15)
    grouped = list(batches(tiles, size))
    assert [tile for group in grouped for tile in group] == tiles
    assert all(len(group) <= size and len({tile.shape for tile in group}) == 1 for group in grouped)


@given(height=st.integers(15, 150), width=st.integers(15, 150), scale=st.integers(1, 4))
def test_cut_and_join_give_back_the_image(height: int, width: int, scale: int) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    canvas = np.zeros((height * scale, width * scale, 3), np.uint8)
    for tile in plan_tiles(height, width, tile_px=40, halo_px=8, alignment_px=6, min_side_px=15):
        join(canvas, tile, cut(picture, [tile])[0].repeat(scale, 0).repeat(scale, 1), scale)
    np.testing.assert_array_equal(canvas, picture.repeat(scale, 0).repeat(scale, 1))


def test_the_tile_grows_with_the_memory_and_shrinks_with_the_halo() -> None:
    assert largest_tile_px(budget_bytes=1000**2 * 100, bytes_per_px=100, halo_px=0) == 1000
    assert largest_tile_px(budget_bytes=1000**2 * 100, bytes_per_px=100, halo_px=64) == 1000 - 128
    assert largest_tile_px(budget_bytes=1, bytes_per_px=100, halo_px=64) == 32


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (2, 3), (14, 15), (9, 20)])
def test_a_small_image_is_reflected_and_stays_in_its_corner(shape: tuple[int, int]) -> None:
    picture = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    grown = reflected(picture, 15, 15)
    assert min(grown.shape[:2]) >= 15
    np.testing.assert_array_equal(grown[:shape[0], :shape[1]], picture)


def test_a_large_enough_image_is_not_copied() -> None:
    picture = np.zeros((15, 15, 3), np.uint8)
    assert reflected(picture, 15, 15) is picture
