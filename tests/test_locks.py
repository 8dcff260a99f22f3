"""Locks between processes: one holder at a time, freed when the holder dies, with a message for who waits."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from srn_deploy.system.locks import is_locked, lock_path, locked

HOLDER = """
import sys
from pathlib import Path
from srn_deploy.system.locks import locked
with locked(Path(sys.argv[1]), busy=""):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def held_by_another_process(path: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_lock_of_a_file_is_next_to_it_and_free_before_and_after(tmp_path: Path) -> None:
    path = lock_path(tmp_path, "net.pt")
    assert path == tmp_path / ".locks" / "net.pt.lock"
    assert not is_locked(path)
    with locked(path, busy="never said"):
        assert path.exists()
    assert not is_locked(path)


def test_a_lock_of_another_process_is_seen_and_freed_by_its_death(tmp_path: Path) -> None:
    path = lock_path(tmp_path, "net.pt")
    with held_by_another_process(path) as holder:
        assert is_locked(path)
        holder.kill()
        holder.wait()
        assert not is_locked(path)


def test_who_waits_says_so_once_and_goes_on_when_the_holder_is_done(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, said = lock_path(tmp_path, "net.pt"), list[str]()
    with held_by_another_process(path) as holder:
        def heard(message: str) -> None:
            said.append(message)
            holder.kill()

        monkeypatch.setattr("srn_deploy.system.locks._log.info", heard)
        with locked(path, busy="Another process has it"):
            assert said == ["Another process has it"]


def test_a_folder_that_cannot_be_made_is_an_oserror(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"), locked(lock_path(tmp_path / "file", "a"), busy=""):
        pytest.fail("the block must not be entered")
