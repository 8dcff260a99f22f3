"""Many pictures: what is read goes where, and decoding, inference and encoding overlap."""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from srn_deploy.backends.protocol import Backend
from srn_deploy.errors import OptionError, OutOfMemory, SrnDeployError, UnreadableImage, UnwritableImage
from srn_deploy.image import (
    MAX_MEGAPIXELS,
    SUFFIXES,
    WITH_QUALITY,
    Image,
    check_writable,
    container_of,
    find_images,
    losses,
    read_image,
    write_image,
)
from srn_deploy.inference.guard import Guard
from srn_deploy.inference.guarded import Companion, Damages, upscale_picture
from srn_deploy.inference.upscale import OnTile, check_takes
from srn_deploy.system.atomic import DISK_IS_FULL, sweep
from srn_deploy.tiling.windows import TileOptions

Losses = tuple[str, ...]
"""What reading changed, and what of a source the target's format cannot hold, as sentences."""

AHEAD = 2
"""Pictures that may wait decoded before the network, and encoded behind it: bounds the memory."""


_NOTHING_FITS = {*DISK_IS_FULL, errno.EROFS}
"""Errors of a whole disk: what comes after them would be computed for nothing."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One picture to read and the file to write."""

    source: Path
    target: Path


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a job."""

    job: Job
    error: SrnDeployError | None = None
    losses: Losses = ()
    damage: Damages = ()
    """What the guard found, as sentences."""


OnWarning = Callable[[Job, str], None]
"""Called with a sentence on what of a picture will be lost or was changed, before the network runs on it."""


def plan_jobs(source: Path, target: Path, suffix: str | None = None) -> list[Job]:
    """One job for a file, one for each picture of a folder (the tree is kept).

    suffix: what every target gets instead of its own, with its dot; a single file that is named keeps its name.
    Raises an error before any work if a target would overwrite a source, or two sources would share a target.
    """
    try:
        jobs = _with_suffix(_planned(source, target), target, suffix)
        originals = {os.path.realpath(job.source) for job in jobs}
        overwriting = next((job for job in jobs if os.path.realpath(job.target) in originals), None)
    except OSError as error:  # names that are too long
        raise OptionError(f"{error.filename}: {error.strerror}.", remedy="Check the path.") from error
    if overwriting is not None:
        raise UnwritableImage(f"{overwriting.target} is one of the pictures to be read and would be overwritten.",
                              remedy="Choose another output.")
    _refuse_shared_targets(jobs)
    return jobs


def _with_suffix(jobs: list[Job], target: Path, suffix: str | None) -> list[Job]:
    if suffix is None:
        return jobs
    named = [job.target for job in jobs if job.target == target and target.suffix]
    if named and container_of(named[0]) is not container_of(Path(f"any{suffix}")):
        raise OptionError(f"{target} is no {suffix} file, which --format asks for.",
                          remedy="Leave --format out, or the suffix of the output.")
    return [job if job.target in named else replace(job, target=job.target.with_suffix(suffix)) for job in jobs]


def _refuse_shared_targets(jobs: list[Job]) -> None:
    """Raise UnwritableImage if one result would overwrite another."""
    first: dict[Path, Path] = {}
    for job in jobs:
        other = first.setdefault(job.target, job.source)
        if other != job.source:
            raise UnwritableImage(f"{other} and {job.source} would both become {job.target}.",
                                  remedy="Give them different names, or upscale them into different folders.")


def _planned(source: Path, target: Path) -> list[Job]:
    if source.is_dir():
        return _folder_jobs(source, target)
    if source.exists():
        return [Job(source=source, target=target / source.name if target.is_dir() else target)]
    raise UnreadableImage(f"{source} does not exist.", remedy="Check the path.")


def _folder_jobs(source: Path, target: Path) -> list[Job]:
    if target.is_file():
        raise OptionError(f"{source} is a folder and {target} is a file.", remedy="Give a folder as the output.")
    found = find_images(source)
    if target.resolve().is_relative_to(source.resolve()) and target.resolve() != source.resolve():
        # Results of an earlier run inside the source are no inputs.
        found = [path for path in found if not path.parent.resolve().is_relative_to(target.resolve())]
    if not found:
        raise UnreadableImage(f"{source} holds no picture.",
                              remedy=f"Give a folder with files of {', '.join(SUFFIXES)}.")
    return [Job(source=path, target=target / path.relative_to(source)) for path in found]


def formats_without_quality(jobs: Iterable[Job]) -> tuple[str, ...]:
    """The formats among the targets that a quality does nothing to, by name; targets of no format have an error."""
    formats = {container_of(job.target) for job in jobs if job.target.suffix.lower() in SUFFIXES}
    return tuple(sorted(formats - WITH_QUALITY))


def pending(jobs: Iterable[Job]) -> list[Job]:
    """The jobs whose target is not there yet; what a run of ours wrote is whole, see `atomic`."""
    return [job for job in jobs if not (job.target.is_file() and job.target.stat().st_size)]


def clear_leftovers(jobs: Iterable[Job]) -> None:
    """Remove what a killed run left half written where these jobs write; what another run is writing stays."""
    for folder in {Path(os.path.realpath(job.target)).parent for job in jobs}:
        sweep(folder)


def upscale_image(image: Image, backend: Backend, options: TileOptions | None = None,
                  on_tile: OnTile = lambda done, total: None, *, guard: Guard = Guard.WARN,
                  companion: Companion | None = None) -> tuple[Image, Damages]:
    """Colour and alpha of a decoded picture upscaled, its metadata kept; and what the guard found."""
    colour, alpha, damage = upscale_picture(image.pixels, image.alpha, backend, options, on_tile, guard=guard,
                                            companion=companion)
    return replace(image, pixels=colour, alpha=alpha), damage


def run_jobs(jobs: Iterable[Job], backend: Backend, options: TileOptions | None = None,
             on_tile: OnTile = lambda done, total: None, *, quality: int | None = None, guard: Guard = Guard.WARN,
             companion: Companion | None = None, max_megapixels: float = MAX_MEGAPIXELS,
             on_warning: OnWarning = lambda job, sentence: None) -> Iterator[Outcome]:
    """Run jobs and yield their outcomes in order, each when its file is whole; a bad picture does not stop the rest.

    What an outcome tells in `losses` is told to on_warning already before the network runs on the picture.

    When the consumer stops (Ctrl-C), files that are being written are finished; no others are begun.
    Leftovers of killed runs are cleared first. On a full disk the run ends early: pictures that were not begun
    have no outcome.
    """
    jobs = list(jobs)
    clear_leftovers(jobs)

    def read(job: Job) -> Image:
        return read_checked(job, backend, companion, max_megapixels=max_megapixels)

    def upscaled(image: Image) -> tuple[Image, Damages]:
        return upscale_image(image, backend, options, on_tile, guard=guard, companion=companion)

    with ThreadPoolExecutor(max_workers=AHEAD, thread_name_prefix="codec") as codecs:
        writing: deque[tuple[Job, Future[Losses], Damages]] = deque()
        try:
            for job, image in _prefetched(jobs, read, codecs):
                _warn(job, image, on_warning)
                writing.append((job, *_upscaled_and_written(job, image, upscaled, quality, codecs)))
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


def _warn(job: Job, image: Future[Image], on_warning: OnWarning) -> None:
    """Tell what a picture that was read will lose; one that failed tells its error in its turn."""
    if image.exception() is None:
        for sentence in _losses(job, image.result()):
            on_warning(job, sentence)


def _losses(job: Job, image: Image) -> Losses:
    return image.remarks + losses(job.target, image)


def _write(job: Job, image: Image, quality: int | None) -> Losses:
    return image.remarks + write_image(job.target, image, quality=quality)


def _upscaled_and_written(job: Job, image: Future[Image], upscaled: Callable[[Image], tuple[Image, Damages]],
                          quality: int | None, codecs: ThreadPoolExecutor) -> tuple[Future[Losses], Damages]:
    """Upscale here and now, write behind; what fails here waits its turn in the future too."""
    try:
        large, damage = upscaled(image.result())
    except (SrnDeployError, MemoryError) as error:
        failed: Future[Losses] = Future()
        failed.set_exception(error)
        return failed, ()
    return codecs.submit(_write, job, large, quality), damage


def _prefetched(jobs: Iterable[Job], read: Callable[[Job], Image],
                codecs: ThreadPoolExecutor) -> Iterator[tuple[Job, Future[Image]]]:
    """Jobs with their pictures being decoded, at most AHEAD of them at once."""
    remaining = iter(jobs)
    waiting = deque((job, codecs.submit(read, job)) for job in islice(remaining, AHEAD))
    while waiting:
        yield waiting.popleft()
        waiting.extend((job, codecs.submit(read, job)) for job in islice(remaining, 1))


def read_checked(job: Job, backend: Backend, companion: Companion | None = None, *,
                 max_megapixels: float = MAX_MEGAPIXELS) -> Image:
    """Decode, and find out before the work whether the target can hold the result."""
    image = read_image(job.source, max_megapixels=max_megapixels)
    scale = backend.spec.scale
    if not companion:
        check_takes(image.pixels.dtype, backend.spec)
    check_writable(job.target, height=image.height * scale, width=image.width * scale,
                   has_alpha=image.alpha is not None, bits=8 * image.pixels.dtype.itemsize)
    return image


def _outcome(job: Job, written: Future[Losses], damage: Damages) -> Outcome:
    try:
        return Outcome(job=job, losses=written.result(), damage=damage)
    except SrnDeployError as error:
        return Outcome(job=job, error=error)
    except MemoryError as error:
        shortage = OutOfMemory(f"There is no memory for {job.source} and its result.",
                               remedy="Free memory, or cut the picture into parts.")
        shortage.__cause__ = error
        return Outcome(job=job, error=shortage)
