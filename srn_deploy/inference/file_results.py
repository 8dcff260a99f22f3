"""What is said and kept of the result of an image file."""

from __future__ import annotations

import errno
import logging

from srn_deploy.errors import LedgerError, SrnDeployError, UnwritableImage
from srn_deploy.image import Image, Pixels, losses
from srn_deploy.inference.bands import LargeImage
from srn_deploy.inference.memory_needs import RESULT_COPIES
from srn_deploy.inference.plan import Job
from srn_deploy.inference.sizing import Upscaled
from srn_deploy.inference.stages import Computed, Sentences
from srn_deploy.system.atomic import DISK_IS_FULL
from srn_deploy.system.file_times import kept_time

_NOTHING_FITS = {*DISK_IS_FULL, errno.EROFS}
"""Errors of a whole disk: images after them would be computed for nothing."""

OF_ONE_IMAGE = (SrnDeployError, MemoryError)
"""Errors that say something about an image; all others are raised."""

_log = logging.getLogger(__name__)


def result_of(job: Job, image: Image, large: Upscaled, findings: Sentences) -> Computed[Upscaled]:
    """What the network made of an image, for the pipeline; what the guard found is logged."""
    warn(job, findings)
    return Computed(large=large, large_bytes=RESULT_COPIES * (large.colour.nbytes + _bytes_of(large.alpha)),
                    losses=image.remarks, findings=findings)


def times_kept(job: Job) -> Sentences:
    """Give a result that is written the time of its image where that is wanted; a sentence where it fails."""
    return kept_time(job.source, job.target) if job.wanted.keep_times else ()


def _bytes_of(pixels: Pixels | None) -> int:
    return 0 if pixels is None else pixels.nbytes


def disk_is_full(error: Exception) -> bool:
    """Whether nothing more can be written where a result was to be."""
    cause = error.__cause__ if isinstance(error, UnwritableImage | LedgerError) else None
    return isinstance(cause, OSError) and cause.errno in _NOTHING_FITS


def warn_of_losses(job: Job, image: Image | LargeImage) -> None:
    """Log what a result will lack of its image."""
    header = image.header if isinstance(image, LargeImage) else image
    warn(job, header.remarks + losses(job.target, header))


def warn(job: Job, sentences: Sentences) -> None:
    """Log each sentence, with the file where the sentence does not name it."""
    for sentence in sentences:
        named = "" if str(job.source) in sentence else f"{job.source}: "
        _log.warning("%s%s", named, sentence)
