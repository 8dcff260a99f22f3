"""What `make` says where something is missing."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


def make(repository: Path, python: Path | str, folder: Path) -> subprocess.CompletedProcess[str]:
    """`make demo` with another Python and an environment of its own."""
    return subprocess.run(["make", "demo", f"PYTHON={python}", f"VENV={folder / 'venv'}"], cwd=repository,
                          capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(("script", "words"), [
    ('case "$2" in *ensurepip*) exit 1;; *) exit 0;; esac', "apt install python3-venv"),
    ('case "$2" in *version_info*) exit 1;; *) echo "Python 3.9.2";; esac', "needs Python 3.11 or later"),
])
def test_what_python_lacks_is_explained_before_anything_is_made(repository: Path, tmp_path: Path, script: str,
                                                                words: str) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    done = make(repository, python, tmp_path)
    assert done.returncode != 0
    assert words in done.stderr
    assert not (tmp_path / "venv").exists()


def test_a_python_that_is_not_there_is_explained(repository: Path, tmp_path: Path) -> None:
    done = make(repository, "no-such-python", tmp_path)
    assert done.returncode != 0
    assert "apt install python3" in done.stderr


def system_packages(repository: Path, folder: Path, **programs: str) -> subprocess.CompletedProcess[str]:
    """What `make test` does first, where there are these programs and those of every shell."""
    (folder / "bin").mkdir()
    for name in ("sh", "grep", "env", "cat"):
        (folder / "bin" / name).symlink_to(str(shutil.which(name)))
    for name, script in {"python": "echo 3.99", "ldconfig": "true", **programs}.items():
        path = folder / "bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
    return subprocess.run([repository / ".ci" / "system_packages"], capture_output=True, text=True, timeout=60,
                          env={"PATH": str(folder / "bin"), "PYTHON": "python"}, check=False)


def test_what_tests_need_of_the_system_is_installed_as_root(repository: Path, tmp_path: Path) -> None:
    done = system_packages(repository, tmp_path, id="echo 0", **{"apt-get": f'echo "$@" >> {tmp_path}/asked'})
    assert done.returncode == 0
    assert (tmp_path / "asked").read_text() == ("update\n"
                                                "install -y --no-install-recommends chromium libpython3.99\n")


def test_what_is_there_is_not_installed(repository: Path, tmp_path: Path) -> None:
    done = system_packages(repository, tmp_path, chromium="true", ldconfig="echo libpython3.99.so.1.0", id="echo 0",
                           **{"apt-get": f"echo asked >> {tmp_path}/asked"})
    assert (done.returncode, done.stderr) == (0, "")
    assert not (tmp_path / "asked").exists()


@pytest.mark.parametrize(("programs", "words"), [
    ({"id": "echo 0"}, "they need what Debian calls: chromium libpython3.99"),
    ({"id": "echo 7", "apt-get": "true"}, "They run after: sudo apt-get install chromium libpython3.99"),
    ({"id": "echo 0", "apt-get": "exit 1"}, "this cannot be installed: chromium libpython3.99")])
def test_where_nothing_can_be_installed_tests_are_skipped_and_that_is_said(
        repository: Path, tmp_path: Path, programs: dict[str, str], words: str) -> None:
    done = system_packages(repository, tmp_path, **programs)
    assert done.returncode == 0
    assert words in done.stderr
