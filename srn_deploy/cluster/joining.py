"""Files whose parts several workers make: claimed and held while these are at work, and joined when all are there."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from srn_deploy.errors import SrnDeployError
from srn_deploy.image import Effort
from srn_deploy.inference.band_parts import BandPart, clear_bands, held_bands, join_bands
from srn_deploy.inference.file_options import FileOptions
from srn_deploy.inference.jobs import Outcome
from srn_deploy.inference.ledger import Ledger, Standing
from srn_deploy.inference.plan import Job
from srn_deploy.inference.video_names import is_video_name
from srn_deploy.system.file_times import kept_time
from srn_deploy.video.options import VideoOptions

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class HowToJoin:
    """The same for all files of a run."""

    files: FileOptions
    video: VideoOptions
    ledger: Ledger


@dataclass(kw_only=True)
class _Divided:
    """A file of which parts are still out."""

    job: Job
    names: Sequence[str]
    left: set[str]
    error: SrnDeployError | None = None


class DividedFiles:
    """The files of a run that are divided. Use it as a context manager: it holds their folders.

    jobs: with whole paths. names: place of a file in the run to the names of its parts.
    """

    def __init__(self, jobs: Sequence[Job], names: Mapping[int, Sequence[str]], how: HowToJoin) -> None:
        self._jobs, self._how, self._ledger = jobs, how, how.ledger
        self.names = dict(names)
        """Of those that are this run's."""
        self._open: dict[int, _Divided] = {}
        self._held = ExitStack()

    def begin(self) -> Iterator[tuple[int, Outcome]]:
        """Claim every file and hold its folder; yields those that are not to be made here, and what became of them."""
        for number, names in list(self.names.items()):
            job = self._jobs[number]
            try:
                state = self._ledger.claim(job)
                if state.standing is Standing.OURS:
                    self._held.enter_context(_held(job))
                    self._open[number] = _Divided(job=job, names=names, left=set(names))
                    _log.info("%s is divided among workers, in %d parts.", job.source, len(names))
                    continue
                outcome = Outcome(job=job, elsewhere=state)
            except SrnDeployError as error:
                self._ledger.fail(job)
                outcome = Outcome(job=job, error=error)
            del self.names[number]
            yield number, outcome

    def end_part(self, number: int, name: str, error: SrnDeployError | None) -> Outcome | None:
        """Note that a worker is done with a part of a file; the outcome of the file where it was the last one."""
        file = self._open[number]
        file.left.discard(name)
        file.error = file.error or error
        if file.left:
            return None
        del self._open[number]
        outcome = Outcome(job=file.job, error=file.error) if file.error else self._joined(file)
        try:
            if outcome.error is None:
                self._ledger.finish(file.job, outcome.losses, outcome.findings)
            else:
                self._ledger.fail(file.job)
        except SrnDeployError as failure:
            return Outcome(job=file.job, error=failure)
        return outcome

    def _joined(self, file: _Divided) -> Outcome:
        try:
            return (_joined_video if is_video_name(file.job.source) else _joined_image)(file.job, file.names, self._how)
        except SrnDeployError as error:
            return Outcome(job=file.job, error=error)

    def write_beginnings(self) -> None:
        """Of each video that is not finished, write what is there as a video that plays."""
        for file in self._open.values():
            if is_video_name(file.job.source):
                from srn_deploy.video.parts import join_beginning  # here, because images do without PyAV

                with suppress(SrnDeployError):  # nothing of it was begun
                    join_beginning(file.job, self._how.video)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self._held.close()


def _held(job: Job) -> AbstractContextManager[None]:
    if not is_video_name(job.source):
        return held_bands(job)
    from srn_deploy.video.work_folder import held_for_workers  # here, because images do without PyAV

    return held_for_workers(job.target)


def _joined_image(job: Job, names: Sequence[str], how: HowToJoin) -> Outcome:
    losses, findings = join_bands(job, [BandPart.named(name) for name in names],
                                  Effort.named(how.files.effort or Effort.NORMAL),
                                  max_megapixels=how.files.max_megapixels)
    clear_bands(job)
    return Outcome(job=job, losses=losses, findings=findings)


def _joined_video(job: Job, names: Sequence[str], how: HowToJoin) -> Outcome:
    from srn_deploy.video.jobs import sentences_of  # here, because images do without PyAV
    from srn_deploy.video.parts import join_video

    findings = tuple(sentences_of(join_video(job, how.video)))
    lost = kept_time(job.source, job.target) if job.wanted.keep_times else ()
    return Outcome(job=job, losses=lost, findings=findings)
