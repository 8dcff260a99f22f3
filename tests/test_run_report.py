"""What a run says of where its time went: the bottleneck with figures and what helps, the same as JSON, and effort."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from srn_deploy.cli import run_report
from srn_deploy.cli.run_report import bottleneck_sentence, run_as_json
from srn_deploy.image import Image, read_image, write_image
from srn_deploy.inference import file_options
from srn_deploy.inference.file_options import FileOptions
from srn_deploy.inference.jobs import Outcome, run_jobs
from srn_deploy.inference.plan import Job
from srn_deploy.inference.setup import Setup
from srn_deploy.inference.stage_times import PipelineStage, StageTimes, Wait
from tests.clips import moving
from tests.fakes import NearestBackend


def waited(wait: Wait | None, share: float = 0.834, *, workers: int = 4) -> StageTimes:
    """Ten seconds of which the network waited so many for something, and ran for one, or ran all the time."""
    times = StageTimes(workers=workers, elapsed_s=10.0, images=7)
    times.spent_s[PipelineStage.NETWORK] = 1.0 if wait else 10 * share
    if wait:
        times.waited_s[wait] = 10 * share
    return times


def sentence(times: StageTimes, *suffixes: str, files: FileOptions | None = None) -> str:
    jobs = [Job(source=Path("a.png"), target=Path(f"{number}{suffix}")) for number, suffix in enumerate(suffixes)]
    return bottleneck_sentence(times, jobs, files or FileOptions())


@pytest.mark.parametrize(("suffixes", "files", "advice"), [
    ([".png"], FileOptions(), ": try --format jpeg, or --effort fast"),
    ([".webp"], FileOptions(), ": try --format jpeg, or --effort fast"),
    ([".webp"], FileOptions(quality=80), ": try --format jpeg"),
    ([".png", ".jpg"], FileOptions(), ": try --format jpeg, or --effort fast"),
    ([".png"], FileOptions(effort="fast"), ": try --format jpeg"),
    ([".tif"], FileOptions(), ": try --format jpeg"),
    ([".jpg"], FileOptions(), ""), ([".mkv", ".png"], FileOptions(), ": try --format jpeg, or --effort fast")])
def test_a_run_that_waits_for_encoders_says_how_long_and_what_helps(
        monkeypatch: pytest.MonkeyPatch, suffixes: list[str], files: FileOptions, advice: str) -> None:
    monkeypatch.setattr(run_report, "usable_cores", lambda: 4)
    assert sentence(waited(Wait.ENCODERS), *suffixes, files=files) == (
        f"The network waited 83 % of the time for encoders{advice}.")


@pytest.mark.parametrize("wait", [Wait.ENCODERS, Wait.DECODERS])
def test_fewer_workers_than_cores_are_the_first_advice(monkeypatch: pytest.MonkeyPatch, wait: Wait) -> None:
    monkeypatch.setattr(run_report, "usable_cores", lambda: 16)
    assert sentence(waited(wait), ".jpg") == f"The network waited 83 % of the time for {wait}: try --jobs 16."


@pytest.mark.parametrize(("times", "said"), [
    (waited(Wait.MEMORY), "The network waited 83 % of the time for memory: try more --memory."),
    (waited(Wait.DISK), "The network waited 83 % of the time for the disk."),
    (waited(None), "The network ran 83 % of the time."), (StageTimes(workers=1), "")])
def test_whatever_a_run_waits_for_is_named(times: StageTimes, said: str) -> None:
    assert sentence(times, ".png") == said


def test_the_json_has_the_bottleneck_and_all_stages() -> None:
    found = run_as_json([Outcome(job=Job(source=Path("a.png"), target=Path("b.png")))], waited(Wait.ENCODERS))
    assert found["bottleneck"] == {"waited_for": "encoders", "share": 0.834}
    assert (found["jobs"], found["elapsed_s"], found["stages_s"]["network"]) == (4, 10.0, 1.0)
    assert found["network_waited_s"] == {"decoders": 0.0, "encoders": 8.34, "disk": 0.0, "memory": 0.0}
    assert run_as_json([], waited(None))["bottleneck"] == {"waited_for": None, "share": 0.834}
    assert run_as_json([], StageTimes(workers=1))["bottleneck"] is None


@pytest.mark.parametrize(("threads", "wanted", "workers"), [(3, None, 3), (1, None, 1), (1, 5, 5), (16, 2, 2),
                                                            (16, None, 6)])
def test_as_many_images_are_coded_at_once_as_there_are_threads_or_are_asked_for(
        tmp_path: Path, threads: int, wanted: int | None, workers: int) -> None:
    """Of six images."""
    times: list[StageTimes] = []
    write_image(tmp_path / "in.png", Image(pixels=moving(0)))
    jobs = [Job(source=tmp_path / "in.png", target=tmp_path / f"{number}.png") for number in range(6)]
    list(run_jobs(jobs, Setup(NearestBackend(), threads=threads), FileOptions(jobs=wanted), times.append))
    assert [one.workers for one in times] == [workers]


def test_images_take_half_of_the_free_memory_unless_a_bound_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_options, "available_bytes", lambda: 1000)
    assert FileOptions().most_bytes() == 500
    assert FileOptions(memory="4G").most_bytes() == 4 * 2**30
    monkeypatch.setattr(file_options, "available_bytes", lambda: None)
    assert FileOptions().most_bytes() is None


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_more_effort_gives_smaller_files_of_the_same_pixels(tmp_path: Path, suffix: str) -> None:
    write_image(tmp_path / "in.png", Image(pixels=np.tile(moving(3), (4, 4, 1))))
    sizes = []
    for effort in ("fast", "normal", "small"):
        target = tmp_path / f"{effort}{suffix}"
        (outcome,) = run_jobs([Job(source=tmp_path / "in.png", target=target)], Setup(NearestBackend()),
                              FileOptions(effort=effort))
        assert outcome.error is None
        np.testing.assert_array_equal(read_image(target).pixels,
                                      read_image(tmp_path / "in.png").pixels.repeat(2, 0).repeat(2, 1))
        sizes.append(target.stat().st_size)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[2] < sizes[0]
