"""What `make` says where something is missing."""

from __future__ import annotations

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
