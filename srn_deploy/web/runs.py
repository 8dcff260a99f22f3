"""One visitor's run over pictures: how far it is, what became of each picture, and how it is stopped."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

from srn_deploy.errors import ImageError, OutOfMemory, SrnDeployError
from srn_deploy.image import image_size
from srn_deploy.inference.file_options import FileOptions
from srn_deploy.inference.guard import Verdict
from srn_deploy.inference.jobs import run_jobs
from srn_deploy.inference.plan import plan_jobs
from srn_deploy.inference.result_options import ResultOptions
from srn_deploy.inference.setup import Setup
from srn_deploy.web.one_model import OneModel
from srn_deploy.web.wanted import Choice

_log = logging.getLogger(__name__)


class PageRunState(Enum):
    """Where a run is."""

    WAITING = "waiting"
    OPENING = "opening"
    RUNNING = "running"
    STOPPED = "stopped"
    DONE = "done"
    FAILED = "failed"

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens."""
        return self in (PageRunState.STOPPED, PageRunState.DONE, PageRunState.FAILED)


@dataclass(frozen=True, kw_only=True)
class PictureResult:
    """What became of one picture."""

    source: Path
    target: Path | None = None
    """The file that the command line would have written; None where there is an error."""
    error: SrnDeployError | None = None
    sentences: tuple[str, ...] = ()
    """What was lost, and what the guard found."""
    verdicts: tuple[Verdict, ...] = ()
    """Of the guard, on blocks of the picture."""


@dataclass(frozen=True, kw_only=True)
class RunProgress:
    """How far a run is."""

    state: PageRunState = PageRunState.WAITING
    picture: str = ""
    """The name of the current one."""
    finished: int = 0
    total: int = 0
    """Pictures."""
    share: float = 0.0
    """Of the work that is done, by pixels, 0..1."""
    seconds_left: float | None = None
    """As far as can be told from what is done."""
    error: SrnDeployError | None = None
    """Why the whole run failed."""
    command: str = ""
    """The command line that makes the same files."""


class _StopRun(Exception):  # no error: what the visitor asked for
    """Ends the network's work after a tile."""


@dataclass(eq=False, kw_only=True)
class PageRun:
    """Pictures, what is wanted of them and where results go. `stop` and the properties may be used on any thread."""

    sources: Sequence[Path]
    choice: Choice
    folder: Path
    files: FileOptions = field(default_factory=FileOptions)
    _results: list[PictureResult] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _over: threading.Event = field(default_factory=threading.Event)
    _progress: RunProgress = field(default_factory=RunProgress)
    _pixels: list[int] = field(default_factory=list)
    _began: float = 0.0

    @property
    def progress(self) -> RunProgress:
        """How far it is now."""
        return self._progress

    @property
    def results(self) -> tuple[PictureResult, ...]:
        """What is finished."""
        return tuple(self._results)

    def stop(self) -> None:
        """End it after the current tile; what is finished stays."""
        self._stop.set()

    def wait(self) -> None:
        """Return when it is over."""
        self._over.wait()

    def give_up(self) -> None:
        """Say that it ended before it began."""
        self._set(state=PageRunState.STOPPED)

    def work(self, model: OneModel) -> None:
        """Do it, on the thread that holds the model. Every error becomes part of the progress or of a result."""
        try:
            self._work(model)
        except _StopRun:
            self._set(state=PageRunState.STOPPED, seconds_left=None)
        except SrnDeployError as error:
            self._set(state=PageRunState.FAILED, error=error, seconds_left=None)
        except MemoryError:
            self._set(state=PageRunState.FAILED, seconds_left=None, error=OutOfMemory(
                "There is not enough memory for this run.", remedy="Free memory, or take smaller pictures."))
        except BaseException:
            self._set(state=PageRunState.FAILED, seconds_left=None, error=SrnDeployError(
                "The run ended by a fault of the program.", remedy="What the page's terminal says helps to mend it."))
            raise

    def _work(self, model: OneModel) -> None:
        self._check_stop()
        self._set(state=PageRunState.OPENING, total=len(self.sources))
        setup = model.setup(self.choice.model, self.choice.guard)
        self._set(command=self.choice.command(model.settings(self.choice.model)))
        self._pixels = [_pixels_of(source) for source in self.sources]
        self._began = time.monotonic()
        for number, source in enumerate(self.sources):
            self._check_stop()
            self._set(state=PageRunState.RUNNING, picture=source.name, finished=number)
            self._results.append(self._one(number, source, setup))
            self._advance(number + 1, 0.0)
        self._set(state=PageRunState.DONE, finished=len(self.sources), share=1.0, seconds_left=None)

    def _one(self, number: int, source: Path, setup: Setup) -> PictureResult:
        verdicts: list[Verdict] = []

        def on_tile(done: int, total: int) -> None:
            self._advance(number, done / total)
            self._check_stop()

        try:
            jobs = plan_jobs(source, f"{self.folder / str(number)}/", self.choice.suffix,
                             wanted=ResultOptions(size=self.choice.size))
            watched = replace(setup, on_tile=on_tile, on_verdict=verdicts.append)
            outcome = next(iter(list(run_jobs(jobs, watched, self.files))), None)
        except SrnDeployError as error:
            return PictureResult(source=source, error=error)
        if outcome is None or outcome.error is not None:
            return PictureResult(source=source, error=outcome.error if outcome else None)
        return PictureResult(source=source, target=outcome.job.target, sentences=outcome.losses + outcome.findings,
                             verdicts=tuple(verdicts))

    def _advance(self, finished: int, share: float) -> None:
        current = self._pixels[finished] if finished < len(self._pixels) else 0
        done = (sum(self._pixels[:finished]) + share * current) / max(1, sum(self._pixels))
        passed = time.monotonic() - self._began
        self._set(finished=finished, share=done, seconds_left=passed * (1 - done) / done if done > 0 else None)

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise _StopRun

    def _set(self, **changes: object) -> None:
        self._progress = replace(self._progress, **changes)  # type: ignore[arg-type]  # fields by name
        if self._progress.state.is_over:
            self._over.set()


def _pixels_of(source: Path) -> int:
    """Of a picture, at least one, so that each counts; what cannot be read says so when its turn comes."""
    try:
        height, width = image_size(source)
    except (ImageError, OSError):
        return 1
    return max(1, height * width)
