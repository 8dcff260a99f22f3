"""One part of the GPU report in a process of its own: its rows as they come, and its end at a deadline or a signal."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, Any

GRACE_S = 12.0
"""After the wish to end, which is Ctrl-C, a training saves its state; then the process is killed."""

_LOOKS_EVERY_S = 0.1

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass
class StopRequest:
    """Whether a signal has asked for the end of the whole call."""

    number: int | None = None


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Within the block SIGINT, SIGTERM and SIGHUP only say that they came: what is running is ended in order."""
    request = StopRequest()

    def on_signal(number: int, frame: FrameType | None) -> None:
        request.number = request.number or number

    before = {number: signal.signal(number, on_signal) for number in _SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@dataclass(frozen=True, kw_only=True)
class PartEnd:
    """How the process of a part ended."""

    code: int | None
    """None: it was ended, at the deadline or because the whole call ends."""
    last_words: str
    """The last line that it wrote on stderr."""


class PartProcess:
    """A command that prints JSON lines."""

    def __init__(self, command: Sequence[str], folder: Path) -> None:
        self._command, self._folder = command, folder
        self.seconds = 0.0
        """That it has run."""

    def run(self, most_s: float, on_row: Callable[[dict[str, Any]], None], stop: StopRequest) -> PartEnd:
        """Run to its end, for so many seconds or until it is to stop; a row is handed on soon after it was printed.

        Whatever ends this, the process and those that it started have ended, and no row that it printed is lost.
        """
        began = time.monotonic()
        with tempfile.TemporaryFile("w+b") as printed, tempfile.TemporaryFile("w+b") as complained:
            process = subprocess.Popen(self._command, cwd=self._folder, stdout=printed, stderr=complained,
                                       start_new_session=True)
            rows = _Rows(printed, on_row)
            try:
                while process.poll() is None and time.monotonic() - began < most_s and stop.number is None:
                    time.sleep(_LOOKS_EVERY_S)
                    rows.hand_on()
                code = process.poll()
            finally:
                _end(process)
                self.seconds = time.monotonic() - began
                rows.hand_on()
            return PartEnd(code=code, last_words=_last_line(complained))


def print_row(row: dict[str, Any]) -> None:
    """To whoever started this process."""
    print(json.dumps(row), flush=True)


class _Rows:
    """The lines of a file that another process writes, each once and whole."""

    def __init__(self, file: IO[bytes], on_row: Callable[[dict[str, Any]], None]) -> None:
        self._descriptor, self._on_row = file.fileno(), on_row
        self._at, self._half = 0, b""

    def hand_on(self) -> None:
        """What was written since the last time; pread leaves the position, which both processes share, alone."""
        while found := os.pread(self._descriptor, 1 << 16, self._at):
            self._at += len(found)
            *lines, self._half = (self._half + found).split(b"\n")
            for line in lines:
                if line.startswith(b"{"):
                    with contextlib.suppress(json.JSONDecodeError):  # a line of some library
                        self._on_row(json.loads(line))


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all of its session: kindly, then at once."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _last_line(file: IO[bytes]) -> str:
    file.seek(0)
    lines = file.read().decode("utf-8", "replace").strip().splitlines()
    return lines[-1][:300] if lines else "it said nothing"
