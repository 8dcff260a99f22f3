"""Many files, pictures and videos mixed: each kind by its own way, outcomes in the order of the jobs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby

from srn_deploy.errors import OutOfMemory, SrnDeployError, VideoError
from srn_deploy.inference.jobs import Outcome
from srn_deploy.inference.plan import Job
from srn_deploy.inference.setup import Setup
from srn_deploy.inference.video_names import is_video_name
from srn_deploy.system.atomic import DISK_IS_FULL
from srn_deploy.system.file_times import kept_time
from srn_deploy.video.options import OnFrame, VideoOptions, ignore_frame
from srn_deploy.video.segment_file import FrameFindings
from srn_deploy.video.upscaling import upscale_video

_log = logging.getLogger(__name__)


def run_mixed(jobs: Iterable[Job], pictures: Callable[[Sequence[Job]], Iterator[Outcome]],
              videos: Callable[[Job], Outcome]) -> Iterator[Outcome]:
    """Yield the outcomes of jobs in their order; a full disk ends the run, as it does for pictures alone."""
    for moving, group in groupby(jobs, lambda job: is_video_name(job.source)):
        some = list(group)
        done = 0
        for outcome in map(videos, some) if moving else pictures(some):
            yield outcome
            done += 1
            if moving and _is_full(outcome):
                return
        if done < len(some):
            return


def run_video(job: Job, setup: Setup, options: VideoOptions, *, max_megapixels: float,
              on_frame: OnFrame = ignore_frame) -> Outcome:
    """Upscale one video; what went wrong is in its outcome, what the guard found is logged, too."""
    try:
        found = upscale_video(job, setup, options, max_megapixels=max_megapixels, on_frame=on_frame)
    except SrnDeployError as error:
        return Outcome(job=job, error=error)
    except MemoryError as error:
        shortage = OutOfMemory(f"There is not enough memory for the frames of {job.source}.",
                               remedy="Free memory, or give smaller tiles; finished segments are kept.")
        shortage.__cause__ = error
        return Outcome(job=job, error=shortage)
    findings = tuple(sentences_of(found))
    for sentence in findings:
        _log.warning("%s: %s", job.source, sentence)
    lost = kept_time(job.source, job.target) if job.wanted.keep_times else ()
    return Outcome(job=job, losses=lost, findings=findings)


def sentences_of(found: FrameFindings) -> Iterator[str]:
    """What the guard found in a video, for the user."""
    if found.frames:
        yield (f"The guard found something in {found.frames} frames, the first at {found.first_time or 0:.2f} s: "
               f"{found.first}")


def _is_full(outcome: Outcome) -> bool:
    cause = outcome.error.__cause__ if isinstance(outcome.error, VideoError) else None
    return isinstance(cause, OSError) and cause.errno in DISK_IS_FULL
