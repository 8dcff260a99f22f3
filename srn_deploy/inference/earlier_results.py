"""Results of earlier runs: which exist, and which no longer belong to their images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from pathlib import Path

from srn_deploy.errors import ImageError, UnwritableImage
from srn_deploy.image import image_size
from srn_deploy.inference.plan import Job

_THREADS = 4
"""Files are read whole, which waits for the disk more than it computes."""


class Fault(StrEnum):
    """Why a result should be made again, as it is said of several."""

    OLDER = "are outdated, because their images are newer"
    OTHER_SIZE = "are of another size than this run gives"
    NOT_WHOLE = "are not whole images"


_OF_ONE = {Fault.OLDER: "is outdated, because its image is newer",
           Fault.OTHER_SIZE: "is of another size than this run gives", Fault.NOT_WHOLE: "is not a whole image"}


@dataclass(frozen=True, kw_only=True)
class Outdated:
    """A job whose target exists and should be made again."""

    job: Job
    fault: Fault


@dataclass(frozen=True, kw_only=True)
class EarlierResults:
    """What is left to do of some jobs."""

    missing: tuple[Job, ...]
    """Jobs without a result."""
    outdated: tuple[Outdated, ...]

    def to_do(self, jobs: Iterable[Job]) -> list[Job]:
        """Those of the jobs that have no result or an outdated one, in their order."""
        wanted = {*self.missing, *(each.job for each in self.outdated)}
        return [job for job in jobs if job in wanted]

    def sentences(self) -> Iterator[str]:
        """One for each fault, without its full stop: how many results have it, and the first."""
        for fault in Fault:
            if targets := [each.job.target for each in self.outdated if each.fault is fault]:
                yield f"{targets[0]} {_OF_ONE[fault]}" if len(targets) == 1 else \
                    f"{len(targets)} outputs {fault}, {targets[0]} is the first"


def pending(jobs: Iterable[Job]) -> list[Job]:
    """The jobs whose target does not exist yet, or is empty."""
    return [job for job in jobs if not (job.target.is_file() and job.target.stat().st_size)]


def compare_with_sources(jobs: Sequence[Job], scale: int) -> EarlierResults:
    """Compare the results that exist with their images: by time, then by size, then whether the file is whole.

    scale: of the model that would run. A result is older where its image was modified after it was written. Images
    that cannot be read are not compared.
    """
    missing = pending(jobs)
    without = set(missing)
    existing = [job for job in jobs if job not in without]
    with ThreadPoolExecutor(max_workers=_THREADS, thread_name_prefix="compare") as threads:
        faults = list(threads.map(lambda job: _fault(job, scale), existing))
    outdated = (Outdated(job=job, fault=fault) for job, fault in zip(existing, faults, strict=True) if fault)
    return EarlierResults(missing=tuple(missing), outdated=tuple(outdated))


def _fault(job: Job, scale: int) -> Fault | None:
    source, target = _modified(job.source), _modified(job.target)
    if source is not None and target is not None and source > target:
        return Fault.OLDER
    if (source_px := _size(job.source)) is None:
        return None
    if (target_px := _size(job.target)) is None:
        return Fault.NOT_WHOLE
    try:
        return None if target_px == job.size.of(*source_px, factor=scale) else Fault.OTHER_SIZE
    except UnwritableImage:  # more than the model gives: the run says so
        return Fault.OTHER_SIZE


def _modified(path: Path) -> int | None:
    """In nanoseconds; None for a file that is gone."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return None


def _size(path: Path) -> tuple[int, int] | None:
    """(height, width) in pixels; None for a file that is not a whole image."""
    try:
        return image_size(path, max_megapixels=inf)
    except ImageError:
        return None
