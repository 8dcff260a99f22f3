"""Runs on Ray without Ray: what a worker does, how files are handed out, which clusters are refused."""

from __future__ import annotations

import importlib.util
import os
import re
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from srn_deploy.cli import main
from srn_deploy.cluster import ClusterWork, RayOptions, connection, upscale_files
from srn_deploy.cluster.reports import Assignment, UnitReport, read_report
from srn_deploy.cluster.worker import PART, REPORT, SOURCE, TARGET, UNIT, UpscaleWorker
from srn_deploy.errors import ClusterUnreachable, MissingPackage, OptionError, SrnDeployError, WorkerFailed
from srn_deploy.image import Image, write_image
from srn_deploy.inference.file_options import FileOptions
from srn_deploy.inference.jobs import Outcome
from srn_deploy.inference.ledger import Ledger
from srn_deploy.inference.plan import Job, plan_jobs
from srn_deploy.inference.result_options import AS_UPSCALED
from srn_deploy.system.installed import own_version
from tests.clips import Clip, make_clip

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs Ray: pip install '.[ray]'")


def pictures(folder: Path, count: int) -> None:
    for number in range(count):
        write_image(folder / f"{number}.png", Image(pixels=np.full((20, 16, 3), number, np.uint8)))


def assigned(out: Path, run: str, **changes: Any) -> Assignment:
    told = Assignment(version=own_version(), run=run, out=out, is_single=False, wanted=AS_UPSCALED, pixels=100, cpus=1,
                      work=ClusterWork(device="cpu"), files=FileOptions())
    return replace(told, **changes)


def answers(worker: UpscaleWorker, jobs: list[Job], parts: Sequence[str] = ()) -> list[UnitReport]:
    """What a worker answers to one batch, in its order; parts: those of one file, of which `jobs` is as many times."""
    rows = {UNIT: np.arange(len(jobs)), SOURCE: [os.fsencode(job.source) for job in jobs],
            TARGET: [os.fsencode(job.target) for job in jobs], PART: list(parts or [""] * len(jobs))}
    told = worker(rows)
    assert told[UNIT] == sorted(told[UNIT])
    return [read_report(text) for text in told[REPORT]]


@contextmanager
def opened(told: Assignment) -> Iterator[UpscaleWorker]:
    worker = UpscaleWorker(told)
    try:
        yield worker
    finally:
        worker.close()


def test_a_worker_does_a_batch_and_tells_what_became_of_each_file(tmp_path: Path) -> None:
    pictures(tmp_path / "in", 3)
    (tmp_path / "in/bad.png").write_bytes(b"nothing")
    jobs, out = plan_jobs(tmp_path / "in", tmp_path / "out"), tmp_path / "out"
    with Ledger(out, None) as run, opened(assigned(out, run.run)) as worker:
        told = answers(worker, jobs)
        again = answers(worker, jobs)
    assert [each.error is None for each in told] == [True, True, True, False]
    assert told[3].error is not None
    assert told[3].error.name == "UnreadableImage"
    assert [each.standing for each in again] == [None] * 4  # finished by this very run
    assert all(job.target.exists() for job in jobs[:3])


def test_what_another_run_has_finished_is_told_as_such(tmp_path: Path) -> None:
    pictures(tmp_path / "in", 1)
    jobs, out = plan_jobs(tmp_path / "in", tmp_path / "out"), tmp_path / "out"
    for standing in (None, "FINISHED"):
        with Ledger(out, None) as run, opened(assigned(out, run.run)) as worker:
            (told,) = answers(worker, jobs)
        assert (told.standing and told.standing.name) == standing


