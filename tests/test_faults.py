"""Disks that are full, paths that are not files, and names that nobody would choose."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import subprocess
import sys
from itertools import count
from pathlib import Path

import pytest

from srn_deploy.errors import UnreadableImage, UnwritableImage
from srn_deploy.inference.file_options import FileOptions
from srn_deploy.inference.jobs import run_jobs
from srn_deploy.inference.plan import plan_jobs
from srn_deploy.inference.setup import Setup
from srn_deploy.system.atomic import TEMPORARY_MARK
from tests.fakes import NearestBackend
from tests.test_pipeline import put, tree

COMMAND = (sys.executable, "-m", "srn_deploy")


def upscaled(source: Path, target: Path, **variables: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*COMMAND, "upscale", "--device", "cpu", "--", source, target], capture_output=True,
                          timeout=120, check=False, env={**os.environ, **variables})


@pytest.mark.parametrize(("number", "begun_most"), [(errno.ENOSPC, 20), (errno.EFBIG, 40)])
def test_a_full_disk_ends_a_run_early_and_a_single_file_that_is_too_large_does_not(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, begun_most: int) -> None:
    for index in range(40):
        put(tmp_path / f"in/{index:02}.png", seed=index)
    stored, tries = os.fsync, count()

    def full_after_two(file: int) -> None:
        if next(tries) >= 2:
            raise OSError(number, os.strerror(number))
        stored(file)

    monkeypatch.setattr(os, "fsync", full_after_two)
    outcomes = list(run_jobs(plan_jobs(tmp_path / "in", tmp_path / "out"), Setup(NearestBackend()),
                             FileOptions(jobs=2)))
    assert {type(outcome.error) for outcome in outcomes} == {type(None), UnwritableImage}
    written = [outcome.job.target.name for outcome in outcomes if outcome.error is None]
    assert tree(tmp_path / "out") == written
    assert len(outcomes) <= begun_most
    assert (len(outcomes) == 40) is (number == errno.EFBIG)


def test_a_disk_that_is_really_full_ends_in_an_error_and_leaves_whole_files_alone(tmp_path: Path) -> None:
    script = ('mount -t tmpfs -o size=40k tmpfs "$1" && cp "$2" "$1/old.png" && shift 2 && "$@"; code=$?; '
              'ls -A "$OUT"; exit $code')
    small = put(tmp_path / "small.png")
    for index in range(20):
        put(tmp_path / f"in/{index:02}.png", seed=index)
    (tmp_path / "out").mkdir()
    space = ["unshare", "--user", "--map-root-user", "--mount"]
    if not shutil.which("unshare") or subprocess.run([*space, "mount", "-t", "tmpfs", "tmpfs", tmp_path / "out"],
                                                     capture_output=True, check=False).returncode:
        pytest.skip("no small disk can be mounted without privileges here")
    done = subprocess.run([*space, "sh", "-c", script, "sh", tmp_path / "out", small, *COMMAND, "upscale", "--device",
                           "cpu", tmp_path / "in", tmp_path / "out"], capture_output=True, text=True, timeout=120,
                          check=False, env={**os.environ, "OUT": str(tmp_path / "out")})
    assert done.returncode == 1, done.stderr
    assert "No space left on device" in done.stderr
    assert "were not started" in done.stderr
    assert "Traceback" not in done.stderr
    lines = done.stdout.splitlines()
    written = {Path(line).name for line in lines if line.startswith("/")}
    assert {line for line in lines if not line.startswith("/")} == {"old.png", *written}


def test_what_is_no_file_is_an_error_each_and_the_rest_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "in/whole.png")
    os.mkfifo(tmp_path / "in/pipe.png")
    (tmp_path / "in/dangling.png").symlink_to("nowhere.png")
    (tmp_path / "in/loop.png").symlink_to("loop.png")
    (tmp_path / "in/round").symlink_to(tmp_path / "in")
    (tmp_path / "in/folder.png").mkdir()
    monkeypatch.chdir(tmp_path / "in")  # a socket's name must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket.png")
    outcomes = list(run_jobs(plan_jobs(tmp_path / "in", tmp_path / "out"), Setup(NearestBackend())))
    assert [outcome.job.source.name for outcome in outcomes if outcome.error] == [
        "dangling.png", "loop.png", "pipe.png", "socket.png"]
    assert tree(tmp_path / "out") == ["whole.png"]


def test_an_output_folder_that_vanishes_is_made_again(tmp_path: Path) -> None:
    for name in "abcdef":
        put(tmp_path / f"in/{name}.png")
    run = run_jobs(plan_jobs(tmp_path / "in", tmp_path / "out"), Setup(NearestBackend()))
    next(run)
    shutil.rmtree(tmp_path / "out", ignore_errors=True)  # a file that is being written may come between
    assert [outcome.error for outcome in run][-1] is None
    assert (tmp_path / "out/f.png").is_file()


def test_a_full_disk_behind_stdout_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    put(tmp_path / "in.png")
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([*COMMAND, "upscale", "--device", "cpu", tmp_path / "in.png", tmp_path / "out.png"],
                              stdout=full, stderr=subprocess.PIPE, timeout=120, check=False)
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr
    assert b"Free space where stdout goes" in done.stderr
    assert (tmp_path / "out.png").is_file()


def test_an_output_that_is_its_input_by_a_link_is_refused_and_a_hard_link_is_cut_off_from_it(tmp_path: Path) -> None:
    original = put(tmp_path / "in.png")
    before = original.read_bytes()
    (tmp_path / "soft.png").symlink_to(original)
    os.link(original, tmp_path / "hard.png")
    with pytest.raises(UnwritableImage, match="would be overwritten"):
        plan_jobs(original, tmp_path / "soft.png")
    outcome, = run_jobs(plan_jobs(original, tmp_path / "hard.png"), Setup(NearestBackend()))
    assert outcome.error is None
    assert original.read_bytes() == before != (tmp_path / "hard.png").read_bytes()


def test_an_input_folder_inside_the_output_folder_and_a_deep_tree_are_upscaled(tmp_path: Path) -> None:
    deep = tmp_path / "out/in" / "/".join(["d"] * 60)
    put(deep / "a.png")
    outcome, = run_jobs(plan_jobs(tmp_path / "out/in", tmp_path / "out"), Setup(NearestBackend()))
    assert outcome.error is None
    assert outcome.job.target == tmp_path / "out" / "/".join(["d"] * 60) / "a.png"
    assert outcome.job.target.is_file()


def test_loops_of_links_end(tmp_path: Path) -> None:
    put(tmp_path / "in/a.png")
    (tmp_path / "in/round").symlink_to(tmp_path / "in")
    (tmp_path / "in/self.png").symlink_to("self.png")
    outcomes = {outcome.job.source.name: outcome for outcome in
                run_jobs(plan_jobs(tmp_path / "in", tmp_path / "out"), Setup(NearestBackend()))}
    assert outcomes["a.png"].error is None
    assert isinstance(outcomes["self.png"].error, UnreadableImage)
    assert set(outcomes) == {"a.png", "self.png"}


def test_images_that_vanish_are_errors(tmp_path: Path) -> None:
    for index in range(40):
        put(tmp_path / f"in/{index:02}.png")
    run = run_jobs(plan_jobs(tmp_path / "in", tmp_path / "out"), Setup(NearestBackend()))
    next(run)
    shutil.rmtree(tmp_path / "in")
    outcomes = list(run)
    assert len(outcomes) == 39
    assert outcomes[-1].error is not None
    assert not [name for name in tree(tmp_path / "out") if TEMPORARY_MARK in name]


@pytest.mark.parametrize("variables", [{}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
                                       {"LC_ALL": "C.UTF-8"}])
@pytest.mark.skipif(sys.platform != "linux", reason="other systems keep no names that are not UTF-8")
def test_any_name_is_written_and_reported_byte_for_byte(tmp_path: Path, variables: dict[str, str]) -> None:
    names = [b"with space.png", b"line\nbreak.png", b"tab\t.png", b"-dash.png", b"\xff\xfe.png", "ü-画.png".encode(),
             b"Case.png", b"case.png", b"x" * 251 + b".png"]
    whole = put(tmp_path / "whole.png").read_bytes()
    (tmp_path / "in").mkdir()
    for name in names:
        (tmp_path / "in" / os.fsdecode(name)).write_bytes(whole)
    (tmp_path / "in" / os.fsdecode(b"bad\xff.png")).write_bytes(b"no picture")
    done = upscaled(tmp_path / "in", tmp_path / "out", **variables)
    assert done.returncode == 1, done.stderr
    assert b"Traceback" not in done.stderr
    assert sorted(os.fsencode(path.name) for path in (tmp_path / "out").iterdir()) == sorted(names)
    assert all(os.fsencode(tmp_path / "out") + b"/" + name + b"\n" in done.stdout for name in names)
    assert b"bad\xff.png is not a PNG" in done.stderr
