"""Results that are written by bands have the pixels, metadata and findings of results that are written whole."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import srn_deploy
from srn_deploy.errors import OutOfMemory, UnreadableImage, UnwritableImage
from srn_deploy.image import Image, read_image, write_image
from srn_deploy.image.bands import png_filters
from srn_deploy.image.bands.png_rows import PngRows
from srn_deploy.image.bands.png_stream import PngEncoder
from srn_deploy.image.bands.tiff_rows import TiffRows
from srn_deploy.image.bands.tiff_stream import TiffEncoder
from srn_deploy.image.effort import Effort
from srn_deploy.inference import guarded_rows, jobs, large_results
from srn_deploy.inference.file_options import FileOptions
from srn_deploy.inference.guard import Guard
from srn_deploy.inference.jobs import run_jobs
from srn_deploy.inference.plan import Job
from srn_deploy.inference.setup import Fp32Fallback, Setup
from srn_deploy.tiling.interpolation import Geometry
from srn_deploy.tiling.windows import TileOptions
from tests.banded import BothWays, assert_same, waves
from tests.fakes import NearestBackend
from tests.picture_table import INFORMATION, KINDS, Information, Kind
from tests.test_guarded_upscaling import HALF, PRECISE, DivergingBackend


@pytest.mark.parametrize("guard", list(Guard))
@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_bands_give_the_pixels_and_findings_of_the_whole(tmp_path: Path, run_both: BothWays, kind: Kind, suffix: str,
                                                         guard: Guard) -> None:
    write_image(source := tmp_path / "in.tif", waves(331, 150, kind, poisoned=True))
    fallback = Fp32Fallback(lambda: NearestBackend(PRECISE))
    setup = Setup(DivergingBackend(HALF), tiles=TileOptions(tile=48), guard=guard, fallback=fallback)
    whole, banded = run_both(source, suffix, setup)
    assert (whole.error, banded.error) == (None, None)
    assert (banded.findings, banded.losses) == (whole.findings, whole.losses)
    assert bool(whole.findings) == (guard is not Guard.OFF and kind.bits == 8)
    assert_same(tmp_path / f"whole{suffix}", tmp_path / f"bands{suffix}")


@pytest.mark.parametrize("tile", [32, 100])
def test_what_the_network_breaks_for_good_is_interpolated_as_in_the_whole(tmp_path: Path, run_both: BothWays,
                                                                          tile: int) -> None:
    write_image(source := tmp_path / "in.png", waves(400, 150, KINDS[2], poisoned=True))
    setup = Setup(DivergingBackend(HALF), tiles=TileOptions(tile=tile), guard=Guard.REPAIR,
                  fallback=Fp32Fallback(lambda: DivergingBackend(PRECISE)))
    whole, banded = run_both(source, ".png", setup)
    assert "replaced by bicubic interpolation" in whole.findings[0]
    assert banded.findings == whole.findings
    assert_same(tmp_path / "whole.png", tmp_path / "bands.png")


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("level", [0, 255])
def test_alpha_that_is_the_same_everywhere_needs_no_network(tmp_path: Path, run_both: BothWays, suffix: str,
                                                            level: int) -> None:
    picture = waves(120, 90, KINDS[2])
    write_image(source := tmp_path / "in.png", Image(pixels=picture.pixels,
                                                     alpha=np.full((120, 90, 1), level, np.uint8)))
    backend = NearestBackend()
    run_both(source, suffix, Setup(backend, tiles=TileOptions(tile=40)))
    assert_same(tmp_path / f"whole{suffix}", tmp_path / f"bands{suffix}")
    area = sum(count * height * width for count, height, width, _ in backend.shapes)
    assert area == 2 * 120 * 90


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("information", INFORMATION, ids=lambda information: information.name)
def test_bands_keep_the_metadata_of_the_whole(tmp_path: Path, run_both: BothWays, suffix: str,
                                              information: Information) -> None:
    holder = {"PNG": ".png", "JPE": ".jpg"}.get(information.name[:3], suffix)
    write_image(source := tmp_path / f"in{holder}",
                Image(pixels=waves(70, 50, KINDS[2]).pixels, metadata=(information.make(KINDS[2]),)))
    assert read_image(source).metadata
    whole, banded = run_both(source, suffix, Setup(NearestBackend(), tiles=TileOptions(tile=32)))
    assert banded.losses == whole.losses
    assert_same(tmp_path / f"whole{suffix}", tmp_path / f"bands{suffix}")


def test_a_network_with_esa_gives_the_same_bits_by_bands(tmp_path: Path, run_both: BothWays) -> None:
    write_image(source := tmp_path / "in.png", waves(163, 131, KINDS[2]))
    with srn_deploy.load("srn-s-b4-x4", device="cpu", tiles=TileOptions(tile=48)) as upscaler:
        run_both(source, ".png", upscaler._setup)
    assert_same(tmp_path / "whole.png", tmp_path / "bands.png")


@pytest.mark.parametrize("suffix", [".avif", ".heic", ".jxl"])
def test_a_file_that_is_decoded_whole_has_its_result_written_by_bands(tmp_path: Path, run_both: BothWays,
                                                                      suffix: str) -> None:
    if suffix == ".avif":
        write_image(source := tmp_path / "in.avif", waves(70, 50, KINDS[2]))
    else:
        module = pytest.importorskip("tests.test_heic" if suffix == ".heic" else "tests.test_jpeg_xl")
        (source := tmp_path / f"in{suffix}").write_bytes(module.made(waves(70, 50, KINDS[2]).pixels))
    _, banded = run_both(source, ".png", Setup(NearestBackend(), tiles=TileOptions(tile=32)))
    assert banded.error is None
    assert_same(tmp_path / "whole.png", tmp_path / "bands.png")


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("guard", [Guard.WARN, Guard.REPAIR])
def test_a_file_is_read_only_as_far_as_it_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str,
                                                    guard: Guard) -> None:
    write_image(source := tmp_path / f"in{suffix}", waves(700, 90, KINDS[2], poisoned=True))
    monkeypatch.setattr(large_results, "LARGE_RESULT_BYTES", 0)
    monkeypatch.setattr(jobs, "open_image", None)
    asked: list[tuple[int, int]] = []
    rows: type[PngRows] | type[TiffRows] = PngRows if suffix == ".png" else TiffRows
    plain_read = rows.read

    def read(self: Any, start: int, stop: int) -> Any:
        asked.append((start, stop))
        return plain_read(self, start, stop)

    monkeypatch.setattr(rows, "read", read)
    setup = Setup(DivergingBackend(HALF), tiles=TileOptions(tile=48), guard=guard)
    outcome, = run_jobs([Job(source=source, target=tmp_path / "out.png")], setup)
    assert outcome.error is None
    bands = [band for band in asked if band != (0, 1)]  # the first row of a PNG shows its channels
    assert len(bands) > 5
    assert bands[0][0] == 0
    assert all(stop == start for (_, stop), (start, _) in pairwise(bands))
    assert bands[-1][1] == 700


@dataclass
class MeanwhileBackend(NearestBackend):
    """Something happens to a file before the third window."""

    happens: Callable[[], object] = field(default=lambda: None)

    def run(self, batch: NDArray[Any], geometry: Geometry | None = None) -> NDArray[Any]:
        if len(self.shapes) == 3:
            self.happens()
        return super().run(batch)


@pytest.mark.parametrize(("happens", "says"), [
    (Path.unlink, "removed or renamed"), (lambda path: path.write_bytes(b"new"), "shrank"),
    (lambda path: path.write_bytes(path.read_bytes() * 2), "grew")], ids=["vanishes", "shrinks", "grows"])
def test_a_source_that_changes_during_the_work_is_an_error_and_the_next_image_is_made(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, happens: Callable[[Path], object], says: str) -> None:
    monkeypatch.setattr(large_results, "LARGE_RESULT_BYTES", 0)
    write_image(source := tmp_path / "in.tif", waves(400, 90, KINDS[2]))
    write_image(other := tmp_path / "other.png", waves(50, 40, KINDS[2]))
    backend = MeanwhileBackend(happens=lambda: happens(source))
    first, second = run_jobs([Job(source=path, target=tmp_path / "out" / path.name) for path in (source, other)],
                             Setup(backend, tiles=TileOptions(tile=48), guard=Guard.OFF))
    assert isinstance(first.error, UnreadableImage)
    assert says in first.error.message
    assert second.error is None
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["other.png"]


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_a_disk_that_fills_up_in_a_band_leaves_no_half_file_and_ends_the_run(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    monkeypatch.setattr(large_results, "LARGE_RESULT_BYTES", 0)
    encoder = {".png": PngEncoder, ".tif": TiffEncoder}[suffix]

    def add(self: Any, file: Any, packed: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(encoder, "add", add)
    sources = [tmp_path / f"{number}.png" for number in range(6)]
    for source in sources:
        write_image(source, waves(400, 90, KINDS[2]))
    backend = NearestBackend()
    outcomes = list(run_jobs([Job(source=source, target=tmp_path / "out" / f"{source.stem}{suffix}")
                              for source in sources], Setup(backend, tiles=TileOptions(tile=48))))
    assert len(outcomes) < 6
    for outcome in outcomes:
        assert isinstance(outcome.error, UnwritableImage)
        assert "No space left on device" in outcome.error.message
        assert "free space" in outcome.error.remedy
    assert list((tmp_path / "out").iterdir()) == []


def test_less_memory_than_one_band_takes_is_an_error_with_a_remedy(tmp_path: Path,
                                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_results, "LARGE_RESULT_BYTES", 0)
    write_image(source := tmp_path / "in.png", waves(400, 90, KINDS[2]))

    def place(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(guarded_rows._Bands, "place", place)
    outcome, = run_jobs([Job(source=source, target=tmp_path / "out.png")], Setup(NearestBackend()))
    assert isinstance(outcome.error, OutOfMemory)
    assert "a smaller --tile" in outcome.error.remedy
    assert not (tmp_path / "out.png").exists()


def test_progress_counts_the_tiles_of_colour_and_alpha_together(tmp_path: Path,
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_results, "LARGE_RESULT_BYTES", 0)
    write_image(source := tmp_path / "in.png", waves(100, 90, KINDS[3]))
    seen: list[tuple[int, int]] = []
    setup = Setup(NearestBackend(), tiles=TileOptions(tile=50, halo=0), on_tile=lambda *now: seen.append(now))
    list(run_jobs([Job(source=source, target=tmp_path / "out.png")], setup))
    assert seen == [(done, 8) for done in range(1, 9)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_more_effort_makes_a_smaller_png_of_the_same_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                            kind: Kind) -> None:
    monkeypatch.setattr(large_results, "LARGE_RESULT_BYTES", 0)
    write_image(source := tmp_path / "in.tif", waves(300, 200, kind))
    sizes = []
    for effort in Effort:
        outcome, = run_jobs([Job(source=source, target=tmp_path / f"{effort}.png")],
                            Setup(NearestBackend(PRECISE)), FileOptions(effort=effort))
        assert outcome.error is None
        assert_same(tmp_path / "fast.png", tmp_path / f"{effort}.png")
        sizes.append((tmp_path / f"{effort}.png").stat().st_size)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[-1]


@pytest.mark.parametrize("pixel_bytes", [1, 3, 8])
def test_the_filters_of_png_are_those_of_the_specification(pixel_bytes: int) -> None:
    random = np.random.default_rng(pixel_bytes)
    above, rows = random.integers(0, 256, (1, 48), np.uint8), random.integers(0, 256, (9, 48), np.uint8)
    for kind in range(5):
        stored = png_filters.filtered(rows, above, pixel_bytes, kind)
        before = [0] * 48
        for number, row in enumerate(np.concatenate([above, rows]).tolist()):
            expected = []
            for at, value in enumerate(row):
                left, corner = (row[at - pixel_bytes], before[at - pixel_bytes]) if at >= pixel_bytes else (0, 0)
                paeth = min((left, before[at], corner), key=lambda near: abs(left + before[at] - corner - near))
                expected.append((value - (0, left, before[at], (left + before[at]) // 2, paeth)[kind]) % 256)
            if number:
                assert stored[number - 1].tolist() == [kind, *expected]
            before = row


def test_a_small_result_is_written_whole(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_image(source := tmp_path / "in.png", waves(70, 50, KINDS[2]))
    with caplog.at_level("INFO"):
        list(run_jobs([Job(source=source, target=tmp_path / "out.png")], Setup(NearestBackend())))
    assert "bands" not in caplog.text


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".bmp", ".avif"])
def test_a_result_that_is_encoded_whole_is_refused_before_the_work_where_memory_does_not_suffice(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    write_image(source := tmp_path / "in.png", waves(70, 50, KINDS[2]))
    monkeypatch.setattr(large_results, "LARGE_RESULT_BYTES", 0)
    monkeypatch.setattr(large_results, "available_bytes", lambda: 2 * 70 * 50 * 4 * 3)
    backend = NearestBackend()
    outcome, = run_jobs([Job(source=source, target=tmp_path / f"out{suffix}")], Setup(backend))
    assert isinstance(outcome.error, OutOfMemory)
    assert "Write a .png or .tif, which" in outcome.error.remedy
    assert backend.shapes == []
