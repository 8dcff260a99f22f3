"""Many image files: how decoding, inference and encoding overlap, and what becomes of each."""

from __future__ import annotations

import errno
import logging
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from srn_deploy.errors import OutOfMemory, SrnDeployError, UnwritableImage
from srn_deploy.image import (
    MAX_MEGAPIXELS,
    WITH_QUALITY,
    Image,
    check_writable,
    container_of,
    is_image_name,
    losses,
    read_image,
    write_image,
)
from srn_deploy.inference.arrays import Sentences
from srn_deploy.inference.bands import LargeImage, large_file, large_image, upscale_by_bands
from srn_deploy.inference.plan import Job
from srn_deploy.inference.setup import Setup
from srn_deploy.inference.sizing import Upscaled, needs_network, upscaled
from srn_deploy.inference.upscale import check_takes
from srn_deploy.system.atomic import DISK_IS_FULL, sweep
from srn_deploy.system.file_times import kept_time

AHEAD = 2
"""Images that may wait decoded before the network, and for encoding after it: bounds the memory."""

_NOTHING_FITS = {*DISK_IS_FULL, errno.EROFS}
"""Errors of a whole disk: images after them would be computed for nothing."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result of a job: its target is whole, or there is an error."""

    job: Job
    error: SrnDeployError | None = None
    losses: Sentences = ()
    """What reading changed, and what of the source the target's format cannot hold."""
    findings: Sentences = ()
    """What the guard found."""


def formats_without_quality(jobs: Iterable[Job]) -> tuple[str, ...]:
    """Names of the formats among the targets that have no quality; targets of an unknown format are left out."""
    formats = {container_of(job.target) for job in jobs if is_image_name(job.target)}
    return tuple(sorted(formats - WITH_QUALITY))


def clear_leftovers(jobs: Iterable[Job]) -> None:
    """Remove half-written files of killed runs from the target folders; files of a run in progress stay."""
    for folder in {Path(os.path.realpath(job.target)).parent for job in jobs}:
        sweep(folder)


def upscale_image(image: Image, setup: Setup) -> tuple[Image, Sentences]:
    """A decoded image, upscaled in colour and alpha, with its metadata in the new size; and what the guard found."""
    large, findings = upscaled(image, setup)
    return large.finished(), findings


def run_jobs(jobs: Iterable[Job], setup: Setup, *, quality: int | None = None,
             max_megapixels: float = MAX_MEGAPIXELS) -> Iterator[Outcome]:
    """Run jobs and yield their outcomes in order, each when its file is whole; a bad image does not stop the rest.

    quality: of JPEG and WebP, 1..100. max_megapixels: larger images are refused before they are decoded. What an
    image loses is logged as a warning before the network runs on it, and what the guard finds afterwards.

    When the consumer stops (Ctrl-C), files that are being written are finished and no others are started. Leftovers of
    killed runs are removed first. On a full disk the run ends early: images that were not started have no outcome.
    """
    jobs = list(jobs)
    clear_leftovers(jobs)

    def read(job: Job) -> Image | LargeImage:
        if job.wanted.frame is None and (large := large_file(job, setup, max_megapixels=max_megapixels)):
            _check(job, large.header, setup)
            return large
        image = read_checked(job, setup, max_megapixels=max_megapixels)
        return large_image(job, image, setup) or image

    codec_threads = min(AHEAD, setup.threads)
    with ThreadPoolExecutor(max_workers=codec_threads, thread_name_prefix="codec") as codecs:
        writing: deque[tuple[Job, Future[Sentences], Sentences]] = deque()
        try:
            for job, image in _prefetched(jobs, read, codecs):
                _warn_of_losses(job, image)
                writing.append((job, *_upscaled_and_written(job, image, setup, quality, codecs)))
                if len(writing) >= AHEAD:
                    yield (outcome := _outcome(*writing.popleft()))
                    if _is_full(outcome):
                        break
            while writing:
                yield _outcome(*writing.popleft())
        finally:
            codecs.shutdown(cancel_futures=True)


def _is_full(outcome: Outcome) -> bool:
    cause = outcome.error.__cause__ if isinstance(outcome.error, UnwritableImage) else None
    return isinstance(cause, OSError) and cause.errno in _NOTHING_FITS


