"""What bands take is known before the work: the estimate holds, and too little memory is an error with a remedy."""

from __future__ import annotations

import re
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from srn_deploy.errors import OutOfMemory
from srn_deploy.image import reduction, write_image
from srn_deploy.image.output_size import OutputSize
from srn_deploy.inference import large_results, memory_needs
from srn_deploy.inference.file_options import FileOptions
from srn_deploy.inference.guard import Guard
from srn_deploy.inference.jobs import Outcome, run_jobs
from srn_deploy.inference.memory_budget import MemoryBudget
from srn_deploy.inference.memory_needs import bytes_by_bands
from srn_deploy.inference.plan import Job, plan_jobs
from srn_deploy.inference.result_options import ResultOptions
from srn_deploy.inference.setup import Setup
from srn_deploy.tiling.windows import TileOptions
from tests.banded import waves
from tests.fakes import NEAREST, NearestBackend
from tests.picture_table import KINDS, Kind
from tests.test_guarded_upscaling import POISON, DivergingBackend

MIB = 2**20


@pytest.fixture(autouse=True)
def _all_by_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_results, "LARGE_RESULT_BYTES", 0)


@pytest.mark.parametrize(("kind", "guard", "scale"), [
    (KINDS[2], Guard.OFF, None), (KINDS[3], Guard.OFF, None), (KINDS[0], Guard.WARN, None),
    (KINDS[3], Guard.REPAIR, None), (KINDS[2], Guard.WARN, 1.5), (KINDS[3], Guard.OFF, 1.5),
    (KINDS[2], Guard.WARN, 0.7)])
def test_an_image_takes_no_more_than_is_foreseen_and_not_much_less(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Kind, guard: Guard, scale: float | None) -> None:
    for module in (reduction, memory_needs):
        monkeypatch.setattr(module, "PART_PIXELS", 2**19)
    image = waves(200, 3000, kind)
    image.pixels[100:124, 500:524] = POISON
    write_image(source := tmp_path / "in.tif", image)
    setup = Setup(DivergingBackend(), tiles=TileOptions(tile=64), guard=guard, threads=1)
    job = Job(source=source, target=tmp_path / "out.png", wanted=ResultOptions(size=OutputSize(scale=scale)))
    tracemalloc.start()
    outcome, = run_jobs([job], setup)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert outcome.error is None
    foreseen = bytes_by_bands(job, image, setup)
    assert peak <= foreseen <= 3 * peak


def out_of_memory(source: Path, *, tile: int | None, free_bytes: int, monkeypatch: pytest.MonkeyPatch,
                  options: FileOptions | None = None) -> tuple[Outcome, NearestBackend]:
    """One image where this much is free; it must fail before the network runs."""
    for module in (large_results, memory_needs):
        monkeypatch.setattr(module, "available_bytes", lambda: free_bytes)
    backend = NearestBackend()
    outcome, = run_jobs([Job(source=source, target=source.with_name("out.png"))],
                        Setup(backend, tiles=TileOptions(tile=tile), threads=1), options)
    assert backend.shapes == []
    assert not source.with_name("out.png").exists()
    return outcome, backend


@pytest.mark.parametrize("suffix", [".tif", ".jpg"])
def test_less_free_memory_than_the_bands_take_is_an_error_before_the_work_with_a_tile_that_fits(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str) -> None:
    write_image(source := tmp_path / f"in{suffix}", waves(1200, 3000, KINDS[2]))
    outcome, _ = out_of_memory(source, tile=None, free_bytes=110 * MIB, monkeypatch=monkeypatch)
    assert isinstance(outcome.error, OutOfMemory)
    found = re.search(r"takes about (\d+) MiB of memory, more than the 110 MiB that are free", outcome.error.message)
    assert found is not None
    assert int(found[1]) > 110
    advised = re.match(r"Give --tile (\d+), with which it takes about (\d+) MiB; or", outcome.error.remedy)
    assert advised is not None
    assert int(advised[2]) <= 110
    again, = run_jobs([Job(source=source, target=tmp_path / "out.png")],
                      Setup(NearestBackend(), tiles=TileOptions(tile=int(advised[1])), threads=1))
    assert again.error is None


