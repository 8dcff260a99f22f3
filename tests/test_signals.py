"""SIGTERM and SIGHUP end every command as Ctrl-C does, each with its own exit code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

import srn_deploy.training
from srn_deploy.cli import COMMANDS, main
from srn_deploy.doctor.subprocesses import run_probes
from srn_deploy.system.atomic import TEMPORARY_MARK
from srn_deploy.training.interruption import deferred_interrupt

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows sends none of these signals")

WORK = {
    "upscale": ("srn_deploy.cli.running.load_as", ["in.png", "out.png"]),
    "export": ("srn_deploy.registry.resolve.resolve", []),
    "build-engine": ("srn_deploy.engine_request.request_engine", []),
    "engines": ("srn_deploy.engine.store.EngineStore.engines", ["list"]),
    "verify": ("srn_deploy.verification.verify.verify", []),
    "eval": ("srn_deploy.open_model.open_model", ["--hr", "."]),
    "bench": ("srn_deploy.benchmark.steady_state.run_steady", ["--device", "cpu"]),
    "compare": ("srn_deploy.benchmark.records.Record.load", ["a.json", "b.json"]),
    "report": ("srn_deploy.report.report", ["a.json"]),
    "info": ("srn_deploy.describe.described", []),
    "models": ("srn_deploy.registry.pull.pull", ["pull", "edsr-x2"]),
    "recipes": ("srn_deploy.training.recipe_store.shipped_recipes", []),
    "triton-repository": ("srn_deploy.serving.repository.write_repository", ["folder"]),
    "web": ("srn_deploy.web.server.serve", []),
    "train": ("srn_deploy.training.train", ["compact-x4", "--data", "."]),
    "tune": ("srn_deploy.benchmark.tuning.tune", []),
    "doctor": ("srn_deploy.doctor.examine", []),
}
"""For each command what does its work, and arguments with which it gets there."""


@pytest.fixture(autouse=True)
def _ctrl_c_is_not_ignored() -> Iterator[None]:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def sending(monkeypatch: pytest.MonkeyPatch, command: str, *numbers: int) -> None:
    """Let the work of a command be that these signals arrive."""
    def work(*given: object, **named: object) -> None:
        for number in numbers:
            signal.raise_signal(number)
        raise AssertionError("no signal ended the command")

    monkeypatch.setattr(WORK[command][0], work)


def test_the_work_of_every_command_is_known() -> None:
    assert set(WORK) == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_every_command_ends_with_a_sentence_and_the_code_of_the_signal(
        monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str, name: str, code: int) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in.png").touch()
    sending(monkeypatch, command, signal.Signals[name])
    ended = CliRunner().invoke(main, [command, *WORK[command][1]])
    assert (ended.exit_code, ended.stdout) == (code, "")
    assert ended.stderr.startswith(("Interrupted", "Stopped"))


def test_a_command_in_the_background_of_a_shell_that_ignores_ctrl_c_is_ended_by_sigterm(
        monkeypatch: pytest.MonkeyPatch) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sending(monkeypatch, "doctor", signal.SIGTERM)
    assert CliRunner().invoke(main, ["doctor"]).exit_code == 143


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_is_ignored_stays_ignored(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    before = signal.signal(number, signal.SIG_IGN)
    sending(monkeypatch, "doctor", number, signal.SIGINT)
    assert CliRunner().invoke(main, ["doctor"]).exit_code == 130
    signal.signal(number, before)


def test_the_handlers_of_a_surrounding_program_are_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
    sending(monkeypatch, "doctor", signal.SIGTERM)
    CliRunner().invoke(main, ["doctor"])
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)] == before


def test_the_signals_of_one_event_are_one_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two requests would not wait for the step of a training to end."""
    def step(*given: object, **named: object) -> None:
        with deferred_interrupt() as interruption:
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGTERM):
                signal.raise_signal(number)
            assert interruption.requested
        raise KeyboardInterrupt("Stopped after step 7.")

    monkeypatch.setattr(srn_deploy.training, "train", step)
    ended = CliRunner().invoke(main, ["train", "compact-x4", "--data", "."])
    assert (ended.exit_code, ended.stderr.splitlines()[0]) == (143, "Stopped after step 7.")


def test_a_terminal_that_is_closed_ends_a_command_as_ctrl_c_does() -> None:
    """What the command says then goes nowhere, and must not change how it ends."""
    code = """
import fcntl, signal, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
import srn_deploy.doctor
from srn_deploy.cli import main
def work(*given, **named):
    print("at work", flush=True)
    try:
        signal.pause()
    finally:
        print("as a progress bar ends", flush=True)
srn_deploy.doctor.examine = work
main(["doctor"])
"""
    ours, theirs = os.openpty()
    process = subprocess.Popen([sys.executable, "-c", code], stdin=theirs, stdout=theirs, stderr=theirs,
                               start_new_session=True)
    os.close(theirs)
    assert os.read(ours, 99).strip() == b"at work"
    os.close(ours)
    assert process.wait(60) == 129


def test_sigterm_ends_the_library_that_hangs_under_the_doctor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hangs = ("import os, pathlib, signal, time; pathlib.Path('pid').write_text(str(os.getpid())); "
             "os.kill(os.getppid(), signal.SIGTERM); time.sleep(600)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("srn_deploy.doctor.subprocesses._PROBE_MODULE", "timeit")
    monkeypatch.setattr("srn_deploy.doctor.examine", lambda *given, **named: run_probes({"cv2": ["-n1", hangs]}, 500))
    assert CliRunner().invoke(main, ["doctor"]).exit_code == 143
    with pytest.raises(ProcessLookupError):
        os.kill(int(Path("pid").read_text(encoding="utf-8")), 0)


def test_a_folder_run_that_gets_sigterm_while_files_are_written_leaves_whole_files_alone(tmp_path: Path) -> None:
    """The signal arrives in a thread that writes the third file, as the kernel chooses any thread."""
    code = """
import os, signal, sys
import numpy as np
from pathlib import Path
from srn_deploy.cli import main
from srn_deploy.image import Image, write_image
for name in "abcdef":
    write_image(Path(f"in/{name}.png"), Image(pixels=np.full((9, 9, 3), ord(name), np.uint8)))
stored, count = os.fsync, [0]
def slow(file):
    count[0] += 1
    if count[0] == 3:
        os.kill(os.getpid(), signal.SIGTERM)
    stored(file)
os.fsync = slow
main(["upscale", "in", "out", "--device", "cpu", "--model", "srn-s-b6-x2"], prog_name="srn-deploy")
"""
    ended = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60,
                           check=False)
    assert ended.returncode == 143, ended.stderr
    assert ended.stderr.splitlines()[-1].endswith("every file that exists is complete. Continue with --skip-existing.")
    written = [path.name for path in (tmp_path / "out").iterdir()]
    assert 3 <= len(written) < 6
    assert not [name for name in written if name.startswith(TEMPORARY_MARK)]
