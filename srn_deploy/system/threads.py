"""How many CPU threads a process may use."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """Logical cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def requested_threads() -> int:
    """The first number of OMP_NUM_THREADS (which may be a list), or 0 if it is not set."""
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(first) if first.isdecimal() else 0


def threads_in_use() -> int:
    """What OMP_NUM_THREADS requests, else one thread per usable core: the rule of the libraries we call."""
    return requested_threads() or usable_cores()
