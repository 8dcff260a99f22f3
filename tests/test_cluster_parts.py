"""How a run on Ray hands out files and their parts, what a worker makes of parts, and what a run refuses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from srn_deploy.cli import main
from srn_deploy.cluster import ClusterWork, upscale_files, upscale_jobs
from srn_deploy.cluster import run as run_module
from srn_deploy.cluster.connection import WorkerShape
from srn_deploy.cluster.openings import MOST_OPENINGS, forget_openings, noted_opening, openings_folder
from srn_deploy.cluster.parts import part_path
from srn_deploy.cluster.reports import Assignment
from srn_deploy.cluster.units import (
    BATCHES_OF_WORKER,
    BYTES_OF_BATCH,
    FEWEST_IN_BATCH,
    MOST_IN_BATCH,
    WorkUnit,
    batches_of,
    divided,
)
from srn_deploy.errors import MissingPackage, OptionError, WorkerFailed
from srn_deploy.image import Image, write_image
from srn_deploy.inference import band_parts, large_results
from srn_deploy.inference.jobs import Outcome
from srn_deploy.inference.ledger import Ledger
from srn_deploy.inference.plan import Job, plan_jobs
from srn_deploy.inference.result_options import ResultOptions
from srn_deploy.system import installed
from srn_deploy.system.installed import own_version
from srn_deploy.video.options import VideoOptions
from srn_deploy.video.work_folder import held_for_workers
from tests.clips import Clip, make_clip
from tests.test_cluster import answers, assigned, opened, pictures


def test_videos_are_handed_out_one_by_one_and_images_in_batches_that_all_workers_share(tmp_path: Path) -> None:
    jobs = [Job(source=Path(f"{number}.{'mkv' if number % 10 == 0 else 'png'}"), target=Path("x"))
            for number in range(1000)]
    for workers in (1, 7, 5000):
        batches = list(batches_of(jobs, workers, {}))
        assert sorted(unit.job for batch in batches for unit in batch) == list(range(1000))
        assert all(len(batch) == 1 for batch in batches if batch[0].job % 10 == 0)
        assert max(map(len, batches)) == {1: MOST_IN_BATCH, 7: 33, 5000: 1}[workers]


def test_batches_of_large_images_are_small(tmp_path: Path) -> None:
    jobs = []
    for number in range(40):
        path = tmp_path / f"{number}.png"
        with path.open("wb") as file:
            file.truncate(BYTES_OF_BATCH // 4 if number >= 20 else 1000)
        jobs.append(Job(source=path, target=tmp_path / "x"))
    sizes = [len(batch) for batch in batches_of(jobs, 1, {})]
    assert sizes == [23, FEWEST_IN_BATCH, FEWEST_IN_BATCH, 1]


def test_parts_of_a_file_are_handed_out_first_neighbouring_segments_together_and_bands_alone() -> None:
    jobs = [Job(source=Path(name), target=Path("x")) for name in ("a.png", "b.mkv", "c.png", "d.mkv")]
    segments, bands = [f"0-{number:06}" for number in range(20)], ["00001-of-00002", "00002-of-00002"]
    batches = list(batches_of(jobs, 2, {1: segments, 2: bands}))
    of_video = [batch for batch in batches if batch[0].job == 1]
    assert [unit.part for batch in of_video for unit in batch] == segments
    assert max(map(len, of_video)) == -(-20 // (2 * BATCHES_OF_WORKER))
    assert batches[len(of_video):] == [[WorkUnit(job=2, part=bands[0])], [WorkUnit(job=2, part=bands[1])],
                                       [WorkUnit(job=3)], [WorkUnit(job=0)]]


def test_what_is_larger_than_a_fair_share_is_divided_among_two_workers_or_more(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(band_parts, "BAND_PIXELS", 1000)
    pictures(tmp_path / "in", 12)
    noise = np.random.default_rng(0).integers(0, 255, (60, 90, 3), np.uint8)
    write_image(tmp_path / "in/a_large.png", Image(pixels=noise))
    make_clip(tmp_path / "in/b.mkv", Clip(times=range(0, 50 * 100, 50)))
    (tmp_path / "in/c_broken.mkv").write_bytes(noise.tobytes())
    (tmp_path / "in/d_broken.png").write_bytes(noise.tobytes())
    jobs = plan_jobs(tmp_path / "in", tmp_path / "out")
    places = {job.source.name: number for number, job in enumerate(jobs)}
    assert divided(jobs, 1, max_megapixels=1) == {}
    assert divided(jobs, 9, max_megapixels=1) == {
        places["a_large.png"]: [f"{number:05}-of-00005" for number in range(1, 6)],
        places["b.mkv"]: ["0-000000", "0-000001", "0-000002"]}
    many = [*jobs, *[jobs[places["a_large.png"]]] * 100]  # as large as each other
    assert places["a_large.png"] not in divided(many, 2, max_megapixels=1)


def test_a_worker_makes_bands_and_segments_and_tells_what_became_of_each(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_results, "LARGE_RESULT_BYTES", 0)
    pictures(tmp_path / "in", 1)
    make_clip(tmp_path / "in/a.mkv", Clip(times=range(0, 50 * 100, 50)))
    out = tmp_path / "out"
    picture, video = plan_jobs(tmp_path / "in", out)
    work = ClusterWork(device="cpu", video=VideoOptions(codec="ffv1"))
    with Ledger(out, None) as run, held_for_workers(video.target), opened(assigned(out, run.run, work=work)) as worker:
        bands, segments = ["00001-of-00002", "00002-of-00002"], ["0-000000", "0-000001"]
        for _ in range(2):
            told = answers(worker, [picture] * 2, bands) + answers(worker, [video] * 2, segments)
            assert [each.error for each in told] == [None] * 4
        paths = [part_path(job, name) for job, names in ((picture, bands), (video, segments)) for name in names]
        assert all(path.exists() for path in paths)
    claims = [path.suffix for path in (out / ".srn-ledger/claims").rglob("*") if path.is_file()]
    assert claims == [".1"] * 4  # the second time nothing was made


def test_a_part_during_which_processes_ended_is_tried_alone_and_three_times_at_most(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_results, "LARGE_RESULT_BYTES", 0)
    pictures(tmp_path / "in", 1)
    (job,), out = plan_jobs(tmp_path / "in", tmp_path / "out"), tmp_path / "out"
    names = [f"{number:05}-of-00004" for number in range(1, 5)]
    with Ledger(out, None) as run:
        for name, times in zip(names, (0, 3, 1, 0), strict=True):
            for _ in range(times):  # processes that end
                Ledger(out, None, member_of=run.run).claim(replace(job, target=part_path(job, name)))
        with opened(assigned(out, run.run)) as worker:
            told = answers(worker, [job] * 4, names)
    assert [each.error and each.error.name for each in told] == [None, "WorkerFailed", None, None]
    assert "its part 00002-of-00004 ended 3 times" in (told[1].error.message if told[1].error else "")


def test_a_part_that_fails_fails_for_all_that_come_after_it_and_is_tried_by_the_next_run(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.png").write_bytes(b"nothing")
    (job,), out = plan_jobs(tmp_path / "in", tmp_path / "out"), tmp_path / "out"
    for _ in range(2):
        with Ledger(out, None) as run, opened(assigned(out, run.run)) as worker:
            told = answers(worker, [job] * 2, ["00001-of-00002", "00002-of-00002"])
        assert [each.error and each.error.name for each in told] == ["UnreadableImage"] * 2


def test_jobs_that_do_not_want_the_same_are_refused(tmp_path: Path) -> None:
    pictures(tmp_path / "in", 2)
    one, other = plan_jobs(tmp_path / "in", tmp_path / "out")
    wanted = replace(other, wanted=ResultOptions(keep_times=True))
    with pytest.raises(OptionError, match="all want the same"):
        upscale_jobs([one, wanted], tmp_path / "out")


def test_a_ledger_is_refused(tmp_path: Path) -> None:
    pictures(tmp_path / "in", 1)
    with pytest.raises(OptionError, match="On a Ray cluster no ledger can be given"):
        upscale_files(tmp_path / "in", tmp_path / "out", ledger=Ledger(tmp_path / "out", None))
    assert not (tmp_path / "out").exists()


def test_to_share_and_ray_together_are_wrong_usage() -> None:
    ended = CliRunner().invoke(main, ["upscale", "in", "out", "--ray", "local", "--share"])
    assert ended.exit_code == 2
    assert "leave out --share" in ended.stderr


def test_pixels_are_counted_where_the_device_is_chosen_by_the_work_and_nowhere_else(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures(tmp_path / "in", 2)
    jobs, out = plan_jobs(tmp_path / "in", tmp_path / "out"), tmp_path / "out"
    asked = list[int]()

    def counted(jobs: object, places: object, shared: object, told: Assignment, shape: object) -> Iterator[Outcome]:
        asked.append(told.pixels)
        return iter(())

    for name, instead in (("connected", lambda ray: nullcontext()), ("need_ray_packages", lambda: None),
                          ("worker_shape", lambda ray, may_use_gpu: WorkerShape(workers=1, cpus=1, gpus=0)),
                          ("_outcomes", counted)):
        monkeypatch.setattr(run_module, name, instead)
    for device in ("cpu", "auto"):
        assert list(upscale_jobs(jobs, out, work=ClusterWork(device=device))) == []
    assert asked == [0, 2 * 20 * 16]


def test_a_worker_whose_process_ends_while_it_opens_the_model_is_not_started_without_end(tmp_path: Path) -> None:
    folder = openings_folder(tmp_path, "run")
    ended = []  # kept, as nothing ends them when a process ends
    for name in ("one", "other", "one", "one", "other"):
        ended.append(noted_opening(folder, name))
        ended[-1].__enter__()
        if name == "other":
            with noted_opening(folder, "one"):  # what ended before does not count any more
                pass
    ended.append(noted_opening(folder, "other"))
    ended[-1].__enter__()
    with pytest.raises(WorkerFailed, match=f"ended {MOST_OPENINGS} times while it opened the model") as caught, \
            noted_opening(folder, "other"):
        pass
    assert "without --ray" in caught.value.remedy
    with noted_opening(folder, "one"):
        pass
    forget_openings(folder)
    assert list(tmp_path.iterdir()) == []


def test_a_worker_says_that_processes_ended_while_the_model_was_opened(tmp_path: Path) -> None:
    pictures(tmp_path / "in", 1)
    jobs, out = plan_jobs(tmp_path / "in", tmp_path / "out"), tmp_path / "out"
    with Ledger(out, None) as run:
        folder = openings_folder(run.folder, run.run)
        folder.mkdir(parents=True)
        (folder / "alone").write_bytes(b"begun\n" * MOST_OPENINGS)
        with opened(assigned(out, run.run)) as worker:
            (told,) = answers(worker, jobs)
    assert told.ends_run
    assert told.error is not None
    assert told.error.name == "WorkerFailed"


def test_the_version_of_a_checkout_that_is_not_installed_is_not_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installed, "_version", lambda library: None)
    with pytest.raises(MissingPackage) as caught:
        own_version()
    assert caught.value.remedy == "In the checkout run: pip install ."