def test_where_no_tile_is_small_enough_the_advice_is_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image(source := tmp_path / "in.tif", waves(400, 390, KINDS[2]))
    outcome, _ = out_of_memory(source, tile=64, free_bytes=MIB, monkeypatch=monkeypatch)
    assert isinstance(outcome.error, OutOfMemory)
    assert "allow more with --memory" in outcome.error.remedy


def test_an_image_that_would_fit_whole_is_not_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (large_results, memory_needs):
        monkeypatch.setattr(module, "available_bytes", lambda: 6 * MIB)
    write_image(source := tmp_path / "in.tif", waves(400, 390, KINDS[2]))
    setup, job = Setup(NearestBackend(), threads=1), Job(source=source, target=tmp_path / "out.png")
    assert bytes_by_bands(job, waves(400, 390, KINDS[2]), setup) > 6 * MIB > 3 * 800 * 780 * 3
    outcome, = run_jobs([job], setup)
    assert outcome.error is None


def test_an_allowance_below_what_the_bands_take_is_an_error_although_more_is_free(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image(source := tmp_path / "in.tif", waves(1200, 3000, KINDS[2]))
    outcome, _ = out_of_memory(source, tile=None, free_bytes=2**40, monkeypatch=monkeypatch,
                               options=FileOptions(memory="110M"))
    assert isinstance(outcome.error, OutOfMemory)
    assert "more than the 110 MiB that images may take" in outcome.error.message


def test_where_free_memory_is_not_known_nothing_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (large_results, memory_needs):
        monkeypatch.setattr(module, "available_bytes", lambda: None)
    write_image(source := tmp_path / "in.tif", waves(100, 90, KINDS[2]))
    outcome, = run_jobs([Job(source=source, target=tmp_path / "out.png")], Setup(NearestBackend()))
    assert outcome.error is None


def test_a_result_that_is_reduced_and_encoded_whole_needs_memory_for_itself_alone(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image(source := tmp_path / "in.tif", waves(900, 900, KINDS[2]))
    size = ResultOptions(size=OutputSize(width=950))
    setup = Setup(NearestBackend(replace(NEAREST, scale=8)), tiles=TileOptions(tile=32), threads=1)
    for module in (reduction, memory_needs):
        monkeypatch.setattr(module, "PART_PIXELS", 2**19)
    for module in (large_results, memory_needs):
        monkeypatch.setattr(module, "available_bytes", lambda: 140 * MIB)  # before it is reduced it has 148 MiB
    outcome, = run_jobs([Job(source=source, target=tmp_path / "out.webp", wanted=size)], setup, FileOptions(quality=50))
    assert outcome.error is None


def test_huge_and_small_images_of_a_folder_share_one_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_results, "LARGE_RESULT_BYTES", 4 * MIB)
    for number in range(8):
        write_image(tmp_path / f"in/{number}.png", waves(700 if number % 3 == 0 else 60, 600, KINDS[2]))
    most, held, seen = 120 * MIB, dict[int, int](), list[int]()
    plain_hold = MemoryBudget.hold

    def hold(self: MemoryBudget, number: int, needed_bytes: int) -> None:
        plain_hold(self, number, needed_bytes)
        seen.append(self._used_bytes if len(self._held) > 1 else 0)
        held[number] = max(held.get(number, 0), needed_bytes)

    monkeypatch.setattr(MemoryBudget, "hold", hold)
    outcomes = list(run_jobs(plan_jobs(tmp_path / "in", tmp_path / "out"),
                             Setup(NearestBackend(), tiles=TileOptions(tile=48), threads=1),
                             FileOptions(jobs=4, memory=most)))
    assert [outcome.error for outcome in outcomes] == [None] * 8
    assert min(held[number] for number in (0, 3, 6)) > 10 * max(held[number] for number in (1, 2, 4, 5, 7))
    assert 0 < max(seen) <= most
