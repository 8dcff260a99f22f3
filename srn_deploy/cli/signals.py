"""How a command ends before its time: SIGTERM and SIGHUP do what Ctrl-C does, each with its own exit code."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import click

CTRL_C, TERMINATED, HUNG_UP = 128 + 2, 128 + 15, 128 + 1
"""Exit codes, as in shells: 128 plus the number of the signal."""

_STOPPING = (signal.SIGTERM,) if sys.platform == "win32" else (signal.SIGTERM, signal.SIGHUP)
"""SIGTERM comes from `timeout`, Docker, systemd, Slurm and a shutdown, SIGHUP from a terminal that is closed."""

SAME_EVENT_S = 1.0
"""A closed terminal sends SIGHUP twice, systemd SIGTERM and SIGHUP: what follows this soon is not a second request."""

_SIGNAL_KEY = "srn_deploy.cli.signal"


@contextmanager
def stopped_as_by_ctrl_c(context: click.Context) -> Iterator[None]:
    """While the block runs, SIGTERM and SIGHUP call the handler that Ctrl-C has at that moment.

    So they raise KeyboardInterrupt, or end a training step or the build of an engine, as Ctrl-C does. A signal that the
    parent ignores (`nohup`) or that a surrounding program handles is left alone, as are all outside the main thread.
    """
    stopped_s = float("-inf")

    def on_signal(number: int, frame: FrameType | None) -> None:
        nonlocal stopped_s
        now = time.monotonic()
        if now - stopped_s < SAME_EVENT_S:
            return
        stopped_s = now
        context.meta[_SIGNAL_KEY] = number
        _leave_closed_terminal()
        on_ctrl_c = signal.getsignal(signal.SIGINT)
        if not callable(on_ctrl_c):  # ignored: a shell starts background commands so
            raise KeyboardInterrupt
        on_ctrl_c(signal.SIGINT, frame)

    taken = [number for number in _STOPPING if signal.getsignal(number) is signal.SIG_DFL
            and threading.current_thread() is threading.main_thread()]
    for number in taken:
        signal.signal(number, on_signal)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)


def _leave_closed_terminal() -> None:
    """Let what is printed on a terminal that is gone go nowhere: its errors would hide how the command ends."""
    for stream in (1, 2):
        try:
            os.write(stream, b"")
        except OSError as error:
            if error.errno == errno.EIO:
                nothing = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nothing, stream)
                os.close(nothing)


def interrupted() -> click.exceptions.Exit:
    """The exit after KeyboardInterrupt, with the code of the signal that caused it."""
    number = click.get_current_context().meta.get(_SIGNAL_KEY)
    return click.exceptions.Exit(CTRL_C if number is None else 128 + number)
