"""The folder that all processes of one run of the tests share: exported graphs, and the server of commands."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, cast

_VARIABLE = "SRN_TESTS_RUN"

_ALIVE = "alive"
"""A named pipe that the first process of the run holds open for writing: readers see its end when that process ends."""


def make_run_folder() -> Callable[[], None]:
    """Make the folder, unless this process belongs to a run that has one; returns what removes it again."""
    if _VARIABLE in os.environ:
        return lambda: None
    folder = os.environ[_VARIABLE] = tempfile.mkdtemp(prefix="srn-tests-")
    if hasattr(os, "mkfifo"):
        os.mkfifo(alive := Path(folder, _ALIVE))
        os.open(alive, os.O_RDWR)  # for as long as this process lives
    return lambda: shutil.rmtree(folder, ignore_errors=True)


def run_folder() -> Path | None:
    """The folder of this run; None outside a run."""
    return Path(os.environ[_VARIABLE]) if _VARIABLE in os.environ else None


def open_lifeline() -> BinaryIO:
    """What can be read, as empty, once the run has ended."""
    return cast("BinaryIO", Path(os.environ[_VARIABLE], _ALIVE).open("rb", buffering=0))
