"""What a build tells while it goes on: its phases, its errors; and how Ctrl-C ends it.

The libraries call back from C++, where an exception would be lost, that of Ctrl-C too if it falls into a callback:
it is kept here and raised afterwards.
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
    """How far a phase of a build is; phases nest, the outermost has no parent."""

    name: str
    parent: str | None
    step: int
    steps: int


OnPhase = Callable[[Phase], None]


def message_collector(trt: Any) -> Any:
    """A logger that keeps errors, and is silent."""
    class Messages(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.errors.append(message)

        def told(self) -> str:
            """The first errors as one line."""
            return "; ".join(self.errors[:MOST_MESSAGES]) or "it gave no reason"

    return Messages()


def progress_monitor(trt: Any, on_phase: OnPhase) -> Any:
    """A monitor that reports phases; an exception of the report, Ctrl-C among them, ends the build."""
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
            """What ended the build from our side, if anything did."""
            if self.error is not None:
                raise self.error

    return Monitor()


@contextmanager
def interruptible(monitor: Any) -> Iterator[None]:
    """During a build Ctrl-C asks the monitor to end it, instead of raising wherever Python happens to be."""
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
