"""What a build reports while it runs, phases and errors, and how Ctrl-C ends it.

The runtimes call back from C++, where a Python exception would be lost, a KeyboardInterrupt inside a callback too.
So exceptions are kept here and raised after the build.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

MOST_MESSAGES = 5


@dataclass(frozen=True, kw_only=True)
class Phase:
    """The progress of one phase of a build. Phases nest; the outermost has no parent."""

    name: str
    parent: str | None
    step: int
    steps: int


OnPhase = Callable[[Phase], None]


def message_collector(trt: Any) -> Any:
    """An `ILogger` that keeps errors and prints nothing; `summary()` is the first of them as one line."""
    class Messages(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.errors.append(message)

        def summary(self) -> str:
            return "; ".join(self.errors[:MOST_MESSAGES]) or "it gave no reason"

    return Messages()


def progress_monitor(trt: Any, on_phase: OnPhase) -> Any:
    """An `IProgressMonitor` that reports phases; an exception in `on_phase`, Ctrl-C included, ends the build.

    `raise_if_interrupted()` raises that exception again after the build.
    """
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self.phases: dict[str, Phase] = {}
            self.error: BaseException | None = None

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._report(Phase(name=phase_name, parent=parent_phase or None, step=0, steps=num_steps))

        def step_complete(self, phase_name: str, step: int) -> bool:
            known = self.phases[phase_name]
            self._report(Phase(name=phase_name, parent=known.parent, step=step + 1, steps=known.steps))
            return self.error is None

        def phase_finish(self, phase_name: str) -> None:
            known = self.phases.pop(phase_name)
            self._report(Phase(name=phase_name, parent=known.parent, step=known.steps, steps=known.steps), kept=False)

        def _report(self, phase: Phase, *, kept: bool = True) -> None:
            if kept:
                self.phases[phase.name] = phase
            try:
                if self.error is None:
                    on_phase(phase)
            except BaseException as error:  # noqa: BLE001  # raised again by raise_if_interrupted
                self.error = error

        def raise_if_interrupted(self) -> None:
            if self.error is not None:
                raise self.error

    return Monitor()


@contextmanager
def interruptible(monitor: Any) -> Iterator[None]:
    """While the block runs, Ctrl-C makes the monitor end the build instead of raising inside a callback."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupted(number: int, frame: object) -> None:
        monitor.error = KeyboardInterrupt()

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
