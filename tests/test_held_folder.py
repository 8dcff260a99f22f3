"""One process at a time in a folder: who is refused, who is named, and what a dead holder leaves."""

from __future__ import annotations

import errno
import logging
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from srn_deploy.errors import TrainingError
from srn_deploy.system import held_folder
from srn_deploy.system.held_folder import HeldFolder
from srn_deploy.training import RunOptions
from srn_deploy.training.recipe import Recipe
from srn_deploy.training.run_folder import RunFolder
from srn_deploy.training.trainer import Trainer

HOLDER = """
import sys
from pathlib import Path
from srn_deploy.errors import TrainingError
from srn_deploy.system.held_folder import HeldFolder
held = HeldFolder(Path(sys.argv[1]), lambda who: TrainingError(who, remedy="Wait."))
held.acquire()
print("held", flush=True)
sys.stdin.read()
"""

RECIPE = Recipe(name="tiny", title="A tiny SRN", source="made for tests", architecture="srn",
                options={"scale": 2, "blocks": 1, "channels": 8, "esa_channels": 4}, value_range=1.0, hr_patch_px=32,
                batch=4, steps=1, learning_rate=5e-3)


def held_by_this_process(folder: Path) -> HeldFolder:
    return HeldFolder(folder, lambda who: TrainingError(f"It is held by {who}.", remedy="Wait."))


def note_of(folder: Path) -> Path:
    return folder / ".locks" / "run.json"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, subprocess.Popen[str]]]:
    """A folder that another process holds, and that process."""
    folder = tmp_path_factory.mktemp("run")
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield folder, process
        process.kill()


@pytest.fixture
def without_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(path: Path) -> None:
        raise OSError(errno.ENOLCK, "Its file system has no locks")

    monkeypatch.setattr(held_folder, "try_to_lock", fails)
    monkeypatch.setattr(held_folder, "is_locked", fails)


def test_the_second_is_refused_with_process_and_host_of_the_first(run: tuple[Path, subprocess.Popen[str]]) -> None:
    folder, process = run
    for attempt in (held_by_this_process(folder).acquire, held_by_this_process(folder).check_free):
        with pytest.raises(TrainingError, match=f"held by process {process.pid} on {platform.node()}"):
            attempt()


@pytest.mark.parametrize("resume", [False, True])
def test_a_training_in_the_folder_of_another_is_refused_before_it_reads_images(
        run: tuple[Path, subprocess.Popen[str]], resume: bool) -> None:
    folder, process = run
    before = sorted(folder.rglob("*"))
    words = f"{folder} is being trained by process {process.pid} on {platform.node()}"
    with pytest.raises(TrainingError, match=words) as caught:
        Trainer(RECIPE, (Path("missing"),), folder, RunOptions(device="cpu", resume=resume))
    assert "--out" in caught.value.remedy
    assert sorted(folder.rglob("*")) == before


def test_the_same_process_cannot_hold_a_folder_twice(tmp_path: Path) -> None:
    first = held_by_this_process(tmp_path)
    first.acquire()
    with pytest.raises(TrainingError, match=f"process {os.getpid()} on"):
        held_by_this_process(tmp_path).acquire()
    first.release()
    held_by_this_process(tmp_path).acquire()


def test_a_holder_that_died_does_not_block(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.kill()
    assert note_of(tmp_path).exists()
    held = held_by_this_process(tmp_path)
    held.check_free()
    held.acquire()
    held.release()
    assert not note_of(tmp_path).exists()


def test_a_note_of_another_host_that_is_not_locked_is_a_warning(
        tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    note_of(tmp_path).parent.mkdir()
    note_of(tmp_path).write_text('{"process": 7, "host": "elsewhere"}', encoding="utf-8")
    held_by_this_process(tmp_path).acquire()
    assert "last held by process 7 on elsewhere" in caplog.text


@pytest.mark.usefixtures("without_locks")
def test_without_locks_a_running_process_of_this_host_is_refused(run: tuple[Path, subprocess.Popen[str]]) -> None:
    folder, process = run
    for attempt in (held_by_this_process(folder).acquire, held_by_this_process(folder).check_free):
        with pytest.raises(TrainingError, match=f"process {process.pid} "):
            attempt()


@pytest.mark.usefixtures("without_locks")
def test_without_locks_a_free_folder_is_taken_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    note_of(tmp_path).parent.mkdir()
    note_of(tmp_path).write_text(f'{{"process": 4194305, "host": "{platform.node()}"}}', encoding="utf-8")
    held = held_by_this_process(tmp_path)
    held.check_free()
    with caplog.at_level(logging.WARNING):
        held.acquire()
    assert "has no locks" in caplog.text


def test_a_run_that_came_while_the_images_were_loaded_is_not_overwritten(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.check_free()
    (tmp_path / "state.pt").write_bytes(b"of another run, which has ended")
    with pytest.raises(TrainingError, match="already holds a run"):
        folder.create()
