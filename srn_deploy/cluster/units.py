"""What is handed out: files, and of what is larger than a fair share its segments or bands. Paths and names alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from srn_deploy.errors import ImageError, VideoError
from srn_deploy.image import image_size
from srn_deploy.inference.band_parts import bands_in
from srn_deploy.inference.plan import Job
from srn_deploy.inference.video_names import is_video_name

FEWEST_IN_BATCH, MOST_IN_BATCH = 8, 128
"""Images that a worker is given at once: at the end of a batch the network waits while the last are encoded and the
first of the next are decoded, and of a batch nothing is told before its end."""

BYTES_OF_BATCH = 2**24
"""Of the files of a batch with more than the fewest images: of large images the work lasts long enough."""

BATCHES_OF_WORKER = 4
"""At least, so that the last batches of slow and fast workers end at about the same time. A file that is larger than
such a part of all files would keep its worker busy when the others have ended."""


@dataclass(frozen=True, kw_only=True)
class WorkUnit:
    """What becomes of it is told by one row."""

    job: int
    """Its place in the run."""
    part: str = ""
    """The name of a segment or a band; empty for a whole file."""


def divided(jobs: Sequence[Job], workers: int, *, max_megapixels: float) -> dict[int, Sequence[str]]:
    """Which files are divided among workers, by their place, and the names of their parts.

    Only files that hold more than one part in BATCHES_OF_WORKER * workers of all bytes are looked into, and only by
    their headers and packets. What cannot be read is not divided: the worker that gets it says why.
    """
    if workers < 2:
        return {}
    sizes = [_bytes_of(job.source) for job in jobs]
    fair = sum(sizes) / (BATCHES_OF_WORKER * workers)
    parts = {number: _parts_of(jobs[number], max_megapixels) for number, size in enumerate(sizes) if size > fair}
    return {number: names for number, names in parts.items() if len(names) > 1}


def _bytes_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _parts_of(job: Job, max_megapixels: float) -> Sequence[str]:
    try:
        if is_video_name(job.source):
            from srn_deploy.video.parts import parts_of_video  # here, because images do without PyAV

            return [part.name for part in parts_of_video(job.source)]
        if job.wanted.frame is not None:
            return ()
        return [part.name for part in bands_in(job, *image_size(job.source, max_megapixels=max_megapixels))]
    except (ImageError, VideoError):
        return ()


def batches_of(jobs: Sequence[Job], workers: int, parts: Mapping[int, Sequence[str]]) -> Iterator[list[WorkUnit]]:
    """The units as they are handed out: parts of what is divided, then each other video alone, then images.

    A worker gets neighbouring segments, of which it reads the source once, and one band at a time.
    """
    for number, names in parts.items():
        fair = ceil(len(names) / (workers * BATCHES_OF_WORKER))
        most = max(1, fair) if is_video_name(jobs[number].source) else 1
        for first in range(0, len(names), most):
            yield [WorkUnit(job=number, part=name) for name in names[first:first + most]]
    whole = [number for number in range(len(jobs)) if number not in parts]
    images = [number for number in whole if not is_video_name(jobs[number].source)]
    yield from ([WorkUnit(job=number)] for number in whole if is_video_name(jobs[number].source))
    most = MOST_IN_BATCH if workers == 1 else min(MOST_IN_BATCH, ceil(len(images) / (workers * BATCHES_OF_WORKER)))
    batch, held = list[WorkUnit](), 0
    for number in images:
        size = _bytes_of(jobs[number].source)
        if len(batch) >= most or (len(batch) >= FEWEST_IN_BATCH and held + size > BYTES_OF_BATCH):
            yield batch
            batch, held = [], 0
        batch.append(WorkUnit(job=number))
        held += size
    if batch:
        yield batch
