"""Results of earlier runs are compared with their images by time, size and wholeness."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from srn_deploy.image import Image, write_image
from srn_deploy.inference.earlier_results import Fault, compare_with_sources
from srn_deploy.inference.plan import Job, plan_jobs
from tests.commands import srn_deploy

SCALE = 2


def drawn(path: Path, height: int, width: int) -> Path:
    write_image(path, Image(pixels=np.full((height, width, 3), 128, np.uint8)))
    return path


def modified(path: Path, seconds: int) -> None:
    os.utime(path, (seconds, seconds))


@pytest.fixture
def jobs(tmp_path: Path) -> list[Job]:
    """Four jobs; the first three have a result that is right and newer than its image, the last has none."""
    for name in "abcd":
        modified(drawn(tmp_path / f"in/{name}.png", 8, 9), 1000)
    for name in "abc":
        modified(drawn(tmp_path / f"out/{name}.png", 16, 18), 2000)
    return plan_jobs(tmp_path / "in", tmp_path / "out")


def faults(jobs: list[Job]) -> list[tuple[str, Fault]]:
    return [(each.job.target.name, each.fault) for each in compare_with_sources(jobs, SCALE).outdated]


def test_results_that_belong_to_their_images_are_not_outdated(jobs: list[Job]) -> None:
    found = compare_with_sources(jobs, SCALE)
    assert (found.missing, found.outdated) == ((jobs[3],), ())


@pytest.mark.parametrize(("change", "fault"), [
    (lambda job: modified(job.source, 3000), Fault.OLDER),
    (lambda job: drawn(job.target, 32, 36), Fault.OTHER_SIZE),
    (lambda job: drawn(job.target, 18, 16), Fault.OTHER_SIZE),
    (lambda job: job.target.write_bytes(job.target.read_bytes()[:-20]), Fault.NOT_WHOLE),
    (lambda job: job.target.write_text("no image"), Fault.NOT_WHOLE),
], ids=["a newer image", "another scale", "a turned result", "a truncated file", "a text"])
def test_what_no_longer_belongs_to_its_image_is_found(
        jobs: list[Job], change: Callable[[Job], object], fault: Fault) -> None:
    change(jobs[1])
    assert faults(jobs) == [("b.png", fault)]


def test_an_image_that_was_turned_by_its_exif_has_a_turned_result(jobs: list[Job]) -> None:
    turned = bytes.fromhex("4d4d002a00000008000101120003000000010006000000000000")
    jpeg = drawn(jobs[0].source.with_suffix(".jpg"), 8, 9)
    data = jpeg.read_bytes()
    segment = b"\xff\xe1" + (8 + len(turned)).to_bytes(2, "big") + b"Exif\0\0" + turned
    jpeg.write_bytes(data[:2] + segment + data[2:])
    modified(jpeg, 1000)
    target = drawn(jobs[0].target.with_suffix(".jpg"), 18, 16)
    assert faults([Job(source=jpeg, target=target)]) == []


def test_a_result_at_the_time_of_its_image_is_not_older(jobs: list[Job]) -> None:
    modified(jobs[0].source, 2000)
    assert faults(jobs) == []


def test_an_image_that_cannot_be_read_is_not_compared(jobs: list[Job]) -> None:
    jobs[0].source.write_text("no image")
    modified(jobs[0].source, 1000)
    assert faults(jobs) == []


def test_each_fault_is_one_sentence_with_the_count_and_the_first(jobs: list[Job]) -> None:
    for job in jobs[:2]:
        modified(job.source, 3000)
    drawn(jobs[2].target, 8, 9)
    first, third = jobs[0].target, jobs[2].target
    assert list(compare_with_sources(jobs, SCALE).sentences()) == [
        f"2 outputs are outdated, because their images are newer, {first} is the first",
        f"{third} is of another size than this run gives"]


def run(jobs: list[Job], *options: str) -> tuple[list[str], list[str]]:
    """The names of the files that were written, and the lines on stderr after the first."""
    ended = srn_deploy("upscale", jobs[0].source.parent, jobs[0].target.parent, "--model", "srn-s-b6-x2", "--device",
                       "cpu", *options)
    assert ended.returncode == 0, ended.stderr
    return [Path(line).name for line in ended.stdout.splitlines()], ended.stderr.splitlines()[1:]


def test_skip_existing_names_what_is_outdated_and_leaves_it(jobs: list[Job]) -> None:
    modified(jobs[0].source, 3000)
    before = jobs[0].target.read_bytes()
    written, told = run(jobs, "--skip-existing")
    assert written == ["d.png"]
    assert told[0] == f"Warning: {jobs[0].target} is outdated, because its image is newer. Replace with --update."
    assert jobs[0].target.read_bytes() == before
    assert run(jobs, "--skip-existing")[1][-1] == "Nothing to do: 4 of 4 outputs exist, 1 of them outdated."


def test_update_replaces_what_is_outdated_and_writes_what_is_missing(jobs: list[Job]) -> None:
    modified(jobs[0].source, 3000)
    drawn(jobs[1].target, 3, 3)
    kept = jobs[2].target.stat().st_mtime_ns
    assert run(jobs, "--update")[0] == ["a.png", "b.png", "d.png"]
    assert jobs[2].target.stat().st_mtime_ns == kept
    assert run(jobs, "--update") == ([], ["Nothing to do: 4 of 4 outputs exist."])
