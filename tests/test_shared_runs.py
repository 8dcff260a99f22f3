"""Several runs into one output: each file is done once, by one of them, whatever happens to the others."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from srn_deploy import Upscaler
from srn_deploy.api import load
from srn_deploy.errors import LedgerError, OtherRun
from srn_deploy.image import Image, write_image
from srn_deploy.inference.jobs import Outcome
from srn_deploy.inference.ledger import Ledger, Standing
from srn_deploy.inference.plan import Job, plan_jobs
from srn_deploy.inference.run_presence import LeaseTimes
from srn_deploy.system.atomic import TEMPORARY_MARK
from srn_deploy.tiling.windows import ImageBatching
from srn_deploy.video.options import VideoOptions
from tests.clips import Clip, make_clip
from tests.commands import srn_deploy
from tests.fakes import NearestBackend
from tests.test_kill import COMMAND, SLOW, Moment, draw
from tests.test_ledger import run_of_other_machine
from tests.test_shards import tree


def start(source: Path, target: Path, command: tuple[str, ...] = COMMAND) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, *command, "upscale", source, target, "--share", "--device", "cpu"],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shared") / "in"
    draw(folder)
    return folder


@pytest.fixture(scope="module")
def alone(source: Path) -> dict[str, bytes]:
    """The tree of a run that shares with nobody."""
    ended = srn_deploy("upscale", source, source.parent / "alone", "--device", "cpu")
    assert ended.returncode == 0, ended.stderr
    return tree(source.parent / "alone")


def test_runs_at_the_same_time_do_each_file_once(source: Path, alone: dict[str, bytes], tmp_path: Path) -> None:
    runs = [start(source, tmp_path / "out", SLOW) for _ in range(2)]
    written = []
    for run in runs:
        with run:
            result, said = run.communicate(timeout=120)
        assert run.returncode == 0, said
        written += result.splitlines()
    assert sorted(written) == sorted(str(tmp_path / "out" / name) for name in alone)
    assert tree(tmp_path / "out") == alone


def test_what_a_killed_run_leaves_is_done_by_one_that_is_alive(
        source: Path, alone: dict[str, bytes], tmp_path: Path) -> None:
    moment = Moment(files=3, in_writing=True, delay_s=0.0)
    (tmp_path / "out").mkdir()
    with start(source, tmp_path / "out", SLOW) as killed:
        while not moment.has_come(tmp_path / "out", 0) and killed.poll() is None:
            pass
        killed.kill()
        killed.communicate()
    before = tree(tmp_path / "out")
    with start(source, tmp_path / "out") as other:
        result, said = other.communicate(timeout=120)
    assert other.returncode == 0, said
    assert tree(tmp_path / "out") == alone
    repeated = set(result.splitlines()) & {str(tmp_path / "out" / name) for name in before}
    assert len(repeated) <= 2 * max(4, os.cpu_count() or 1)  # those that were stored and not yet noted


def upscaler(at_once: int = 1) -> Upscaler:
    return Upscaler(NearestBackend(), batching=ImageBatching(images=at_once))


def pictures(folder: Path, count: int) -> None:
    for number in range(count):
        write_image(folder / f"{number:02}.png", Image(pixels=np.full((9, 8, 3), number, np.uint8)))


def outcomes(opened: Upscaler, jobs: list[Job], ledger: Ledger) -> dict[str, Outcome]:
    return {outcome.job.target.name: outcome for outcome in opened.upscale_jobs(jobs, ledger=ledger)}


@pytest.mark.parametrize("at_once", [1, 3])
def test_a_program_shares_as_the_command_does(tmp_path: Path, at_once: int) -> None:
    pictures(tmp_path / "in", 6)
    jobs = plan_jobs(tmp_path / "in", tmp_path / "out")
    with upscaler(at_once) as opened, opened.ledger(jobs, tmp_path / "out") as ledger:
        first = outcomes(opened, jobs[:4], ledger)
    assert all(each.error is None and each.elsewhere is None for each in first.values())
    with upscaler(at_once) as opened, opened.ledger(jobs, tmp_path / "out") as ledger:
        second = outcomes(opened, jobs, ledger)
    assert [name for name, each in second.items() if each.elsewhere is None] == ["04.png", "05.png"]
    with upscaler() as opened, pytest.raises(OtherRun, match="quality"), \
            opened.ledger(jobs, tmp_path / "out", quality=80):
        pass


def test_a_run_waits_at_its_end_until_it_is_known_that_another_is_dead(tmp_path: Path) -> None:
    pictures(tmp_path / "in", 4)
    jobs, out = plan_jobs(tmp_path / "in", tmp_path / "out"), tmp_path / "out"
    times = LeaseTimes(renew_s=0.1, expire_s=0.8)
    with Ledger(out, None, member_of="elsewhere") as dead, Ledger(out, None, times=times) as ledger:
        run_of_other_machine(ledger)
        dead.claim(jobs[1])
        found = outcomes(upscaler(), jobs, ledger)
    assert list(found) == ["00.png", "02.png", "03.png", "01.png"]
    assert all(each.error is None and each.elsewhere is None for each in found.values())


def test_a_file_of_a_live_run_is_left_to_it_and_said(tmp_path: Path) -> None:
    pictures(tmp_path / "in", 3)
    jobs, out = plan_jobs(tmp_path / "in", tmp_path / "out"), tmp_path / "out"
    quick = LeaseTimes(renew_s=0.05, expire_s=60)
    with Ledger(out, None, times=quick) as live, Ledger(out, None) as ledger:
        live.claim(jobs[1])
        found = outcomes(upscaler(), jobs, ledger)
    assert found["01.png"].elsewhere is not None
    assert found["01.png"].elsewhere.standing is Standing.ELSEWHERE
    assert not jobs[1].target.exists()


def test_a_picture_that_fails_is_tried_once_while_its_run_is_alive(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/bad.png").write_bytes(b"nothing")
    jobs, out = plan_jobs(tmp_path / "in", tmp_path / "out"), tmp_path / "out"
    with Ledger(out, None, times=LeaseTimes(renew_s=0.05)) as first:
        assert outcomes(upscaler(), jobs, first)["bad.png"].error is not None
        with Ledger(out, None) as second:
            assert outcomes(upscaler(), jobs, second)["bad.png"].elsewhere is not None
    with Ledger(out, None) as later:
        assert outcomes(upscaler(), jobs, later)["bad.png"].error is not None


def test_what_another_run_is_writing_is_no_leftover(tmp_path: Path) -> None:
    pictures(tmp_path / "in", 1)
    jobs, out = plan_jobs(tmp_path / "in", tmp_path / "out"), tmp_path / "out"
    half = out / f"{TEMPORARY_MARK}1234"  # without its lock: as where a disk passes no locks on
    with Ledger(out, None) as ledger:
        with Ledger(out, None):
            half.touch()
            outcomes(upscaler(), jobs, ledger)
            assert half.exists()
        outcomes(upscaler(), jobs, ledger)
        assert not half.exists()


def test_videos_are_shared_like_pictures(tmp_path: Path) -> None:
    pictures(tmp_path / "in", 1)
    make_clip(tmp_path / "in/a.mkv", Clip(times=range(0, 200, 50)))
    jobs, video = plan_jobs(tmp_path / "in", tmp_path / "out"), VideoOptions(codec="ffv1")
    with load(device="cpu") as opened, opened.ledger(jobs, tmp_path / "out", video=video) as ledger:
        first = list(opened.upscale_jobs(jobs, ledger=ledger, video=video))
        again = list(opened.upscale_jobs(jobs, ledger=ledger, video=video))
    assert [(each.error, each.elsewhere) for each in first] == [(None, None)] * 2
    assert [each.elsewhere.standing for each in again if each.elsewhere] == [Standing.FINISHED] * 2


def test_the_command_says_what_is_finished_and_what_belongs_to_others(tmp_path: Path) -> None:
    pictures(tmp_path / "in", 3)
    command = ("upscale", tmp_path / "in", tmp_path / "out", "--share", "--device", "cpu")
    jobs = plan_jobs(tmp_path / "in", tmp_path / "out")
    with Ledger(tmp_path / "out", None, times=LeaseTimes(renew_s=0.05)) as live:
        live.claim(jobs[1])
        ended = srn_deploy(*command)
        assert "2 written, 0 failed, 0 skipped" in ended.stderr
        assert "1 left to other runs that are at work" in ended.stderr
        as_json = srn_deploy(*command, "--json")
    assert [each["elsewhere"] for each in json.loads(as_json.stdout)["files"]] == ["finished", "finished", "elsewhere"]
    other = srn_deploy(*command, "--quality", "80")
    assert (other.returncode, "quality None there and 80 here" in other.stderr) == (1, True)
    last = srn_deploy(*command)
    assert (last.returncode, "1 written, 0 failed, 2 skipped" in last.stderr) == (0, True), last.stderr


def test_the_command_of_the_kubernetes_job_in_the_document_shares(
        repository: Path, tmp_path: Path) -> None:
    text = (repository / "docs/cluster.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"^ +command: (\[.+\])$", text, flags=re.M)
    pictures(tmp_path / "photos", 3)
    program, *arguments = json.loads(command)
    assert program == "srn-deploy"
    for written in (3, 0):
        ended = srn_deploy(*arguments, "--device", "cpu", cwd=tmp_path)
        assert f"{written} written, 0 failed, {3 - written} skipped" in ended.stderr
    assert len(tree(tmp_path / "pods")) == 3


def test_a_full_disk_under_the_ledger_ends_the_run_and_keeps_what_is_finished(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures(tmp_path / "in", 9)
    jobs = plan_jobs(tmp_path / "in", tmp_path / "out")
    with Ledger(tmp_path / "out", None) as ledger:
        outcomes(upscaler(), jobs[:1], ledger)
        with monkeypatch.context() as patched:
            patched.setattr("srn_deploy.inference.ledger.os.open", no_space)
            found = list(upscaler().upscale_jobs(jobs, ledger=ledger, jobs=1))
        assert {type(each.error) for each in found} <= {type(None), LedgerError}
        assert any(each.error is not None for each in found)
        assert len(found) < len(jobs)
        assert jobs[0].target.exists()
        assert all(each.error is None for each in outcomes(upscaler(), jobs, ledger).values())


def no_space(*_: object) -> int:
    """What `os.open` does on a full disk."""
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("options", [("--share",), ("--shard", "1/1")])
def test_outdated_results_are_made_again_where_that_is_asked_for(tmp_path: Path, options: tuple[str, ...]) -> None:
    draw(tmp_path / "in")
    command: list[str | Path] = ["upscale", tmp_path / "in", tmp_path / "out", "--device", "cpu", *options]
    assert srn_deploy(*command).returncode == 0
    whole = tree(tmp_path / "out")
    cut, gone = sorted(whole)[:2]
    (tmp_path / "out" / cut).write_bytes(whole[cut][:-20])
    (tmp_path / "out" / gone).unlink()
    ended = srn_deploy(*command, "--skip-existing")
    assert "1 written, 0 failed" in ended.stderr
    assert tree(tmp_path / "out")[cut] != whole[cut]
    ended = srn_deploy(*command, "--update")
    assert ended.returncode == 0, ended.stderr
    assert "1 written, 0 failed" in ended.stderr
    assert tree(tmp_path / "out") == whole
