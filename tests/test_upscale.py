"""One image on one backend, with a fake that repeats pixels."""

from __future__ import annotations

import tracemalloc
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from srn_deploy.errors import OptionError, OutOfMemory, TilingError, UnsuitableBatch
from srn_deploy.grid import ESA_GRID
from srn_deploy.inference.arrays import upscale_guarded
from srn_deploy.inference.guard import Guard
from srn_deploy.inference.setup import Setup
from srn_deploy.inference.upscale import upscale_parts, upscale_rgb
from srn_deploy.spec import Form, PixelType, Precision
from srn_deploy.tiling.interpolation import Geometry
from srn_deploy.tiling.rows import Rows
from srn_deploy.tiling.shapes import Limits
from srn_deploy.tiling.windows import TileOptions, choose_tile_px
from tests.fakes import NEAREST, NearestBackend

FLOAT = replace(NEAREST, pixel_type=PixelType.FLOAT32)


def drawn(*shape: int, dtype: Any = np.uint8) -> NDArray[Any]:
    """Seeded noise of a shape and integer dtype."""
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, shape, dtype=dtype)


def enlarged(image: NDArray[Any]) -> NDArray[Any]:
    """What the fake makes of a whole image."""
    return image.repeat(2, 0).repeat(2, 1)


def test_sixteen_bits_survive_a_float_model_and_nan_becomes_black() -> None:
    picture = drawn(20, 30, 3, dtype=np.uint16)
    result = upscale_rgb(picture, NearestBackend(FLOAT))
    assert result.dtype == np.uint16
    np.testing.assert_array_equal(result, enlarged(picture))
    assert not upscale_rgb(picture, NotANumber(FLOAT)).any()


class NotANumber(NearestBackend):
    """A network that left the range of its type."""

    def run(self, batch: NDArray[Any], geometry: Geometry | None = None) -> NDArray[Any]:
        return np.full_like(super().run(batch), np.nan)


def test_eight_bits_survive_a_float_model() -> None:
    picture = drawn(20, 30, 3)
    np.testing.assert_array_equal(upscale_rgb(picture, NearestBackend(FLOAT)), enlarged(picture))


@pytest.mark.parametrize("spec", [NEAREST, replace(FLOAT, precision=Precision.FP16)])
def test_sixteen_bits_are_refused_by_what_would_cut_them(spec: Any) -> None:
    with pytest.raises(UnsuitableBatch, match="--io float32"):
        upscale_rgb(drawn(20, 30, 3, dtype=np.uint16), NearestBackend(spec))


def test_only_the_wanted_tiles_are_run_again_and_give_what_the_whole_gives() -> None:
    picture, backend = drawn(100, 130, 3), NearestBackend()
    wanted = np.zeros((100, 130), bool)
    wanted[70, 50] = True
    parts = list(upscale_parts(Rows(picture), backend, Rows(wanted[..., None]), 48))
    assert len(parts) == len(backend.shapes) == 1
    (tile, pixels), = parts
    assert tile.rows.core_start <= 70 < tile.rows.core_stop
    assert tile.cols.core_start <= 50 < tile.cols.core_stop
    rows, cols = (slice(2 * side.core_start, 2 * side.core_stop) for side in (tile.rows, tile.cols))
    np.testing.assert_array_equal(pixels, enlarged(picture)[rows, cols])


def test_a_small_image_runs_whole_and_a_large_one_in_windows_of_bounded_memory() -> None:
    options = TileOptions(activation_bytes=(bound := 100 * 80 * 80))
    assert choose_tile_px(NEAREST, Limits(), 80, 80, options) is None
    backend = NearestBackend()
    upscale_rgb(drawn(300, 310, 3), backend, options)
    assert len(backend.shapes) > 1
    assert max(n * h * w * NEAREST.activation_bytes_per_px for n, h, w, _ in backend.shapes) <= bound


@pytest.mark.parametrize("alignment", [1, 6])
def test_windows_stay_within_the_bound_however_they_are_rounded(alignment: int) -> None:
    backend = NearestBackend(replace(NEAREST, alignment_px=alignment, halo_px=7))
    options = TileOptions(activation_bytes=(bound := 100 * 97 * 97), tiles_per_batch=2)
    upscale_rgb(drawn(250, 260, 3), backend, options)
    assert max(n * h * w * 100 for n, h, w, _ in backend.shapes) <= bound


def test_the_matrices_of_a_long_image_count_too() -> None:
    spec = replace(NEAREST, grids=(ESA_GRID,), min_side_px=15, alignment_px=6, halo_px=30)
    options = TileOptions(activation_bytes=2**27)
    assert 15 * 50_000 * spec.activation_bytes_per_px < 2**27
    assert choose_tile_px(spec, Limits(), 15, 50_000, options) is not None


def test_a_bound_that_no_tile_can_keep_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    choose_tile_px(NEAREST, Limits(), 500, 500, TileOptions(activation_bytes=100))
    assert "more memory than the bound" in caplog.text


