"""Work in a process of its own, with bounds: it may crash, hang or take all memory, and its caller goes on."""

from __future__ import annotations

import ctypes
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

GIB = 1024**3

LONGEST_LINE = 2000
"""Bytes of a line on stderr that are passed on; the rest of it comes as further lines."""

_POLL_S = 0.05

_LAST_WORDS_S = 1.0
"""How long to wait for what is still in the pipes of a process that has ended."""

_PR_SET_PDEATHSIG = 1

Answer = Callable[[bytes], bytes]


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a process ended, and what it wrote."""

    output: bytes = b""
    """Its answer; empty where it failed."""
    reason: str = ""
    """Why there is no answer, as in "it does not end within 600 s"; empty where there is one."""
    exceeded: bool = False
    """Whether it was killed for exceeding a bound."""
    last_line: str = ""
    """The last line it wrote to stderr that is not blank."""


def run_bounded(module: str, request: bytes, *, seconds: float, memory_bytes: int,
                on_line: Callable[[str], None] | None = None) -> Ended:
    """Run a module, which calls `answer_request`, in a process of its own and return its answer.

    request goes to its stdin. The process and all it has started are killed when it takes longer than `seconds`, when
    their resident memory together exceeds memory_bytes (where the system tells it, as Linux does), and when this call
    is interrupted. Each line on its stderr is passed to on_line, in the calling thread. Failures are results, not
    exceptions; what on_line raises is passed on.
    """
    try:
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", module], env=environment_with_same_modules(), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    except OSError as error:
        return Ended(reason=f"no process can be started: {error.strerror}")
    talk = _Talk(child, request, on_line)
    try:
        reason = exceeded = _watched(child, talk, seconds, memory_bytes)
    finally:
        _kill_group(child)
        child.wait()
    output = talk.finish()
    reason = reason or (ending(child.returncode) if child.returncode else "")
    reason = reason or ("" if output else "it ends without a result")
    return Ended(output=b"" if reason else output, reason=reason, exceeded=bool(exceeded), last_line=talk.last_line)


def answer_request(answer: Answer) -> None:
    """Be the process that `run_bounded` started: read the request, and write what `answer` makes of it.

    Whatever else is written to stdout, by Python or by libraries, goes to stderr meanwhile. The process is killed with
    the one that started it (on Linux).
    """
    _end_with_parent()
    request = sys.stdin.buffer.read()
    with os.fdopen(os.dup(1), "wb") as channel:
        os.dup2(2, 1)
        channel.write(answer(request))
    sys.stdout.flush()


def environment_with_same_modules() -> dict[str, str]:
    """The environment for `python -P` that imports the modules of this process, whatever is in the current folder."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def ending(code: int) -> str:
    """What the return code of a process means, as in "it ends in signal 8 (SIGFPE)"."""
    if code > 0:
        return f"it ends with exit code {code}"
    try:
        return f"it ends in signal {-code} ({signal.Signals(-code).name})"
    except ValueError:
        return f"it ends in signal {-code}"


def not_within(seconds: float) -> str:
    """The words for a process that took too long."""
    return f"it does not end within {seconds:g} s"


class _Talk:
    """The three pipes of a process, each with a thread of its own, so that none can block the others."""

    def __init__(self, child: subprocess.Popen[bytes], request: bytes, on_line: Callable[[str], None] | None) -> None:
        self.last_line = ""
        self._on_line = on_line
        self._output: list[bytes] = []
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stderr is not None
        threading.Thread(target=_write, args=(child.stdin, request), daemon=True).start()
        self._readers = [threading.Thread(target=self._read_output, args=(child.stdout,), daemon=True),
                         threading.Thread(target=self._read_lines, args=(child.stderr,), daemon=True)]
        for reader in self._readers:
            reader.start()

    def pass_lines_on(self) -> None:
        """Give the lines that have come meanwhile to on_line."""
        with suppress(queue.Empty):
            while True:
                line = self._lines.get_nowait()
                self.last_line = line.strip() or self.last_line
                if self._on_line is not None:
                    self._on_line(line)

    def finish(self) -> bytes:
        """What the process wrote to stdout, after it has ended."""
        for reader in self._readers:
            reader.join(_LAST_WORDS_S)  # a process that left the group can hold a pipe open for ever
        self.pass_lines_on()
        return b"".join(self._output)

    def _read_output(self, pipe: IO[bytes]) -> None:
        with pipe:
            self._output.append(pipe.read())

    def _read_lines(self, pipe: IO[bytes]) -> None:
        with pipe:
            while line := pipe.readline(LONGEST_LINE):
                self._lines.put(line.decode(errors="replace").rstrip("\r\n"))


def _write(pipe: IO[bytes], request: bytes) -> None:
    with suppress(OSError), pipe:  # it may end without reading all of it
        pipe.write(request)


def _watched(child: subprocess.Popen[bytes], talk: _Talk, seconds: float, memory_bytes: int) -> str:
    """Wait for a process; why it has to be killed, or empty where it has ended by itself."""
    deadline = time.monotonic() + seconds
    while True:
        with suppress(subprocess.TimeoutExpired):
            child.wait(_POLL_S)
            return ""
        talk.pass_lines_on()
        if _resident_bytes(child.pid) > memory_bytes:
            return f"it takes more than {memory_bytes / GIB:.1f} GiB"
        if time.monotonic() > deadline:
            return not_within(seconds)


def _kill_group(child: subprocess.Popen[bytes]) -> None:
    """Kill a process and all that it has started and that has not left its group."""
    if sys.platform == "win32":
        child.kill()
        return
    with suppress(ProcessLookupError, PermissionError):  # PermissionError: macOS, for a group of zombies
        os.killpg(child.pid, signal.SIGKILL)


def _resident_bytes(group: int) -> int:
    """Resident memory of all processes in a group; 0 where the system has no /proc."""
    if not sys.platform.startswith("linux"):
        return 0
    return sum(_resident_pages(process, group) for process in Path("/proc").glob("[0-9]*")) * os.sysconf("SC_PAGE_SIZE")


def _resident_pages(process: Path, group: int) -> int:
    """Resident pages of one process of a group; 0 for those of other groups and for what has ended meanwhile."""
    try:
        # The name of a program stands in brackets and can contain any of them.
        after_name = (process / "stat").read_text(errors="replace").rpartition(")")[2].split()
        if int(after_name[2]) != group:
            return 0
        return int((process / "statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def _end_with_parent() -> None:
    """Have the kernel kill this process when its parent dies, so that nothing is left of a killed program."""
    if not sys.platform.startswith("linux"):
        return
    with suppress(OSError, AttributeError):  # a C library without prctl
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
