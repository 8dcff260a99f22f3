"""How many CPU threads this process may use; the only place that counts them.

In this order: what the user asked for (`--threads`, `cpu_threads`), what OMP_NUM_THREADS says, and else one for each
core that the process may run on: those of its affinity mask, but not more than its control groups let it use.
"""

from __future__ import annotations

import functools
import logging
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path

from srn_deploy.errors import OptionError
from srn_deploy.system.control_groups import groups_with

MOST_THREADS = 1024
"""More than one process gains from; thousands take all memory and time for themselves."""

_log = logging.getLogger(__name__)

_asked_for: ContextVar[int | None] = ContextVar("_asked_for", default=None)


def check_threads(count: int | None) -> None:
    """Raise OptionError unless it is a number of threads from 1 to MOST_THREADS, or None."""
    if count is not None and (not isinstance(count, int) or isinstance(count, bool) or count < 1):
        raise OptionError(f"{count!r} threads are not possible.", remedy="Give at least one thread.")
    if count is not None and count > MOST_THREADS:
        raise OptionError(f"{count} threads are too many.", remedy=f"Give at most {MOST_THREADS}.")


@contextmanager
def cpu_threads(count: int | None) -> Iterator[None]:
    """Let `count` be the CPU threads of every model that is opened while the block runs; None changes nothing.

        with srn_deploy.cpu_threads(4):
            upscaler = srn_deploy.load()

    It keeps them afterwards. For PyTorch, which has one number of threads, it is that of the whole process. Raises
    OptionError unless it is a whole number from 1 to MOST_THREADS.
    """
    check_threads(count)
    token = _asked_for.set(count or _asked_for.get())
    try:
        yield
    finally:
        _asked_for.reset(token)


def usable_cores() -> int:
    """How many logical cores this process may use: of its affinity mask, and of the CPU time of its control groups."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = cpu_quota()
    return cores if quota is None else max(1, min(cores, math.ceil(quota)))


def cpu_quota() -> float | None:
    """The smallest CPU time per time that a control group of this process allows, as in 1.5 cores; None: no limit."""
    return min((quota for group in groups_with("cpu") for quota in _quotas_of(group)), default=None)


def threads_in_use() -> int:
    """How many threads a library that follows this module uses."""
    return _asked_for.get() or _from_environment() or usable_cores()


def are_asked_for() -> bool:
    """Whether the user or the environment says how many threads there are to be."""
    return bool(_asked_for.get() or _from_environment())


def thread_limit() -> int:
    """The same where it differs from what a library would choose that sees the whole machine; else 0, its own choice.

    A library's own choice can be better than one thread for each logical core.
    """
    explicit = _asked_for.get() or _from_environment()
    cores = usable_cores()
    return explicit or (cores if cores < (os.cpu_count() or 1) else 0)


def fitting_threads(current: int) -> int:
    """For a library with one number for the whole process: what was asked for, else its own where it is not too large.

    So what the program has set itself is made smaller at most.
    """
    return _asked_for.get() or min(current, thread_limit() or current)


def _from_environment() -> int:
    """The first number of OMP_NUM_THREADS (which may be a list), or 0 if it is not set; raises OptionError."""
    first = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if not (first.isascii() and first.isdecimal()):
        _warn_of(first)
        return 0
    if int(first) > MOST_THREADS:
        raise OptionError(f"OMP_NUM_THREADS asks for {first} threads, which are too many.",
                          remedy=f"Set it to at most {MOST_THREADS}, or unset it.")
    return int(first)


@functools.cache
def _warn_of(setting: str) -> None:
    """Say once that a setting is not a number."""
    if setting:
        _log.warning("OMP_NUM_THREADS=%s is not a number of threads and is ignored.", setting)


def _quotas_of(group: Path) -> Iterator[float]:
    """What one group allows: `cpu.max` of version 2, as in "150000 100000", or the two files of version 1."""
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            words = " ".join((group / name).read_text(encoding="utf-8") for name in names).split()
            quota, period = (int(word) for word in words)
        except (OSError, ValueError):  # no such file, or "max": no limit
            continue
        if quota > 0 and period > 0:
            yield quota / period
