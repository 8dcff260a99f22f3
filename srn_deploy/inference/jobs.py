"""Many image files: how decoding, inference and encoding overlap, and what becomes of each."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from srn_deploy.errors import OutOfMemory, SrnDeployError
from srn_deploy.image import (
    WITH_EFFORT,
    WITH_QUALITY,
    Effort,
    Image,
    check_writable,
    container_of,
    is_image_name,
)
from srn_deploy.image.reading import UndecodedImage, open_image
from srn_deploy.image.writing import EncodedImage, encode_image, store_image
from srn_deploy.inference.bands import LargeImage, large_file, large_image, reduce_by_bands, upscale_by_bands
from srn_deploy.inference.file_options import FileOptions
from srn_deploy.inference.file_results import (
    OF_ONE_IMAGE,
    disk_is_full,
    result_of,
    times_kept,
    warn,
    warn_of_losses,
)
from srn_deploy.inference.large_results import check_memory_for_whole
from srn_deploy.inference.ledger import Ledger, UnitState
from srn_deploy.inference.memory_budget import MemoryBudget
from srn_deploy.inference.memory_needs import bytes_by_bands, bytes_on_the_way, check_memory_for_bands
from srn_deploy.inference.pipeline import Pipeline
from srn_deploy.inference.plan import Job
from srn_deploy.inference.setup import Setup
from srn_deploy.inference.sharing import DoneElsewhere, shared_stages
from srn_deploy.inference.sizing import Upscaled, needs_network, upscaled, upscaled_alike
from srn_deploy.inference.stage_times import StageTimes
from srn_deploy.inference.stages import AnyDecoded, Computed, Finished, Group, Grouping, Reserve, Sentences, Stages
from srn_deploy.inference.upscale import check_takes, images_at_once, takes
from srn_deploy.system.atomic import sweep
from srn_deploy.system.memory import size_in_words

OnTimes = Callable[[StageTimes], None]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result of a job: its target is whole, or there is an error, or it is done elsewhere."""

    job: Job
    error: SrnDeployError | None = None
    losses: Sentences = ()
    """What reading changed, and what of the source the target's format cannot hold."""
    findings: Sentences = ()
    """What the guard found."""
    elsewhere: UnitState | None = None
    """Where runs share their output: it was finished before or another run has it, and nothing was done here."""


def formats_without_quality(jobs: Iterable[Job]) -> tuple[str, ...]:
    """Names of the formats among the targets that have no quality; targets of an unknown format are left out."""
    formats = {container_of(job.target) for job in jobs if is_image_name(job.target)}
    return tuple(sorted(formats - WITH_QUALITY))


def formats_without_effort(jobs: Iterable[Job], quality: int | None = None) -> tuple[str, ...]:
    """Names of the formats among the targets whose files no effort makes smaller; as `formats_without_quality`.

    quality: with one WebP is lossy, and has none either.
    """
    formats = {container_of(job.target) for job in jobs if is_image_name(job.target)}
    return tuple(sorted(formats - (WITH_EFFORT if quality is None else WITH_EFFORT - WITH_QUALITY)))


def clear_leftovers(jobs: Iterable[Job], ledger: Ledger | None = None) -> None:
    """Remove half-written files of killed runs from the target folders; files of a run in progress stay.

    ledger: of an output that runs share. While others run, all stays: where a disk has no locks, theirs look like
    leftovers.
    """
    if ledger is not None and not ledger.is_alone():
        return
    for folder in {Path(os.path.realpath(job.target)).parent for job in jobs}:
        sweep(folder)


def not_timed(times: StageTimes) -> None:
    """The OnTimes of those who do not ask."""


def upscale_image(image: Image, setup: Setup) -> tuple[Image, Sentences]:
    """A decoded image, upscaled in colour and alpha, with its metadata in the new size; and what the guard found."""
    large, findings = upscaled(image, setup)
    return large.finished(), findings


