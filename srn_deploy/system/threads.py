"""How many CPU threads this process may use; the only place that counts them."""

from __future__ import annotations

import os


def usable_cores() -> int:
    """How many logical cores this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def requested_threads() -> int:
    """The first number of OMP_NUM_THREADS (which may be a list), or 0 if it is not set."""
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(first) if first.isdecimal() else 0


def threads_in_use() -> int:
    """What OMP_NUM_THREADS requests, else one thread per usable core, which is the rule of the called libraries too."""
    return requested_threads() or usable_cores()
