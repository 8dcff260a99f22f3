"""Results of a size that was asked for are made by bands with the bits of those that are made whole, in flat memory."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from srn_deploy.errors import UnwritableImage
from srn_deploy.image import Image, read_image, reduction, write_image
from srn_deploy.image.bands.reducing import reduced_rows
from srn_deploy.image.bands.source import ColourAndAlpha
from srn_deploy.image.output_size import OutputSize
from srn_deploy.image.reduction import parts_of, reduced_with_alpha
from srn_deploy.inference import large_results
from srn_deploy.inference.guard import Guard
from srn_deploy.inference.jobs import run_jobs
from srn_deploy.inference.plan import Job
from srn_deploy.inference.result_options import ResultOptions
from srn_deploy.inference.setup import Fp32Fallback, Setup
from srn_deploy.tiling.windows import TileOptions
from tests.banded import BothWays, assert_same, waves
from tests.fakes import NEAREST, NearestBackend
from tests.picture_table import KINDS, Kind
from tests.test_guarded_upscaling import HALF, PRECISE, DivergingBackend

HALF_AGAIN = ResultOptions(size=OutputSize(scale=1.5))


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images are reduced in parts of a few rows, so that bands and parts do not end at the same places."""
    monkeypatch.setattr(reduction, "PART_PIXELS", 300 * 23)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("guard", [Guard.WARN, Guard.REPAIR])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_bands_give_the_pixels_and_findings_of_the_whole(tmp_path: Path, run_both: BothWays, kind: Kind, suffix: str,
                                                         guard: Guard) -> None:
    write_image(source := tmp_path / f"in{suffix}", waves(331, 150, kind, poisoned=True))
    setup = Setup(DivergingBackend(HALF), tiles=TileOptions(tile=48), guard=guard,
                  fallback=Fp32Fallback(lambda: NearestBackend(PRECISE)), threads=3)
    whole, banded = run_both(source, suffix, setup, HALF_AGAIN)
    assert (whole.error, banded.error) == (None, None)
    assert (banded.findings, banded.losses) == (whole.findings, whole.losses)
    assert_same(tmp_path / f"whole{suffix}", tmp_path / f"bands{suffix}")
    assert read_image(tmp_path / f"bands{suffix}").pixels.shape[:2] == (497, 225)


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("size", [
    OutputSize(width=299), OutputSize(height=333), OutputSize(fit=(600, 250)), OutputSize(max_side=655),
    OutputSize(scale=1), OutputSize(scale=0.3), OutputSize(max_side=7), OutputSize(scale=2, max_side=400)], ids=repr)
@pytest.mark.parametrize("kind", [KINDS[2], KINDS[7]], ids=lambda kind: kind.name)
def test_each_way_to_ask_for_a_size_gives_by_bands_what_it_gives_whole(
        tmp_path: Path, run_both: BothWays, kind: Kind, size: OutputSize) -> None:
    write_image(source := tmp_path / "in.png", waves(331, 150, kind))
    backend = NearestBackend(PRECISE)
    _, banded = run_both(source, ".tif", Setup(backend, tiles=TileOptions(tile=48)), ResultOptions(size=size))
    assert banded.error is None
    assert_same(tmp_path / "whole.tif", tmp_path / "bands.tif")
    assert bool(backend.shapes) == (size not in (OutputSize(scale=1), OutputSize(scale=0.3), OutputSize(max_side=7)))


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("level", [0, 90, 255])
def test_alpha_that_is_even_in_places_is_reduced_by_bands_as_whole(tmp_path: Path, run_both: BothWays,
                                                                   level: int) -> None:
    picture = waves(331, 150, KINDS[3])
    assert picture.alpha is not None
    alpha = picture.alpha.copy()
    alpha[:170] = level
    write_image(source := tmp_path / "in.png", Image(pixels=picture.pixels, alpha=alpha))
    run_both(source, ".png", Setup(NearestBackend(), tiles=TileOptions(tile=48)), HALF_AGAIN)
    assert_same(tmp_path / "whole.png", tmp_path / "bands.png")


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".bmp"])
@pytest.mark.parametrize("read_from", [".png", ".bmp"])
def test_a_result_that_is_encoded_whole_is_reduced_by_bands_all_the_same(
        tmp_path: Path, run_both: BothWays, suffix: str, read_from: str) -> None:
    write_image(source := tmp_path / f"in{read_from}", waves(331, 150, KINDS[2], poisoned=True))
    setup = Setup(DivergingBackend(), tiles=TileOptions(tile=48))
    whole, banded = run_both(source, suffix, setup, HALF_AGAIN, says="300 x 662 px are reduced to 225 x 497 px")
    assert whole.findings
    assert (banded.findings, banded.losses, banded.error) == (whole.findings, whole.losses, None)
    assert (tmp_path / f"bands{suffix}").read_bytes() == (tmp_path / f"whole{suffix}").read_bytes()