def run_jobs(jobs: Iterable[Job], setup: Setup, options: FileOptions | None = None,
             on_times: OnTimes = not_timed) -> Iterator[Outcome]:
    """Run jobs and yield their outcomes in order, each when its file is whole; a bad image does not stop the rest.

    Images are decoded ahead of the network and encoded behind it; the network runs on the caller's thread, and takes
    any image that is decoded. What an image loses is logged as a warning before the network runs on it, and what the
    guard finds afterwards. on_times: called with where the time went, when the run ends or is stopped.

    When the consumer stops (Ctrl-C), files that are being written are finished and no others are started. Leftovers of
    killed runs are removed first. On a full disk the run ends early: images that were not started have no outcome.
    """
    jobs, chosen = list(jobs), options or FileOptions()
    clear_leftovers(jobs, chosen.ledger)
    memory = MemoryBudget(chosen.most_bytes())
    stages = _Files(setup, chosen, memory).stages()
    if chosen.ledger is not None:
        stages = shared_stages(stages, chosen.ledger)
    yield from outcomes_of(Pipeline(jobs, stages, workers=chosen.jobs or setup.threads, memory=memory), on_times)


def outcomes_of(pipeline: Pipeline[Job, AnyDecoded, Upscaled, EncodedImage], on_times: OnTimes) -> Iterator[Outcome]:
    """Run a pipeline of image files, and yield what became of each as `run_jobs` does."""
    finished = pipeline.run()
    try:
        for each in finished:
            yield _outcome(each)
    finally:
        finished.close()
        on_times(pipeline.times)


class _Files:
    """The stages of image files."""

    def __init__(self, setup: Setup, options: FileOptions, memory: MemoryBudget) -> None:
        self._setup, self._options, self._memory = setup, options, memory
        self._effort = Effort.named(options.effort or Effort.NORMAL)
        self._has_said = self._is_one_by_one = False

    def stages(self) -> Stages[Job, Image | LargeImage, Upscaled, EncodedImage]:
        return Stages(decode=self._decode, compute=self._compute, encode=self._encode,
                      encoded_bytes=lambda encoded: len(encoded.data),
                      store=lambda job, encoded: store_image(job.target, encoded) + times_kept(job),
                      is_error=lambda error: isinstance(error, OF_ONE_IMAGE), ends_run=disk_is_full,
                      grouping=Grouping(most=most, group_of=self._group_of, compute=self._compute_alike)
                      if (most := self._setup.batching.images) > 1 else None)

    def _decode(self, job: Job, reserve: Reserve) -> Image | LargeImage | None:
        most = self._options.max_megapixels
        if job.wanted.frame is None and (large := large_file(job, self._setup, max_megapixels=most)):
            if not reserve(bytes_by_bands(job, large.header, self._setup)):
                return None
            check_source(job, large.header, self._setup)
            return self._with_memory(large)
        undecoded = open_image(job.source, max_megapixels=most, frame=job.wanted.frame)
        if not reserve(needed := bytes_on_the_way(undecoded.unpacked, job, self._setup)):
            return None
        self._say_if_alone(job, needed)
        image = decode_checked(job, undecoded, self._setup)
        if large := large_image(job, image, self._setup):
            return self._with_memory(large)
        check_memory_for_whole(job, image, self._setup)
        return image

    def _with_memory(self, large: LargeImage) -> LargeImage:
        """The same; raises OutOfMemory where there is less memory than its bands take."""
        allowed = None if self._options.memory is None else self._memory.most_bytes
        check_memory_for_bands(large.job, large.header, self._setup, allowed)
        check_memory_for_whole(large.job, large.header, self._setup)
        return large

    def _say_if_alone(self, job: Job, needed_bytes: int) -> None:
        most = self._memory.most_bytes
        if most is None or needed_bytes <= most or self._has_said:
            return
        self._has_said = True
        _log.warning("%s takes about %s, more than the %s that images may take: it is upscaled while there is no "
                     "other, and so is each image like it.", job.source, size_in_words(needed_bytes),
                     size_in_words(most))

    def _compute(self, job: Job, image: Image | LargeImage) -> Computed[Upscaled]:
        """What is written by bands is written when this returns."""
        warn_of_losses(job, image)
        return self._computed(job, image)

    def _computed(self, job: Job, image: Image | LargeImage) -> Computed[Upscaled]:
        if isinstance(image, LargeImage):
            if not image.is_written_by_bands:
                return result_of(job, image.header, *reduce_by_bands(image, self._setup))
            lost, findings = upscale_by_bands(image, self._setup, self._effort)
            warn(job, findings)
            return Computed(large=None, losses=lost + times_kept(job), findings=findings)
        return result_of(job, image, *upscaled(image, self._setup, job.size))

    def _group_of(self, job: Job, image: Image | LargeImage) -> Group | None:
        """Images of one shape without alpha, each a single window of the model."""
        setup = self._setup
        if (self._is_one_by_one or isinstance(image, LargeImage) or image.alpha is not None
                or not takes(image.pixels.dtype, setup.backend.spec)
                or not needs_network(job.size, image.height, image.width, factor=setup.backend.spec.scale)):
            return None
        most = images_at_once(image.height, image.width, setup.backend, setup.tiles, setup.batching)
        return Group((image.pixels.shape, image.pixels.dtype), most) if most > 1 else None

    def _compute_alike(self, work: Sequence[tuple[Job, Image | LargeImage]]) -> list[Computed[Upscaled] | Exception]:
        """Several images at once; where that fails, each by itself, and no more batches in this run."""
        images = [(job, image) for job, image in work if isinstance(image, Image)]  # as `_group_of` has it
        for job, image in images:
            warn_of_losses(job, image)
        try:
            found = [] if self._is_one_by_one else upscaled_alike([(image, job.size) for job, image in images],
                                                                  self._setup)
        except OF_ONE_IMAGE as error:
            self._is_one_by_one = True
            _log.warning("%d images of %d x %d px could not be run at once (%s): images are run one by one.",
                         len(images), images[0][1].width, images[0][1].height,
                         error.message.rstrip(".") if isinstance(error, SrnDeployError) else "out of memory")
        if self._is_one_by_one:
            return [self._computed_or_error(job, image) for job, image in images]
        return [result_of(job, image, *result) for (job, image), result in zip(images, found, strict=True)]

    def _computed_or_error(self, job: Job, image: Image) -> Computed[Upscaled] | Exception:
        try:
            return self._computed(job, image)
        except OF_ONE_IMAGE as error:
            return error

    def _encode(self, job: Job, large: Upscaled) -> EncodedImage:
        return encode_image(job.target, large.finished(), quality=self._options.quality,
                            effort=self._effort)


