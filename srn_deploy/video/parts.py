"""One video made by several processes: each makes segments, as a single one does, and one joins them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from srn_deploy.errors import OtherVideoRun, OutOfMemory
from srn_deploy.inference.plan import Job
from srn_deploy.inference.setup import Setup
from srn_deploy.spec import ModelSpec
from srn_deploy.video.options import VideoOptions
from srn_deploy.video.probing import Picture
from srn_deploy.video.scan import scan
from srn_deploy.video.segment_file import FrameFindings
from srn_deploy.video.segments import Segment, plan_segments
from srn_deploy.video.upscaling import (
    VideoPlan,
    identity_of,
    join_segments,
    plan_video,
    planned,
    upscale_segments,
    with_threads,
    write_partial,
)
from srn_deploy.video.work_folder import clear_segments, join_work, segment_path, stored_plan, work_folder_of


class SegmentPart(NamedTuple):
    """One segment of one stream of a video."""

    stream: int
    number: int

    @property
    def name(self) -> str:
        """Sorts as the segments lie in their stream."""
        return f"{self.stream}-{self.number:06}"

    @classmethod
    def named(cls, name: str) -> SegmentPart:
        """From its name."""
        return cls(*map(int, name.split("-")))

    def path(self, job: Job) -> Path:
        """Where the finished segment waits, in the hidden folder beside the result."""
        return segment_path(job.target, self.stream, self.number)


def parts_of_video(path: Path) -> list[SegmentPart]:
    """All segments of a video, of which its packets are read; raises UnreadableVideo and UnsupportedVideo."""
    return [SegmentPart(stream.index, segment.number)
            for stream in scan(path).streams for segment in plan_segments(stream.packets)]


class SegmentMaker:
    """Makes segments of one video whose folder another process holds (`held_for_workers`).

    Raises what `upscale_video` raises, before anything is made where it cannot be.
    """

    def __init__(self, job: Job, setup: Setup, options: VideoOptions, *, max_megapixels: float) -> None:
        plan = plan_video(job, setup, options, max_megapixels=max_megapixels)
        self._plan = with_threads(plan, join_work(job.target, identity_of(plan, setup), setup.threads))
        self._setup = setup

    def make(self, parts: Sequence[SegmentPart], on_part: Callable[[SegmentPart], object]) -> None:
        """Upscale segments that are not there yet, in rising order.

        on_part: called before each, when all but the last before it are written.
        """
        job = self._plan.job
        left = sorted(part for part in parts if not part.path(job).exists())
        for index, group in groupby(left, lambda part: part.stream):
            stream = next(each for each in self._plan.streams if each.stream.index == index)

            def begin(segment: Segment, index: int = index) -> Callable[[], None]:
                on_part(SegmentPart(index, segment.number))
                return _uncounted

            try:
                upscale_segments(job, stream, [stream.segments[part.number] for part in group], self._setup, begin)
            except MemoryError as error:
                raise OutOfMemory(f"There is not enough memory for the frames of {job.source}.",
                                  remedy="Free memory, or give smaller tiles; finished segments are kept.") from error


def join_video(job: Job, options: VideoOptions) -> FrameFindings:
    """Write the result from its segments, and remove these; returns what the guard found.

    Raises UnwritableVideo, and OtherVideoRun where a segment is damaged.
    """
    plan = _as_begun(job, options)
    found = join_segments(plan)
    clear_segments(job.target)
    return found


def join_beginning(job: Job, options: VideoOptions) -> None:
    """Write the beginning that is finished beside the result, as a video that plays; segments stay."""
    write_partial(_as_begun(job, options))


def _as_begun(job: Job, options: VideoOptions) -> VideoPlan:
    """The plan that the workers had."""
    stored = stored_plan(job.target)
    plan = planned(job, options, _every_picture, factor=ModelSpec.from_json(stored.identity.model).scale,
                   threads=stored.threads)
    if plan.scanned.digest != stored.identity.source_sha256:
        raise OtherVideoRun(f"{job.source} was changed while it was upscaled.",
                            remedy=f"Delete {work_folder_of(job.target)} and give the same command again.")
    return plan


def _every_picture(picture: Picture) -> None:
    """Workers have checked it."""


def _uncounted() -> None:
    """Frames are counted by none."""
