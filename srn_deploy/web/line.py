"""The line of runs: one works, the others wait in their order, and one too many is refused."""

from __future__ import annotations

import logging
import threading
from contextvars import copy_context
from types import TracebackType
from typing import Self

from srn_deploy.errors import PageError
from srn_deploy.web.one_model import OneModel
from srn_deploy.web.runs import PageRun

_log = logging.getLogger(__name__)


class Line:
    """Works on one run after the other, on a thread of its own, which holds the model. Use it as a context manager."""

    def __init__(self, model: OneModel, *, max_waiting: int) -> None:
        self.model = model
        self._max_waiting = max_waiting
        self._waiting: list[PageRun] = []
        self._running: PageRun | None = None
        self._is_closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(
            target=copy_context().run, args=(self._work,), name="page-network", daemon=True)

    def add(self, run: PageRun) -> None:
        """Put a run at the end; raises PageError where too many wait, and after the end."""
        with self._changed:
            if self._is_closed:
                run.give_up()
                raise PageError("The page is ending.", remedy="Start it again: srn-deploy web")
            if len(self._waiting) >= self._max_waiting + (self._running is None):
                run.give_up()
                raise PageError(f"{len(self._waiting)} {'run is' if len(self._waiting) == 1 else 'runs are'} waiting "
                                "already, and no more are taken.", remedy="Try again when some are done.")
            self._waiting.append(run)
            self._changed.notify_all()

    def ahead_of(self, run: PageRun) -> int:
        """How many runs are done before this one, the one at work included; 0 where it is not waiting."""
        with self._changed:
            return self._waiting.index(run) + (self._running is not None) if run in self._waiting else 0

    def stop(self, run: PageRun) -> None:
        """Take a run out of the line, or end it after its current tile."""
        with self._changed:
            run.stop()
            if run in self._waiting:
                self._waiting.remove(run)
                run.give_up()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        """Stop every run, wait for the current tile, and free the model."""
        with self._changed:
            self._is_closed = True
            for run in (*self._waiting, *filter(None, [self._running])):
                run.stop()
            for run in self._waiting:
                run.give_up()
            self._waiting.clear()
            self._changed.notify_all()
        self._thread.join()
        self.model.close()

    def _work(self) -> None:
        while (run := self._next()) is not None:
            try:
                run.work(self.model)
            except Exception:  # noqa: BLE001  # the end of this run alone
                _log.exception("A run of the page failed")
            finally:
                with self._changed:
                    self._running = None

    def _next(self) -> PageRun | None:
        with self._changed:
            while not self._waiting and not self._is_closed:
                self._changed.wait()
            if self._is_closed:
                return None
            self._running = self._waiting.pop(0)
            return self._running