@pytest.mark.usefixtures("small_parts")
@pytest.mark.parametrize("piece", [1, 7, 64, 1000])
@pytest.mark.parametrize("new", [(90, 70), (199, 61), (13, 100), (200, 50)])
def test_rows_may_come_in_any_number_at_once(piece: int, new: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    colour, alpha = (random.integers(0, 65536, (200, 100, count), np.uint16) for count in (3, 1))

    def rows() -> Iterator[ColourAndAlpha]:
        for top in range(0, 200, piece):
            yield ColourAndAlpha(colour[top:top + piece], alpha[top:top + piece])

    bands = list(reduced_rows(rows(), (200, 100), new, threads=2))
    whole, whole_alpha = reduced_with_alpha(colour, alpha, *new)
    np.testing.assert_array_equal(np.concatenate([band.colour for band in bands]), whole)
    np.testing.assert_array_equal(np.concatenate([band.alpha for band in bands if band.alpha is not None]), whole_alpha)


@pytest.mark.parametrize("sizes", [(1000, 50, 1), (1000, 50, 999), (7, 9000, 5), (10_001, 3000, 3334)])
def test_parts_cover_a_result_once_and_reach_as_far_as_the_kernel(sizes: tuple[int, int, int]) -> None:
    source_height, _, height = sizes
    parts = list(parts_of(*sizes))
    assert [part.rows.start for part in parts] == [0, *(part.rows.stop for part in parts[:-1])]
    assert parts[-1].rows.stop == height
    ratio = source_height / height
    for part in parts:
        first, last = (part.rows.start + 0.5) * ratio, (part.rows.stop - 0.5) * ratio
        assert part.source.start <= max(0, first - 2 * ratio)
        assert part.source.stop >= min(source_height, last + 2 * ratio)
    assert all(first.source.start <= second.source.start for first, second in pairwise(parts))


def test_the_memory_of_a_reduced_result_does_not_grow_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_results, "LARGE_RESULT_BYTES", 0)
    monkeypatch.setattr(reduction, "PART_PIXELS", 2**18)
    setup = Setup(NearestBackend(replace(NEAREST, scale=4)), tiles=TileOptions(tile=64), threads=1)
    peaks = []
    for height in (1500, 4500):
        write_image(source := tmp_path / "in.tif", waves(height, 300, KINDS[2]))
        tracemalloc.start()
        outcome, = run_jobs([Job(source=source, target=tmp_path / "out.png", wanted=HALF_AGAIN)], setup)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert outcome.error is None
    before_reduction = 18_000 * 1200 * 3
    assert peaks[1] < 1.1 * peaks[0]
    assert peaks[1] < before_reduction / 2


def test_more_than_the_network_gives_is_refused_before_anything_is_read_by_bands(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_results, "LARGE_RESULT_BYTES", 0)
    write_image(source := tmp_path / "in.png", waves(70, 50, KINDS[2]))
    backend = NearestBackend()
    outcome, = run_jobs([Job(source=source, target=tmp_path / "out.png",
                             wanted=ResultOptions(size=OutputSize(scale=2.5)))], Setup(backend))
    assert isinstance(outcome.error, UnwritableImage)
    assert "a model of x2" in outcome.error.message
    assert backend.shapes == []