def decode_checked(job: Job, undecoded: UndecodedImage, setup: Setup) -> Image:
    """Decode an image and check, before the network runs, that the model takes it and the target can hold the result.

    Raises UnreadableImage, UnsupportedImage, UnsuitableBatch or UnwritableImage.
    """
    image = undecoded.decoded()
    check_source(job, image, setup)
    return image


def check_source(job: Job, image: Image, setup: Setup) -> None:
    """Raise the errors of `decode_checked` for an image, of whose pixels only the shape is used."""
    if not setup.fallback:
        check_takes(image.pixels.dtype, setup.backend.spec)
    check_result(job, image, setup.backend.spec.scale)


def check_result(job: Job, image: Image, scale: int) -> None:
    """Raise UnwritableImage, before the network runs, where the target cannot hold the result.

    scale: of the model. Of the pixels of the image only the shape is used.
    """
    height, width = job.size.of(image.height, image.width, factor=scale)
    check_writable(job.target, height=height, width=width,
                   has_alpha=image.alpha is not None, bits=8 * image.pixels.dtype.itemsize)
    if not needs_network(job.size, image.height, image.width, factor=scale):
        _log.info("%s has %d x %d px, no fewer than its result: it is reduced without the network.", job.source,
                  image.width, image.height)


def _outcome(finished: Finished[Job]) -> Outcome:
    """Raises what is no error of an image."""
    job, error = finished.task, finished.error
    if error is None:
        return Outcome(job=job, losses=finished.losses, findings=finished.findings)
    if isinstance(error, SrnDeployError):
        return Outcome(job=job, error=error)
    if isinstance(error, DoneElsewhere):
        return Outcome(job=job, elsewhere=error.state)
    if not isinstance(error, MemoryError):
        raise error
    shortage = OutOfMemory(f"There is not enough memory for {job.source} and its result.",
                           remedy="Free memory, or cut the image into parts.")
    shortage.__cause__ = error
    return Outcome(job=job, error=shortage)
