"""Which runs are alive that share an output: each renews a file, and who sees it unchanged for long takes it for dead.

No clock of one machine is compared with that of another: a file is watched by the monotonic clock of whoever watches.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import platform
import secrets
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from srn_deploy.errors import LedgerError, SrnDeployError
from srn_deploy.system.documents import decode_json, to_builtins

RUN_ID_BYTES = 8

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class LeaseTimes:
    """Seconds; those of all runs into one output should be the same."""

    renew_s: float = 10.0
    """Between two renewals."""
    expire_s: float = 60.0
    """A file that did not change for so long is that of a dead run. More than network file systems cache."""


class Life(Enum):
    """What is known of a run."""

    ALIVE = "its file changed while it was watched"
    UNKNOWN = "its file has not been watched for long enough"
    DEAD = "it has ended, or its file has not changed for too long"


@dataclass(frozen=True, kw_only=True)
class RunNote:
    """The content of the file of a run."""

    host: str
    machine: str
    """What tells the machine, its start and its container from others: processes are only looked for in the same."""
    process: int
    renewals: int = 0

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}"


@dataclass(kw_only=True)
class _Watched:
    content: bytes
    since_s: float
    has_changed: bool = False


@functools.cache
def this_machine() -> str:
    """Differs between machines, between starts of one, and between containers; empty where the system cannot tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"  # noqa: PTH115  # no path: the name of a namespace
    except OSError:
        return ""


class RunPresence:
    """The files of all runs in a folder, and that of this run while it is open."""

    def __init__(self, folder: Path, times: LeaseTimes) -> None:
        self.run = secrets.token_hex(RUN_ID_BYTES)
        self._folder, self._times = folder, times
        self._watched: dict[Path, _Watched] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._renewals = 0
        self._thread = threading.Thread(target=self._renew, name="lease-renewal", daemon=True)

    def open(self) -> None:
        """Write the file of this run and renew it from now on; raises OSError."""
        self._write()
        self._thread.start()

    def close(self) -> None:
        """End this run for all others."""
        self._ended.set()
        self._thread.join()
        with suppress(OSError):
            self._path(self.run).unlink(missing_ok=True)

    def others(self) -> list[str]:
        """The runs that have a file, without this one."""
        with suppress(OSError):
            return sorted(path.name for path in self._folder.iterdir() if path.name != self.run)
        return []

    def life_of(self, run: str) -> Life:
        """Whether a run is alive, as far as is known now. The file of a dead one is removed."""
        path = self._path(run)
        life = self.watched(path)
        if life is not Life.DEAD and self._has_died_here(path):
            life = Life.DEAD
        if life is Life.DEAD:
            with suppress(OSError):
                path.unlink(missing_ok=True)
        return life

    def watched(self, path: Path) -> Life:
        """Whether a file changes: DEAD where it is missing, or has not changed for too long since the first look."""
        try:
            content = path.read_bytes()
        except OSError as error:
            return Life.DEAD if isinstance(error, FileNotFoundError) else Life.UNKNOWN
        now = time.monotonic()
        with self._lock:
            seen = self._watched.setdefault(path, _Watched(content=content, since_s=now))
            if seen.content != content:
                seen.content, seen.since_s, seen.has_changed = content, now, True
            if now - seen.since_s >= self._times.expire_s:
                del self._watched[path]
                return Life.DEAD
            return Life.ALIVE if seen.has_changed else Life.UNKNOWN

    def named(self, run: str) -> str:
        """A run in words, as in "process 12 on host"."""
        try:
            return str(_read(self._path(run)))
        except (OSError, SrnDeployError):
            return "a run that has ended"

    def _path(self, run: str) -> Path:
        return self._folder / run

    def _has_died_here(self, path: Path) -> bool:
        """Whether a run was a process of this machine that is gone: then nobody has to wait."""
        try:
            note = _read(path)
        except (OSError, SrnDeployError):
            return False
        if not note.machine or note.machine != this_machine():
            return False
        try:
            os.kill(note.process, 0)
        except ProcessLookupError:
            return True
        except (OSError, OverflowError):
            return False
        return False

    def _write(self) -> None:
        note = RunNote(host=platform.node(), machine=this_machine(), process=os.getpid(), renewals=self._renewals)
        self._path(self.run).write_text(json.dumps(to_builtins(note)) + "\n", encoding="utf-8")

    def _renew(self) -> None:
        has_failed = False
        while not self._ended.wait(self._times.renew_s):
            self._renewals += 1
            try:
                self._write()
                has_failed = False
            except OSError as error:
                if not has_failed:
                    _log.warning("The lease of this run cannot be renewed (%s): other runs may take its files to be "
                                 "left and do them, too.", error.strerror)
                has_failed = True


def _read(path: Path) -> RunNote:
    return decode_json(path.read_bytes(), RunNote, lambda reason: LedgerError(
        f"{path} is damaged: {reason}.", remedy="Delete it when no run is at work."))
