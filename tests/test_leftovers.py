"""What a killed writer leaves behind is swept; what a living one is writing stays."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from srn_deploy.system.atomic import TEMPORARY_MARK, replacing, sweep

fcntl = pytest.importorskip("fcntl", reason="without locks nothing is swept")

WRITER = """
import os, signal, sys
from pathlib import Path
from srn_deploy.system.atomic import replacing
with replacing(Path(sys.argv[1])) as temporary:
    temporary.write_bytes(b"half")
    if sys.argv[2] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    print("writing", flush=True)
    sys.stdin.read()
"""


def killed_while_writing(path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", WRITER, path, "die"], check=False, timeout=60)
    assert done.returncode == -9


@contextmanager
def living_writer(path: Path) -> Iterator[None]:
    """Another process that is writing this path while the block runs, and ends well."""
    with subprocess.Popen([sys.executable, "-c", WRITER, path, "live"], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"writing\n"
        yield
        process.communicate(timeout=60)
    assert process.returncode == 0


def test_what_a_killed_writer_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "whole.png").write_bytes(b"whole")
    for name in ("a.png", "b", "whole.png"):
        killed_while_writing(tmp_path / name)
    assert len(list(tmp_path.glob(f"{TEMPORARY_MARK}*"))) == 6  # a file and its lock each
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == [tmp_path / "whole.png"]
    assert (tmp_path / "whole.png").read_bytes() == b"whole"


def test_what_another_process_is_writing_stays_beside_what_is_swept(tmp_path: Path) -> None:
    killed_while_writing(tmp_path / "dead.png")
    with living_writer(tmp_path / "alive.png"):
        sweep(tmp_path)
        assert len(list(tmp_path.glob(f"{TEMPORARY_MARK}*"))) == 2
    assert list(tmp_path.iterdir()) == [tmp_path / "alive.png"]
    assert (tmp_path / "alive.png").read_bytes() == b"half"


def test_what_this_process_is_writing_stays_even_where_the_writer_puts_a_new_file(tmp_path: Path) -> None:
    with replacing(tmp_path / "out.png") as temporary:
        temporary.write_bytes(b"first")
        (tmp_path / "other").write_bytes(b"second")
        (tmp_path / "other").replace(temporary)  # as safetensors does
        sweep(tmp_path)
    assert (tmp_path / "out.png").read_bytes() == b"second"
    assert list(tmp_path.iterdir()) == [tmp_path / "out.png"]


def test_where_there_are_no_locks_files_are_written_and_nothing_is_swept(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed_while_writing(tmp_path / "dead.png")

    def refuse(file: int, operation: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with replacing(tmp_path / "out.png") as temporary:
        temporary.write_bytes(b"whole")
        sweep(tmp_path)
    assert (tmp_path / "out.png").read_bytes() == b"whole"
    assert len(list(tmp_path.glob(f"{TEMPORARY_MARK}*"))) == 2


def test_a_pipe_or_a_link_of_such_a_name_is_no_trap(tmp_path: Path) -> None:
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / f"{TEMPORARY_MARK}link").symlink_to(tmp_path / "precious")
    os.mkfifo(tmp_path / f"{TEMPORARY_MARK}pipe")
    (tmp_path / f"{TEMPORARY_MARK}folder").mkdir()
    sweep(tmp_path)
    assert (tmp_path / "precious").read_bytes() == b"precious"
    assert (tmp_path / f"{TEMPORARY_MARK}folder").is_dir()


@pytest.mark.parametrize("name", ["nothing", "nul\0", "x" * 300, "file"])
def test_there_is_nothing_to_sweep_where_there_is_no_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    sweep(tmp_path / name)
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_the_content_is_on_the_disk_before_the_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[bytes, bool]] = []
    stored = os.fsync

    def spy(file: int) -> None:
        seen.append((os.pread(file, 10, 0), (tmp_path / "out.png").exists()))
        stored(file)

    monkeypatch.setattr(os, "fsync", spy)
    with replacing(tmp_path / "out.png") as temporary:
        temporary.write_bytes(b"whole")
    assert seen == [(b"whole", False)]


@pytest.mark.parametrize("name", ["x" * 251 + ".png", "x." + "y" * 253, "ü" * 125 + ".webp"])
def test_the_longest_names_are_written(tmp_path: Path, name: str) -> None:
    with replacing(tmp_path / name) as temporary:
        temporary.write_bytes(b"whole")
    assert [path.name for path in tmp_path.iterdir()] == [name]
