"""Bands of one image that are made apart and joined: the file is that of one process, byte for byte."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from srn_deploy.errors import UnsuitableBatch, UnwritableImage
from srn_deploy.image import Effort, write_image
from srn_deploy.image import tiff as tiff_codec
from srn_deploy.image.bands import png_stream
from srn_deploy.image.output_size import OutputSize
from srn_deploy.inference import band_parts, large_results
from srn_deploy.inference.band_parts import BandMaker, BandPart, band_path, bands_in, held_bands, join_bands
from srn_deploy.inference.guard import Guard
from srn_deploy.inference.jobs import Outcome, run_jobs
from srn_deploy.inference.plan import Job
from srn_deploy.inference.result_options import ResultOptions
from srn_deploy.inference.setup import Fp32Fallback, Setup
from srn_deploy.tiling.shapes import Limits, ShapeRange
from srn_deploy.tiling.windows import TileOptions
from tests.banded import waves
from tests.fakes import NearestBackend
from tests.picture_table import KINDS, Kind
from tests.test_guarded_upscaling import HALF, PRECISE, DivergingBackend

SMALL_PIECE_BYTES = 6000
"""Of compressed pieces, so that a band of a small image has several."""


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_results, "LARGE_RESULT_BYTES", 0)
    monkeypatch.setattr(png_stream, "PIECE_BYTES", SMALL_PIECE_BYTES)
    monkeypatch.setattr(tiff_codec, "_STRIP_BYTES", SMALL_PIECE_BYTES)


def diverging(guard: Guard) -> Setup:
    """A model that breaks in FP16 and has a fallback."""
    return Setup(DivergingBackend(HALF), tiles=TileOptions(tile=48), guard=guard,
                 fallback=Fp32Fallback(lambda: NearestBackend(PRECISE)))


def alone(source: Path, setup: Setup, suffix: str) -> Outcome:
    """What one process makes."""
    (outcome,) = run_jobs([Job(source=source, target=source.with_name(f"alone{suffix}"))], setup)
    assert outcome.error is None
    return outcome


def in_bands(source: Path, setup: Setup, suffix: str, count: int) -> tuple[Job, tuple[str, ...], tuple[str, ...]]:
    """The same by bands that are made from the last to the first, each by a maker of its own; losses and findings."""
    job = Job(source=source, target=source.with_name(f"joined{suffix}"))
    parts = [BandPart(number=number + 1, count=count) for number in range(count)]
    with held_bands(job):
        for part in reversed(parts):
            BandMaker(job, setup, Effort.NORMAL).make(part)
        losses, findings = join_bands(job, parts, Effort.NORMAL)
    return job, losses, findings


@pytest.mark.parametrize("guard", list(Guard))
@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_joined_bands_are_the_file_of_one_process(tmp_path: Path, kind: Kind, suffix: str, guard: Guard) -> None:
    write_image(source := tmp_path / "in.tif", waves(331, 150, kind, poisoned=True))
    whole = alone(source, diverging(guard), suffix)
    job, losses, findings = in_bands(source, diverging(guard), suffix, 3)
    assert job.target.read_bytes() == whole.job.target.read_bytes()
    assert (losses, findings) == (whole.losses, whole.findings)
    assert bool(findings) == (guard is not Guard.OFF and kind.bits == 8)


@pytest.mark.parametrize("count", [2, 5, 7, 9, 40])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_any_number_of_bands_gives_the_same_file(tmp_path: Path, suffix: str, count: int) -> None:
    write_image(source := tmp_path / "in.png", waves(331, 150, KINDS[2], poisoned=True))
    whole = alone(source, diverging(Guard.WARN), suffix)
    job, _, findings = in_bands(source, diverging(Guard.WARN), suffix, count)
    assert job.target.read_bytes() == whole.job.target.read_bytes()
    assert findings == whole.findings


def test_pieces_of_a_file_that_are_higher_than_a_band_belong_to_one_of_them(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(png_stream, "PIECE_BYTES", 200_000)
    write_image(source := tmp_path / "in.png", waves(331, 150, KINDS[2], poisoned=True))
    whole = alone(source, diverging(Guard.WARN), ".png")
    job, _, findings = in_bands(source, diverging(Guard.WARN), ".png", 7)
    assert job.target.read_bytes() == whole.job.target.read_bytes()
    assert findings == whole.findings


def test_what_the_network_breaks_for_good_is_interpolated_across_bands(tmp_path: Path) -> None:
    setup = Setup(DivergingBackend(HALF), tiles=TileOptions(tile=32), guard=Guard.REPAIR,
                  fallback=Fp32Fallback(lambda: DivergingBackend(PRECISE)))
    write_image(source := tmp_path / "in.png", waves(400, 150, KINDS[2], poisoned=True))
    whole = alone(source, setup, ".png")
    job, _, findings = in_bands(source, setup, ".png", 4)
    assert "replaced by bicubic interpolation" in findings[0]
    assert findings == whole.findings
    assert job.target.read_bytes() == whole.job.target.read_bytes()


def test_a_source_that_is_decoded_whole_is_divided_too(tmp_path: Path) -> None:
    write_image(source := tmp_path / "in.jpg", waves(331, 150, KINDS[2]))
    whole = alone(source, diverging(Guard.WARN), ".png")
    job, _, _ = in_bands(source, diverging(Guard.WARN), ".png", 3)
    assert job.target.read_bytes() == whole.job.target.read_bytes()


def test_a_band_runs_one_row_of_tiles_more_than_its_own_at_most(tmp_path: Path) -> None:
    write_image(source := tmp_path / "in.png", waves(480, 48, KINDS[2]))
    backend = NearestBackend()
    job = Job(source=source, target=tmp_path / "out.png")
    for number in range(2):
        BandMaker(job, Setup(backend, tiles=TileOptions(tile=48)), Effort.NORMAL).make(
            BandPart(number=number + 1, count=2))
    assert sum(count for count, *_ in backend.shapes) == 10 + 1  # ten rows of one tile, and one twice


def test_images_are_divided_by_their_pixels_where_bands_can_be_joined(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(band_parts, "BAND_PIXELS", 1000)
    png = Job(source=tmp_path / "in.png", target=tmp_path / "out.png")
    assert [part.name for part in bands_in(png, 50, 70)] == ["00001-of-00003", "00002-of-00003", "00003-of-00003"]
    assert bands_in(png, 50, 39) == []
    assert len(bands_in(png, 2, 10_000)) == 2
    assert bands_in(Job(source=tmp_path / "in.png", target=tmp_path / "out.jpg"), 50, 70) == []
    reduced = ResultOptions(size=OutputSize(width=80))
    assert bands_in(Job(source=tmp_path / "in.png", target=tmp_path / "out.png", wanted=reduced), 50, 70) == []


@pytest.mark.parametrize("change", ["cut", "content", "gone", "other"])
def test_a_band_that_is_damaged_is_named_and_nothing_is_written(tmp_path: Path, change: str) -> None:
    write_image(source := tmp_path / "in.png", waves(200, 90, KINDS[2]))
    job, parts = Job(source=source, target=tmp_path / "out.png"), [BandPart(number=n, count=2) for n in (1, 2)]
    for part in parts:
        BandMaker(job, Setup(NearestBackend(), tiles=TileOptions(tile=48)), Effort.NORMAL).make(part)
    path = band_path(job, parts[1])
    content = bytearray(path.read_bytes())
    content[10] ^= 1
    if change == "gone":
        path.unlink()
    else:
        path.write_bytes({"cut": path.read_bytes()[:-20], "content": bytes(content), "other": b"nothing"}[change])
    with pytest.raises(UnwritableImage, match="a finished part of an image, is damaged") as caught:
        join_bands(job, parts, Effort.NORMAL)
    assert path.name in caught.value.message
    assert not job.target.exists()


def test_an_image_that_is_smaller_than_an_engine_takes_is_not_divided(tmp_path: Path) -> None:
    write_image(source := tmp_path / "in.png", waves(200, 90, KINDS[2]))
    backend = NearestBackend()
    backend.limits = Limits(shapes=(ShapeRange(smallest=(300, 300), optimum=(300, 300), largest=(400, 400)),))
    with pytest.raises(UnsuitableBatch, match="shorter than the model takes"):
        BandMaker(Job(source=source, target=tmp_path / "out.png"), Setup(backend), Effort.NORMAL)


def test_the_folder_of_bands_goes_when_it_is_empty_and_stays_with_what_is_finished(tmp_path: Path) -> None:
    job, part = Job(source=tmp_path / "in.png", target=tmp_path / "out.png"), BandPart(number=1, count=2)
    with held_bands(job):
        assert band_path(job, part).parent.is_dir()
    assert not band_path(job, part).parent.exists()
    with held_bands(job):
        band_path(job, part).write_bytes(b"finished")
    assert band_path(job, part).exists()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UnwritableImage, match="cannot be made"), \
            held_bands(Job(source=tmp_path / "in.png", target=tmp_path / "file/out.png")):
        pass


def test_names_of_bands_come_back(tmp_path: Path) -> None:
    assert BandPart.named(BandPart(number=7, count=12).name) == BandPart(number=7, count=12)
    assert np.all(np.diff([len(BandPart(number=number, count=900).name) for number in (1, 900)]) == 0)
