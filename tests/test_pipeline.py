"""Files in, files out: nothing overwritten, nothing half written, a bad image stops nothing."""

from __future__ import annotations

import os
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from srn_deploy.errors import OptionError, OutOfMemory, UnreadableImage, UnwritableImage
from srn_deploy.image import Image, read_image, write_image
from srn_deploy.inference.earlier_results import pending
from srn_deploy.inference.jobs import run_jobs, upscale_image
from srn_deploy.inference.plan import Job, plan_jobs
from srn_deploy.inference.setup import Setup
from srn_deploy.tiling.interpolation import Geometry
from tests.fakes import NearestBackend


def put(path: Path, seed: int = 0, channels: int = 3) -> Path:
    """A small image file."""
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 17, channels), dtype=np.uint8)
    write_image(path, Image(pixels=pixels))
    return path


def tree(folder: Path) -> list[str]:
    """Every file under a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_folder_keeps_its_tree(tmp_path: Path) -> None:
    for name in ("in/b.png", "in/sub/a.png", "in/sub/deep/c.webp"):
        put(tmp_path / name)
    (tmp_path / "in/notes.txt").write_text("no picture")
    outcomes = list(run_jobs(plan_jobs(tmp_path / "in", tmp_path / "out"), Setup(NearestBackend())))
    assert [outcome.error for outcome in outcomes] == [None] * 3
    assert tree(tmp_path / "out") == ["b.png", "sub/a.png", "sub/deep/c.webp"]


def test_a_bad_file_is_reported_and_the_rest_goes_on(tmp_path: Path) -> None:
    put(tmp_path / "in/a.png")
    (tmp_path / "in/b.png").write_bytes(b"\x89PNG\r\n\x1a\n but no more")
    put(tmp_path / "in/c.png")
    outcomes = list(run_jobs(plan_jobs(tmp_path / "in", tmp_path / "out"), Setup(NearestBackend())))
    assert {outcome.job.source.name for outcome in outcomes if outcome.error} == {"b.png"}
    assert tree(tmp_path / "out") == ["a.png", "c.png"]


def test_a_target_that_cannot_hold_the_image_is_found_before_the_work(tmp_path: Path) -> None:
    alpha = np.random.default_rng(0).integers(0, 256, (12, 17, 1), dtype=np.uint8)
    write_image(tmp_path / "a.png", Image(pixels=alpha.repeat(3, 2), alpha=alpha))
    backend = NearestBackend()
    (outcome,) = run_jobs(plan_jobs(tmp_path / "a.png", tmp_path / "a.jpg"), Setup(backend))
    assert "transparency" in str(outcome.error)
    assert backend.shapes == []


@pytest.mark.parametrize("target", ["in/a.png", "in", "in/../in/a.png", "link.png"])
def test_an_original_is_never_overwritten(tmp_path: Path, target: str) -> None:
    original = put(tmp_path / "in/a.png").read_bytes()
    (tmp_path / "link.png").symlink_to(tmp_path / "in/a.png")
    for source in (tmp_path / "in/a.png", tmp_path / "in"):
        with pytest.raises((UnwritableImage, OptionError)):
            plan_jobs(source, tmp_path / target)
    assert (tmp_path / "in/a.png").read_bytes() == original


def test_a_file_into_a_folder_keeps_its_name(tmp_path: Path) -> None:
    put(tmp_path / "a.png")
    (tmp_path / "out").mkdir()
    assert plan_jobs(tmp_path / "a.png", tmp_path / "out") == [
        Job(source=tmp_path / "a.png", target=tmp_path / "out/a.png")]


def test_outputs_inside_the_input_folder_are_not_inputs_of_the_next_run(tmp_path: Path) -> None:
    put(tmp_path / "in/a.png")
    for _ in range(2):
        jobs = plan_jobs(tmp_path / "in", tmp_path / "in/large")
        assert [job.source.name for job in jobs] == ["a.png"]
        assert not any(outcome.error for outcome in run_jobs(jobs, Setup(NearestBackend())))
    assert tree(tmp_path / "in") == ["a.png", "large/a.png"]


def test_what_is_there_already_is_left_out(tmp_path: Path) -> None:
    for name in "abc":
        put(tmp_path / f"in/{name}.png")
    jobs = plan_jobs(tmp_path / "in", tmp_path / "out")
    list(run_jobs(jobs[:2], Setup(NearestBackend())))
    assert [job.source.name for job in pending(jobs)] == ["c.png"]


@pytest.mark.parametrize(("make", "error"), [("nothing", UnreadableImage), ("empty folder", UnreadableImage)])
def test_no_input_is_an_error_before_any_work(tmp_path: Path, make: str, error: type[Exception]) -> None:
    if make == "empty folder":
        (tmp_path / "in").mkdir()
    with pytest.raises(error):
        plan_jobs(tmp_path / "in", tmp_path / "out")


def test_a_stopped_run_leaves_only_whole_files(tmp_path: Path) -> None:
    for index in range(40):
        put(tmp_path / f"in/{index:02}.png", seed=index)
    run = run_jobs(plan_jobs(tmp_path / "in", tmp_path / "out"), Setup(NearestBackend()))
    next(run)
    assert isinstance(run, Generator)
    run.close()  # what an interrupt does to a generator
    left = tree(tmp_path / "out")
    assert 1 <= len(left) < 40
    for name in left:
        whole = read_image(tmp_path / "in" / name).pixels.repeat(2, 0).repeat(2, 1)
        np.testing.assert_array_equal(read_image(tmp_path / "out" / name).pixels, whole)


def test_images_arrive_in_order_and_equal_to_one_by_one(tmp_path: Path) -> None:
    for index in range(7):
        put(tmp_path / f"in/{index}.png", seed=index, channels=1 if index % 2 else 3)
    for bad in (1, 4):
        (tmp_path / f"in/{bad}.png").write_bytes(b"no picture")
    outcomes = list(run_jobs(plan_jobs(tmp_path / "in", tmp_path / "out"), Setup(NearestBackend())))
    assert [outcome.job.source.stem for outcome in outcomes] == list("0123456")
    assert [outcome.job.source.stem for outcome in outcomes if outcome.error] == ["1", "4"]
    for outcome in outcomes:
        if outcome.error:
            continue
        expected = read_image(outcome.job.source).pixels.repeat(2, 0).repeat(2, 1)
        np.testing.assert_array_equal(read_image(outcome.job.target).pixels, expected)


class HungryBackend(NearestBackend):
    """Runs out of memory on images of 13 rows, as Python reports it."""

    def run(self, batch: NDArray[Any], geometry: Geometry | None = None) -> NDArray[Any]:
        if batch.shape[1] == 13:
            raise MemoryError
        return super().run(batch, geometry)


def test_an_image_that_memory_does_not_hold_stops_nothing(tmp_path: Path) -> None:
    for name in "ac":
        put(tmp_path / f"in/{name}.png")
    write_image(tmp_path / "in/b.png", Image(pixels=np.zeros((13, 17, 3), np.uint8)))
    outcomes = list(run_jobs(plan_jobs(tmp_path / "in", tmp_path / "out"), Setup(HungryBackend())))
    assert [type(outcome.error) for outcome in outcomes] == [type(None), OutOfMemory, type(None)]
    assert tree(tmp_path / "out") == ["a.png", "c.png"]


class BrokenBackend(NearestBackend):
    """Fails as only a bug would."""

    def run(self, batch: NDArray[Any], geometry: Geometry | None = None) -> NDArray[Any]:
        raise ZeroDivisionError


def test_a_bug_is_not_swallowed_and_leaves_no_thread(tmp_path: Path) -> None:
    put(tmp_path / "in/a.png")
    with pytest.raises(ZeroDivisionError):
        list(run_jobs(plan_jobs(tmp_path / "in", tmp_path / "out"), Setup(BrokenBackend())))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("codec")]


class TintedBackend(NearestBackend):
    """Treats the channels unequally, as trained networks do."""

    def run(self, batch: NDArray[Any], geometry: Geometry | None = None) -> NDArray[Any]:
        return super().run(batch) // np.array([1, 2, 4], np.uint8)


def test_grey_is_the_same_grey_with_and_without_alpha() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (12, 17, 1), dtype=np.uint8)
    without, _ = upscale_image(Image(pixels=grey), Setup(TintedBackend()))
    with_alpha, _ = upscale_image(Image(pixels=grey, alpha=np.full_like(grey, 200)), Setup(TintedBackend()))
    np.testing.assert_array_equal(with_alpha.pixels, without.pixels)


def test_a_name_that_is_too_long_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    put(tmp_path / "a.png")
    for source, target in ((tmp_path / ("x" * 300 + ".png"), tmp_path / "b.png"),
                           (tmp_path / "a.png", tmp_path / ("x" * 300 + ".png"))):
        with pytest.raises((OptionError, UnreadableImage)):
            plan_jobs(source, target)


def test_the_output_may_be_the_parent_of_the_input(tmp_path: Path) -> None:
    put(tmp_path / "in/sub/a.png")
    (job,) = plan_jobs(tmp_path / "in", tmp_path)
    assert job.target == tmp_path / "sub/a.png"


def test_what_is_not_a_regular_file_is_reported_and_the_rest_continues(tmp_path: Path) -> None:
    put(tmp_path / "in/a.png")
    (tmp_path / "in/loop.png").symlink_to(tmp_path / "in/loop.png")
    os.mkfifo(tmp_path / "in/pipe.png")
    outcomes = list(run_jobs(plan_jobs(tmp_path / "in", tmp_path / "out"), Setup(NearestBackend())))
    assert [outcome.job.source.name for outcome in outcomes if outcome.error] == ["loop.png", "pipe.png"]
    assert tree(tmp_path / "out") == ["a.png"]


def test_an_empty_file_is_no_result(tmp_path: Path) -> None:
    put(tmp_path / "in/a.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/a.png").touch()
    assert len(pending(plan_jobs(tmp_path / "in", tmp_path / "out"))) == 1
