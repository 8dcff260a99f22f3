"""The parts of one file that a worker makes: segments of a video, or bands of an image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeVar

from srn_deploy.errors import OtherRun, SrnDeployError, WorkerFailed
from srn_deploy.image import Effort
from srn_deploy.inference.band_parts import BandMaker, BandPart, band_path
from srn_deploy.inference.file_options import FileOptions
from srn_deploy.inference.jobs import Outcome
from srn_deploy.inference.ledger import Ledger, Standing
from srn_deploy.inference.plan import Job
from srn_deploy.inference.setup import Setup
from srn_deploy.inference.video_names import is_video_name
from srn_deploy.video.options import VideoOptions

MOST_ATTEMPTS = 3
"""A file or a part during which so many processes ended is not tried again."""


Tried = TypeVar("Tried")


def tried_together(items: Sequence[Tried], attempts: Callable[[Tried], int]) -> Iterator[tuple[list[Tried], int]]:
    """All during which no process of a run ended, where there are any, then each of the others alone.

    attempts: how often one ended. Yields that number, too.
    """
    ended = [(item, attempts(item)) for item in items]
    if fresh := [item for item, count in ended if not count]:
        yield fresh, 0
    yield from (([item], count) for item, count in ended if count)


def worker_ended(file: str, part: str, times: int) -> WorkerFailed:
    """The error of what is not tried again."""
    return WorkerFailed(f"{file}: the process that worked on {part} ended {times} times.",
                        remedy="Upscale it alone on one machine to see the cause; the next run tries it again.")


class PartMaker(Protocol):
    """Makes parts of one file."""

    def make(self, names: Sequence[str], begin: Callable[[str], bool]) -> None:
        """Make parts, each whole or not at all. begin: called before each; False where it is there already."""


def part_path(job: Job, name: str) -> Path:
    """Where a part of a result waits until all are there."""
    if not is_video_name(job.source):
        return band_path(job, BandPart.named(name))
    from srn_deploy.video.parts import SegmentPart  # here, because images do without PyAV

    return SegmentPart.named(name).path(job)


@dataclass(frozen=True, kw_only=True)
class HowToMake:
    """The same for all parts of a run."""

    setup: Setup
    files: FileOptions
    video: VideoOptions
    ledger: Ledger


class PartsOfFiles:
    """Makes parts, and remembers what it knows of the file that it had last."""

    def __init__(self, how: HowToMake) -> None:
        self._how, self._ledger = how, how.ledger
        self._last: tuple[Job, PartMaker] | None = None

    def made(self, job: Job, names: Sequence[str]) -> Iterator[tuple[str, Outcome]]:
        """Make some parts of a file, and yield what became of each. Those during which a process of this run ended
        come last and one by one, so that one of them alone is counted when it happens again."""
        for some, ended in tried_together(names, lambda name: self._ledger.attempts(_as_job(job, name))):
            if ended >= MOST_ATTEMPTS:
                yield some[0], Outcome(job=job, error=worker_ended(str(job.source), f"its part {some[0]}", ended))
            else:
                yield from self._tried(job, some)

    def _tried(self, job: Job, names: Sequence[str]) -> Iterator[tuple[str, Outcome]]:
        """What ends with an error is the end of all parts that were to come after it."""
        if not names:
            return
        begun, error = _Begun(job, self._ledger), None
        try:
            self._maker(job).make(names, begun.begin)
        except SrnDeployError as failure:
            error = failure
        there = begun.end(names, are_all_there=error is None)
        for name in names:
            yield name, Outcome(job=job, error=None if name in there else error)

    def _maker(self, job: Job) -> PartMaker:
        if self._last is None or self._last[0] != job:
            self._last = None  # its memory is needed
            self._last = job, (_SegmentParts if is_video_name(job.source) else _BandParts)(job, self._how)
        return self._last[1]


class _Begun:
    """What the ledger is told of the parts that are being made."""

    def __init__(self, job: Job, ledger: Ledger) -> None:
        self._job, self._ledger = job, ledger
        self._open = dict[str, Job]()
        self._there = set[str]()

    def begin(self, name: str) -> bool:
        """Claim a part; False where it is finished. Raises OtherRun where another run has it, and LedgerError."""
        self._note()
        part = _as_job(self._job, name)
        state = self._ledger.claim(part)
        if state.standing is Standing.ELSEWHERE:
            raise OtherRun(f"{part.target} is made by {self._ledger.who(state)}.",
                           remedy="Let it finish, or choose another output.")
        if state.standing is Standing.FINISHED:
            self._there.add(name)
            return False
        self._open[name] = part
        return True

    def end(self, names: Sequence[str], *, are_all_there: bool) -> set[str]:
        """The names of the parts that are there; the others that were begun are noted as failed."""
        self._note()
        for part in self._open.values():
            self._ledger.fail(part)
        return self._there | (set(names) if are_all_there else set())

    def _note(self) -> None:
        """Parts are noted as soon as they are whole, not when the batch is: its process may end before."""
        for name in [name for name, part in self._open.items() if part.target.exists()]:
            self._ledger.finish(self._open.pop(name))
            self._there.add(name)


def _as_job(job: Job, name: str) -> Job:
    """A part as the ledger knows it."""
    return replace(job, target=part_path(job, name))


class _SegmentParts:
    def __init__(self, job: Job, how: HowToMake) -> None:
        from srn_deploy.video.parts import SegmentMaker  # here, because images do without PyAV

        self._maker = SegmentMaker(job, how.setup, how.video, max_megapixels=how.files.max_megapixels)

    def make(self, names: Sequence[str], begin: Callable[[str], bool]) -> None:
        from srn_deploy.video.parts import SegmentPart

        self._maker.make([SegmentPart.named(name) for name in names], lambda part: begin(part.name))


class _BandParts:
    def __init__(self, job: Job, how: HowToMake) -> None:
        self._maker = BandMaker(job, how.setup, Effort.named(how.files.effort or Effort.NORMAL),
                                max_megapixels=how.files.max_megapixels,
                                most_bytes=None if how.files.memory is None else how.files.most_bytes())

    def make(self, names: Sequence[str], begin: Callable[[str], bool]) -> None:
        for name in names:
            if begin(name):
                self._maker.make(BandPart.named(name))