@pytest.mark.parametrize("side", [20, 200])
def test_a_bound_that_no_tile_can_keep_is_said_once(caplog: pytest.LogCaptureFixture, side: int) -> None:
    """Of an image that is a single window, and of one that is not."""
    upscale_rgb(drawn(side, side, 3), NearestBackend(), TileOptions(activation_bytes=1))
    assert caplog.text.count("takes more memory than the bound") == 1


@pytest.mark.parametrize(("channels", "dtype"), [(1, np.uint8), (3, np.uint8), (1, np.uint16), (3, np.uint16)])
def test_memory_holds_the_image_its_result_and_its_windows(channels: int, dtype: Any) -> None:
    picture = drawn(400, 500, channels, dtype=dtype)
    setup = Setup(NearestBackend(FLOAT if dtype == np.uint16 else NEAREST), tiles=TileOptions(tile=40, halo=0),
                  guard=Guard.OFF)
    tracemalloc.start()
    result, _ = upscale_guarded(picture, setup)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    window = 2 * 40 * 2 * 40 * 3 * 4
    assert peak < result.nbytes + 8 * window  # a few copies of one upscaled float window


def test_equal_windows_share_a_batch() -> None:
    backend = NearestBackend()
    upscale_rgb(drawn(64, 320, 3), backend, TileOptions(tile=32, halo=0, tiles_per_batch=4))
    assert max(shape[0] for shape in backend.shapes) == 4


@dataclass
class ForgetfulBackend(NearestBackend):
    """Has memory for windows up to a height, and hands out garbage never."""

    largest_height: int = 70
    failures: int = 0

    def run(self, batch: NDArray[Any], geometry: Geometry | None = None) -> NDArray[Any]:
        if batch.shape[1] > self.largest_height:
            self.failures += 1
            raise OutOfMemory("no memory", remedy="a smaller tile")
        return super().run(batch, geometry)


def test_out_of_memory_halves_the_tile_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    backend, picture = ForgetfulBackend(largest_height=60), drawn(201, 190, 3)
    np.testing.assert_array_equal(upscale_rgb(picture, backend, TileOptions(tile=None)), enlarged(picture))
    assert backend.failures == 2  # 201 px, then 67 px each; five of 41 px fit
    assert "tiles of 50 px" in caplog.text


def test_what_was_finished_before_the_memory_ran_out_is_not_run_again() -> None:
    @dataclass
    class LaterForgetful(ForgetfulBackend):
        def run(self, batch: NDArray[Any], geometry: Geometry | None = None) -> NDArray[Any]:
            self.largest_height = 1000 if len(self.shapes) < 3 else 70
            return super().run(batch, geometry)

    backend, picture = LaterForgetful(), drawn(300, 300, 3)
    np.testing.assert_array_equal(upscale_rgb(picture, backend, TileOptions(tile=100, halo=0)), enlarged(picture))
    assert backend.failures == 1
    small = [shape for shape in backend.shapes if shape[1] < 100]
    assert sum(h * w for _, h, w, _ in small) < 300 * 300  # the first row of tiles was kept


def test_a_memory_that_holds_no_tile_is_an_error() -> None:
    with pytest.raises(OutOfMemory):
        upscale_rgb(drawn(100, 100, 3), ForgetfulBackend(largest_height=10), TileOptions(tile=64))


def test_a_portable_graph_with_esa_is_not_tiled_wrongly() -> None:
    spec = replace(FLOAT, form=Form.PORTABLE, grids=(ESA_GRID,), min_side_px=15, alignment_px=6, halo_px=30)
    with pytest.raises(TilingError, match="deploy graph"):
        upscale_rgb(drawn(300, 300, 3), NearestBackend(spec), TileOptions(tile=64))


@pytest.mark.parametrize("wrong", [{"tile": "some"}, {"tile": 8}, {"halo": -1}, {"activation_bytes": 0},
                                   {"tiles_per_batch": 0}, {"tile": 64.0}, {"halo": 3.5}])
def test_impossible_tile_options_are_refused_when_made(wrong: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        TileOptions(**wrong)


def test_any_integer_type_is_a_tile() -> None:
    assert choose_tile_px(NEAREST, Limits(), 900, 900, TileOptions(tile=64)) == 64
    assert TileOptions(tile=np.int64(64)).tile == 64  # type: ignore[arg-type]  # what callers with numpy do


def test_a_portable_graph_that_runs_out_of_memory_says_so(caplog: pytest.LogCaptureFixture) -> None:
    spec = replace(FLOAT, form=Form.PORTABLE, grids=(ESA_GRID,), min_side_px=15, alignment_px=6, halo_px=30)
    with pytest.raises(OutOfMemory):
        upscale_rgb(drawn(300, 300, 3), ForgetfulBackend(spec), TileOptions(tile=None))
    assert "going on" not in caplog.text


def test_tiles_are_counted_for_the_progress_bar() -> None:
    seen: list[tuple[int, int]] = []
    options = TileOptions(tile=50, halo=0)
    upscale_rgb(drawn(100, 100, 3), NearestBackend(), options, lambda *count: seen.append(count))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