def test_a_file_during_which_processes_ended_is_tried_alone_and_three_times_at_most(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures(tmp_path / "in", 4)
    jobs, out = plan_jobs(tmp_path / "in", tmp_path / "out"), tmp_path / "out"
    with Ledger(out, None) as run:
        for _ in range(3):  # processes that end
            Ledger(out, None, member_of=run.run).claim(jobs[1])
        Ledger(out, None, member_of=run.run).claim(jobs[2])
        with opened(assigned(out, run.run)) as worker:
            batches = list[list[Job]]()
            original = worker._upscaled

            def noted(some: list[Job]) -> Iterator[Outcome]:
                batches.append(some)
                return original(some)

            monkeypatch.setattr(worker, "_upscaled", noted)
            told = answers(worker, jobs)
    assert batches == [[jobs[0], jobs[3]], [jobs[2]]]
    assert [each.error and each.error.name for each in told] == [None, "WorkerFailed", None, None]
    assert not jobs[1].target.exists()


def test_a_file_that_fails_does_not_count_as_one_during_which_a_process_ended(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/bad.png").write_bytes(b"nothing")
    jobs, out = plan_jobs(tmp_path / "in", tmp_path / "out"), tmp_path / "out"
    with Ledger(out, None) as run:
        for _ in range(5):
            with opened(assigned(out, run.run)) as worker:
                (told,) = answers(worker, jobs)
            assert told.error is not None
            assert told.error.name == "UnreadableImage"


@pytest.mark.parametrize(("changes", "name", "said"), [
    ({"version": "0.0.1"}, "UnsuitableWorker", "started by version 0.0.1"),
    ({"work": ClusterWork(model="/nowhere/model.onnx")}, "UnknownModel", "/nowhere/model.onnx"),
    ({"work": ClusterWork(model="unheard-of")}, "UnknownModel", "unheard-of")],
    ids=["version", "path", "name"])
def test_a_worker_that_can_do_nothing_says_why_and_where_and_claims_nothing(
        tmp_path: Path, changes: dict[str, Any], name: str, said: str) -> None:
    pictures(tmp_path / "in", 2)
    jobs, out = plan_jobs(tmp_path / "in", tmp_path / "out"), tmp_path / "out"
    with Ledger(out, None) as run, opened(assigned(out, run.run, **changes)) as worker:
        (told,) = answers(worker, jobs)
        assert list((out / ".srn-ledger/claims").iterdir()) == []
    assert told.ends_run
    assert told.error is not None
    assert (told.error.name, told.error.message.startswith(f"On {os.uname().nodename}: ")) == (name, True)
    assert said in told.error.message
    assert type(told.error.as_error()).__name__ == name


def test_a_worker_with_other_options_than_the_ledger_is_refused(tmp_path: Path) -> None:
    pictures(tmp_path / "in", 1)
    jobs, out = plan_jobs(tmp_path / "in", tmp_path / "out"), tmp_path / "out"
    with Ledger(out, None) as run:
        with opened(assigned(out, run.run)) as first:
            answers(first, jobs)
        with opened(assigned(out, run.run, files=FileOptions(quality=80))) as second:
            (told,) = answers(second, jobs)
    assert told.error is not None
    assert told.error.name == "OtherRun"


def test_a_worker_has_the_threads_that_it_was_given_whatever_ray_sets(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    out = tmp_path / "out"
    with Ledger(out, None) as run, opened(assigned(out, run.run, cpus=3)) as worker:
        assert worker._upscaler.setup.threads == 3


@pytest.mark.parametrize(("given", "cpus", "taken"), [
    (None, 2, 1000), (None, 8, 4000), (None, 99, 4000), ("3K", 2, "3K")])
def test_the_workers_of_a_machine_divide_its_memory(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str | None, cpus: int, taken: int | str) -> None:
    monkeypatch.setattr("srn_deploy.cluster.worker.usable_cores", lambda: 8)
    monkeypatch.setattr("srn_deploy.inference.file_options.available_bytes", lambda: 8000)
    with Ledger(tmp_path, None) as run:
        told = assigned(tmp_path, run.run, version="0", files=FileOptions(memory=given), cpus=cpus)
        assert UpscaleWorker(told)._memory() == taken


def test_a_report_that_is_none_is_an_error_of_the_worker() -> None:
    with pytest.raises(WorkerFailed, match="not understood"):
        read_report("{")


def test_losses_with_names_that_are_not_text_reach_the_other_side() -> None:
    assert read_report(UnitReport(losses=("lost",)).to_json()) == UnitReport(losses=("lost",))


@pytest.mark.parametrize("address", ["ray://a:1", "a", "", "a:", "http://a:1", "a b:1"])
def test_an_address_that_cannot_be_one_is_refused(address: str) -> None:
    with pytest.raises(OptionError):
        RayOptions(address=address)


@pytest.mark.parametrize("changes", [{"workers": 0}, {"cpus": 0}, {"gpus": 2}, {"workers": "many"}, {"cpus": 1.5}])
def test_a_shape_of_workers_that_cannot_be_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        RayOptions(**changes)


def test_without_ray_the_install_line_is_said_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures(tmp_path / "in", 1)
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ray" else found(name))
    with pytest.raises(MissingPackage) as caught:
        upscale_files(tmp_path / "in", tmp_path / "out")
    assert "'.[ray]'" in caught.value.remedy
    assert not (tmp_path / "out").exists()


@contextmanager
def server(answer: bytes | None) -> Iterator[int]:
    """A server that is no Ray: answers its first caller with these bytes, or not at all. Yields its port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        def talk() -> None:
            caller = listening.accept()[0]
            with caller:
                if answer is not None:
                    caller.sendall(answer)
                else:
                    caller.recv(1000)
                    caller.recv(1000)  # until the other side has had enough

        thread = threading.Thread(target=talk)
        thread.start()
        yield listening.getsockname()[1]
        thread.join()


@needs_ray
@pytest.mark.parametrize(("answer", "said"), [
    (None, "no answer within"), (b"HTTP/1.1 400 Bad Request\r\n\r\n", "no Ray"), (b"", "refused or closed")],
    ids=["silent", "another", "closes"])
def test_a_cluster_that_does_not_answer_is_an_error_in_bounded_time(
        answer: bytes | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "ANSWER_LIMIT_S", 0.5)
    pictures(tmp_path / "in", 1)
    began = time.monotonic()
    with server(answer) as port, pytest.raises(ClusterUnreachable, match=said) as caught:
        list(upscale_files(tmp_path / "in", tmp_path / "out", RayOptions(address=f"127.0.0.1:{port}")))
    assert "ray status" in caught.value.remedy
    assert time.monotonic() - began < 60
    assert list((tmp_path / "out").glob("*.png")) == []


@needs_ray
@pytest.mark.parametrize(("named", "error", "said"), [
    ("ray://127.0.0.1:10001", OptionError, "RAY_ADDRESS: ray://127.0.0.1:10001 is an address for Ray Client"),
    ("nowhere", OptionError, "RAY_ADDRESS: 'nowhere' is no address"),
    ("127.0.0.1:1", ClusterUnreachable, "No Ray cluster answers at 127.0.0.1:1")])
def test_what_ray_address_names_is_checked_like_the_option(
        named: str, error: type[SrnDeployError], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", named)
    pictures(tmp_path / "in", 1)
    with pytest.raises(error, match=re.escape(said)):
        list(upscale_files(tmp_path / "in", tmp_path / "out", RayOptions(address="auto")))


@needs_ray
def test_a_cluster_of_this_machine_that_ended_without_saying_so_is_an_error_in_bounded_time(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray._private.utils

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray._private.utils, "read_ray_address", lambda: "127.0.0.1:1")
    pictures(tmp_path / "in", 1)
    with pytest.raises(ClusterUnreachable, match=r"No Ray cluster answers at 127\.0\.0\.1:1"):
        list(upscale_files(tmp_path / "in", tmp_path / "out", RayOptions(address="auto")))


@needs_ray
@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere.invalid:6379"])
def test_the_command_says_that_no_cluster_answers(address: str, tmp_path: Path) -> None:
    pictures(tmp_path / "in", 1)
    ended = CliRunner().invoke(main, ["upscale", str(tmp_path / "in"), str(tmp_path / "out"), "--ray", address])
    assert ended.exit_code == 1
    assert f"No Ray cluster answers at {address}" in ended.stderr


def test_workers_without_a_cluster_are_wrong_usage() -> None:
    ended = CliRunner().invoke(main, ["upscale", "in.png", "out.png", "--workers", "3"])
    assert ended.exit_code == 2
    assert "--ray" in ended.stderr


def test_a_worker_does_videos_as_a_single_machine_does(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    make_clip(tmp_path / "in/a.mkv", Clip(times=range(0, 200, 50)))
    jobs, out = plan_jobs(tmp_path / "in", tmp_path / "out"), tmp_path / "out"
    with Ledger(out, None) as run, opened(assigned(out, run.run)) as worker:
        (told,) = answers(worker, jobs)
    assert told.error is None
    assert jobs[0].target.exists()
