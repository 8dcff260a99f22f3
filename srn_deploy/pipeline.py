"""Many pictures: what is read goes where, and decoding, inference and encoding overlap."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from srn_deploy.backends.protocol import Backend
from srn_deploy.errors import ImageError, OptionError, SrnDeployError, UnreadableImage, UnwritableImage
from srn_deploy.image import Image, check_writable, find_images, read_image, write_image
from srn_deploy.upscale import OnTile, TileOptions, upscale_array

AHEAD = 2
"""Pictures that may wait decoded before the network, and encoded behind it: bounds the memory."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One picture to read and the file to write."""

    source: Path
    target: Path


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a job: an error, or the seconds of network time."""

    job: Job
    seconds: float = 0.0
    error: SrnDeployError | None = None
    losses: tuple[str, ...] = ()
    """What of the source the target's format cannot hold, as sentences."""


def plan_jobs(source: Path, target: Path) -> list[Job]:
    """One job for a file, one for each picture of a folder (the tree is kept).

    Raises an error before any work if a target would overwrite a source.
    """
    if source.is_dir():
        jobs = _folder_jobs(source, target)
    elif source.exists():
        jobs = [Job(source=source, target=target / source.name if target.is_dir() else target)]
    else:
        raise UnreadableImage(f"{source} does not exist.", remedy="Check the path.")
    originals = {job.source.resolve() for job in jobs}
    for job in jobs:
        if job.target.resolve() in originals:
            raise UnwritableImage(f"{job.target} is one of the pictures to be read and would be overwritten.",
                                  remedy="Choose another output.")
    return jobs


def _folder_jobs(source: Path, target: Path) -> list[Job]:
    if target.is_file():
        raise OptionError(f"{source} is a folder and {target} is a file.", remedy="Give a folder as the output.")
    inside = target.resolve()
    found = [path for path in find_images(source) if inside == source.resolve() or inside not in path.resolve().parents]
    if not found:
        raise UnreadableImage(f"{source} holds no picture.", remedy="Give a folder with PNG, JPEG or WebP files.")
    return [Job(source=path, target=target / path.relative_to(source)) for path in found]


def pending(jobs: Iterable[Job]) -> list[Job]:
    """The jobs whose target does not exist yet; a target that exists is whole, see `atomic`."""
    return [job for job in jobs if not job.target.exists()]


def upscale_image(image: Image, backend: Backend, options: TileOptions | None = None,
                  on_tile: OnTile = lambda done, total: None) -> Image:
    """Colour and alpha of a decoded picture upscaled; its metadata kept."""
    planes = image.pixels if image.alpha is None else np.concatenate(
        [np.repeat(image.pixels, 3, axis=2) if image.pixels.shape[2] == 1 else image.pixels, image.alpha], axis=2)
    upscaled = upscale_array(planes, backend, options, on_tile)
    if image.alpha is None:
        return replace(image, pixels=upscaled)
    colour = upscaled[..., :1] if image.pixels.shape[2] == 1 else upscaled[..., :3]
    return replace(image, pixels=colour, alpha=upscaled[..., 3:])


def run_jobs(jobs: Iterable[Job], backend: Backend, options: TileOptions | None = None,
             on_tile: OnTile = lambda done, total: None, *, quality: int | None = None) -> Iterator[Outcome]:
    """Run jobs in order and yield each outcome as its file is whole; a bad picture does not stop the rest.

    When the consumer stops (Ctrl-C), files that are being written are finished; no others are begun.
    """
    with ThreadPoolExecutor(max_workers=AHEAD, thread_name_prefix="codec") as codecs:
        decoded = _prefetched(jobs, backend, codecs)
        writing: deque[tuple[Job, float, Future[tuple[str, ...]]]] = deque()
        try:
            for job, image in decoded:
                try:
                    began = time.perf_counter()
                    upscaled = upscale_image(image.result(), backend, options, on_tile)
                    seconds = time.perf_counter() - began
                except SrnDeployError as error:
                    yield Outcome(job=job, error=error)
                    continue
                writing.append((job, seconds, codecs.submit(write_image, job.target, upscaled, quality=quality)))
                if len(writing) >= AHEAD:
                    yield _written(*writing.popleft())
            while writing:
                yield _written(*writing.popleft())
        finally:
            codecs.shutdown(cancel_futures=True)


def _prefetched(jobs: Iterable[Job], backend: Backend,
                codecs: ThreadPoolExecutor) -> Iterator[tuple[Job, Future[Image]]]:
    """Jobs with their pictures being decoded, at most AHEAD of them at once."""
    remaining = iter(jobs)
    waiting = deque((job, codecs.submit(_read_checked, job, backend)) for job in islice(remaining, AHEAD))
    while waiting:
        yield waiting.popleft()
        waiting.extend((job, codecs.submit(_read_checked, job, backend)) for job in islice(remaining, 1))


def _read_checked(job: Job, backend: Backend) -> Image:
    """Decode, and find out before the work whether the target can hold the result."""
    image = read_image(job.source)
    scale = backend.spec.scale
    check_writable(job.target, height=image.height * scale, width=image.width * scale,
                   has_alpha=image.alpha is not None, bits=8 * image.pixels.dtype.itemsize)
    return image


def _written(job: Job, seconds: float, future: Future[tuple[str, ...]]) -> Outcome:
    try:
        return Outcome(job=job, seconds=seconds, losses=future.result())
    except ImageError as error:
        return Outcome(job=job, error=error)
