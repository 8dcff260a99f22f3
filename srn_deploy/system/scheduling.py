"""The scheduling policy of this process, where a library changes it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_TASKS = Path("/proc/self/task")


@contextmanager
def ordinary_scheduling() -> Iterator[None]:
    """Take real-time priority away again from every thread that gets it inside, on Linux.

    SVT-AV1, where root runs it, as in most containers, gives its own threads and the one that opens the encoder the
    first place before everything else on the machine, and does not give it back. Afterwards a thread that was there
    has the policy that it had, and a new one that of the thread which enters.
    """
    if sys.platform != "linux":
        yield
        return
    before, usual = _policies(), (os.sched_getscheduler(0), os.sched_getparam(0))
    try:
        yield
    finally:
        for thread, policy in _policies().items():
            if policy[0] in (os.SCHED_FIFO, os.SCHED_RR):
                with suppress(OSError):  # it has ended meanwhile
                    os.sched_setscheduler(thread, *before.get(thread, usual))


def _policies() -> dict[int, tuple[int, os.sched_param]]:
    """Of each thread of the process."""
    found = {}
    for thread in (int(path.name) for path in _TASKS.iterdir()) if _TASKS.is_dir() else ():
        with suppress(OSError):
            found[thread] = (os.sched_getscheduler(thread), os.sched_getparam(thread))
    return found