def _warn_of_losses(job: Job, image: Future[Image | LargeImage]) -> None:
    """Log what an image that was read will lose; an image that cannot be read has its error in its outcome."""
    if image.exception() is None:
        read = image.result()
        decoded = read.header if isinstance(read, LargeImage) else read
        _warn(job, decoded.remarks + losses(job.target, decoded))


def _warn(job: Job, sentences: Sentences) -> None:
    """Log each sentence, with the file where the sentence does not name it."""
    for sentence in sentences:
        named = "" if str(job.source) in sentence else f"{job.source}: "
        _log.warning("%s%s", named, sentence)


def _write(job: Job, large: Upscaled, quality: int | None) -> Sentences:
    image = large.finished()
    return image.remarks + write_image(job.target, image, quality=quality) + _times_kept(job)


def _times_kept(job: Job) -> Sentences:
    """Give a result that is written the time of its image where that is wanted; a sentence where it fails."""
    return kept_time(job.source, job.target) if job.wanted.keep_times else ()


def _upscaled_and_written(job: Job, image: Future[Image | LargeImage], setup: Setup, quality: int | None,
                          codecs: ThreadPoolExecutor) -> tuple[Future[Sentences], Sentences]:
    """Upscale now and write in the background; an error waits for its turn in the future, too.

    What is written by bands is written when this returns.
    """
    written: Future[Sentences] = Future()
    try:
        decoded = image.result()
        if isinstance(decoded, LargeImage):
            lost, findings = upscale_by_bands(decoded, setup)
            written.set_result(lost + _times_kept(job))
            _warn(job, findings)
            return written, findings
        large, findings = upscaled(decoded, setup, job.size)
    except (SrnDeployError, MemoryError) as error:
        written.set_exception(error)
        return written, ()
    _warn(job, findings)
    return codecs.submit(_write, job, large, quality), findings


def _prefetched(jobs: Iterable[Job], read: Callable[[Job], Image | LargeImage],
                codecs: ThreadPoolExecutor) -> Iterator[tuple[Job, Future[Image | LargeImage]]]:
    """Jobs with their images being decoded, at most AHEAD of them at once."""
    remaining = iter(jobs)
    waiting = deque((job, codecs.submit(read, job)) for job in islice(remaining, AHEAD))
    while waiting:
        yield waiting.popleft()
        waiting.extend((job, codecs.submit(read, job)) for job in islice(remaining, 1))


def read_checked(job: Job, setup: Setup, *, max_megapixels: float = MAX_MEGAPIXELS) -> Image:
    """Decode an image and check, before the network runs, that the model takes it and the target can hold the result.

    Raises UnreadableImage, UnsupportedImage, UnsuitableBatch or UnwritableImage.
    """
    image = read_image(job.source, max_megapixels=max_megapixels, frame=job.wanted.frame)
    _check(job, image, setup)
    return image


def _check(job: Job, image: Image, setup: Setup) -> None:
    """Raise the errors of `read_checked` for an image, of whose pixels only the shape is used."""
    scale = setup.backend.spec.scale
    if not setup.fallback:
        check_takes(image.pixels.dtype, setup.backend.spec)
    height, width = job.size.of(image.height, image.width, factor=scale)
    check_writable(job.target, height=height, width=width,
                   has_alpha=image.alpha is not None, bits=8 * image.pixels.dtype.itemsize)
    if not needs_network(job.size, image.height, image.width, factor=scale):
        _log.info("%s has %d x %d px, no fewer than its result: it is reduced without the network.", job.source,
                  image.width, image.height)


def _outcome(job: Job, written: Future[Sentences], findings: Sentences) -> Outcome:
    try:
        return Outcome(job=job, losses=written.result(), findings=findings)
    except SrnDeployError as error:
        return Outcome(job=job, error=error)
    except MemoryError as error:
        shortage = OutOfMemory(f"There is not enough memory for {job.source} and its result.",
                               remedy="Free memory, or cut the image into parts.")
        shortage.__cause__ = error
        return Outcome(job=job, error=shortage)
