"""One video from file to file: planned and rehearsed, worked off in segments, joined."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import av

from srn_deploy.errors import UnsupportedVideo, UnwritableVideo
from srn_deploy.inference.plan import Job
from srn_deploy.inference.setup import Setup
from srn_deploy.inference.upscale import check_takes
from srn_deploy.system.documents import to_builtins
from srn_deploy.system.installed import installed_versions, own_version
from srn_deploy.video.decoding import SegmentReader
from srn_deploy.video.encoders import plan_encoding
from srn_deploy.video.frames import FramePipeline, SegmentWork
from srn_deploy.video.joining import FinishedStream, join
from srn_deploy.video.options import OnFrame, VideoOptions, ignore_frame
from srn_deploy.video.output import VideoTarget, enlarged_matrix
from srn_deploy.video.probing import Picture, probe
from srn_deploy.video.rehearsal import rehearse
from srn_deploy.video.scan import Scan, VideoStream, scan
from srn_deploy.video.segment_file import FrameFindings, read_header
from srn_deploy.video.segments import Segment, plan_segments
from srn_deploy.video.work_folder import RunIdentity, WorkFolder, segment_path

_MEGA = 1_000_000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class StreamPlan:
    """One stream of a video: what its frames are, how they are written, and its segments."""

    stream: VideoStream
    picture: Picture
    target: VideoTarget
    segments: Sequence[Segment]


@dataclass(frozen=True, kw_only=True, eq=False)
class VideoPlan:
    """All that is known before the first frame is upscaled."""

    job: Job
    scanned: Scan
    streams: Sequence[StreamPlan]

    @property
    def frames(self) -> int:
        """Of all streams, as far as packets tell."""
        return sum(plan.stream.frames for plan in self.streams)

    @property
    def targets(self) -> Mapping[int, VideoTarget]:
        """Stream to how it is written."""
        return {plan.stream.index: plan.target for plan in self.streams}


def plan_video(job: Job, setup: Setup, options: VideoOptions, *, max_megapixels: float) -> VideoPlan:
    """Read the source once, and find out that it can be upscaled into the target.

    Raises a VideoError, OptionError for an encoder or an option that does not exist, and UnsuitableBatch where the
    frames have more bits than the model takes.
    """
    def check(picture: Picture) -> None:
        if picture.height * picture.width > max_megapixels * _MEGA:
            height, width = picture.upright
            raise UnsupportedVideo(f"{job.source}: its frames of {width} x {height} pixels are larger than "
                                   f"{max_megapixels:g} megapixels.", remedy="Allow it with --max-megapixels.")
        if not setup.fallback:
            check_takes(picture.layout.dtype, setup.backend.spec)

    plan = planned(job, options, check, factor=setup.backend.spec.scale, threads=setup.threads)
    rehearse(job.target, plan.scanned, plan.targets)
    return plan


def planned(job: Job, options: VideoOptions, check: Callable[[Picture], None], *, factor: int,
            threads: int) -> VideoPlan:
    """As `plan_video`, without a model: factor and threads are those of its Setup, and `check` refuses frames."""
    scanned, streams = scan(job.source), []
    for stream in scanned.streams:
        picture = probe(job.source, stream.index)
        check(picture)
        size = _size_of(job, picture, factor)
        encoding = plan_encoding(job.target, picture, size, stream.rate, options, threads=threads)
        matrix = enlarged_matrix(picture.display_matrix, Fraction(encoding.height, picture.height))
        streams.append(StreamPlan(
            stream=stream, picture=picture, segments=plan_segments(stream.packets),
            target=VideoTarget(encoding=encoding, display_matrix=matrix)))
        _log.info("%s: %d frames by %s in %s", job.source, stream.frames, encoding.encoder,
                  encoding.layout.described())
    return VideoPlan(job=job, scanned=scanned, streams=streams)


def _size_of(job: Job, picture: Picture, factor: int) -> tuple[int, int]:
    """(height, width) of the stored result; one that was asked for is that of the frames as they are shown, and rounded
    down to whole groups of chroma."""
    height, width = picture.turned(*job.size.of(*picture.upright, factor=factor))
    if job.size.is_free:
        return height, width
    vertical, horizontal = picture.layout.vertical, picture.layout.horizontal
    return max(height - height % vertical, vertical), max(width - width % horizontal, horizontal)


def upscale_video(job: Job, setup: Setup, options: VideoOptions, *, max_megapixels: float,
                  on_frame: OnFrame = ignore_frame) -> FrameFindings:
    """Upscale one video into its target, going on where an earlier run of the same kind stopped.

    Every finished segment stays in a folder beside the target until the target is whole, whatever ends the run before.
    Returns what the guard found. Raises what `plan_video` raises, and a BackendError where the model cannot run.
    """
    plan = plan_video(job, setup, options, max_megapixels=max_megapixels)
    with WorkFolder(job.target, identity_of(plan, setup), setup.threads) as folder:
        plan = with_threads(plan, folder.threads)
        try:
            _work_off(plan, setup, on_frame)
        except KeyboardInterrupt:
            if options.keep_partial:
                write_partial(plan)
            raise
        found = join_segments(plan)
        folder.clear()
    return found


def join_segments(plan: VideoPlan) -> FrameFindings:
    """Write the target from all its segments, which stay; returns what the guard found in them."""
    finished = [_finished(each, plan.job) for each in plan.streams]
    if any(len(each.segments) < len(whole.segments) for each, whole in zip(finished, plan.streams, strict=True)):
        raise UnwritableVideo(f"{plan.job.target}: a segment of it was removed while others were written.",
                              remedy="Give the same command again: it is made anew.")
    join(plan.job.target, plan.scanned, finished)
    return _summed_up(plan, finished)


def _summed_up(plan: VideoPlan, finished: Sequence[FinishedStream]) -> FrameFindings:
    """What the guard found in all segments; packets that gave no frame are a warning."""
    found, frames = FrameFindings(), 0
    for stream in finished:
        for path in stream.segments:
            header = read_header(path)
            found, frames = found.joined(header.findings), frames + len(header.times)
    if frames < plan.frames:
        _log.warning("%s: %d of %d packets of its video gave no frame: they are damaged, or only help to decode "
                     "others.", plan.job.source, plan.frames - frames, plan.frames)
    return found


def _work_off(plan: VideoPlan, setup: Setup, on_frame: OnFrame) -> None:
    counted = _Counted(plan.frames, on_frame)
    for each in plan.streams:
        left = [segment for segment in each.segments
                if not segment_path(plan.job.target, each.stream.index, segment.number).exists()]
        there = sum(segment.frames for segment in each.segments) - sum(segment.frames for segment in left)
        if there:
            _log.info("%s: goes on after %d of %d frames.", plan.job.source, there, each.stream.frames)
        counted.planned += there
        upscale_segments(plan.job, each, left, setup, counted.begin)


def upscale_segments(job: Job, plan: StreamPlan, some: Sequence[Segment], setup: Setup,
                     on_segment: Callable[[Segment], Callable[[], None]]) -> None:
    """Upscale some segments of a stream, in rising order; each is written by the end of the next one.

    on_segment: called before each, when all but the last before it are written, for what is called after each frame.
    """
    work = SegmentWork(picture=plan.picture, encoding=plan.target.encoding, setup=setup, job=job,
                       time_base=plan.stream.time_base)
    with SegmentReader(job.source, plan.stream.index, plan.picture) as reader, FramePipeline(work) as pipeline:
        for segment, following in zip(some, [*some[1:], None], strict=False):
            pipeline.upscale(reader.frames(segment, following),
                             segment_path(job.target, plan.stream.index, segment.number), on_segment(segment))


class _Counted:
    """Counts the frames for who watches."""

    def __init__(self, total: int, on_frame: OnFrame) -> None:
        self._done, self._total, self._on_frame = 0, total, on_frame
        self.planned = 0
        """Of the segments so far, as many as their packets: some show nothing."""

    def begin(self, segment: Segment) -> Callable[[], None]:
        """What counts the frames of a segment."""
        self._done = self.planned
        self.planned += segment.frames
        return self._step

    def _step(self) -> None:
        """One frame more."""
        self._done += 1
        self._on_frame(min(self._done, self._total), self._total)


def _finished(plan: StreamPlan, job: Job) -> FinishedStream:
    """A stream with its segments from the first on, up to the first that is missing."""
    paths = []
    for segment in plan.segments:
        path = segment_path(job.target, plan.stream.index, segment.number)
        if not path.exists():
            break
        paths.append(path)
    return FinishedStream(stream=plan.stream, target=plan.target, segments=paths)


def write_partial(plan: VideoPlan) -> None:
    """Write the beginning that is finished, cut where the shortest stream ends."""
    finished = [_finished(each, plan.job) for each in plan.streams]
    if not all(each.segments for each in finished):
        _log.info("%s: nothing of it is finished yet.", plan.job.source)
        return
    ends = [float(read_header(each.segments[-1]).times[-1] * each.stream.time_base) for each in finished]
    target = plan.job.target.with_name(f"{plan.job.target.stem}.partial{plan.job.target.suffix}")
    join(target, plan.scanned, finished, end=min(ends))
    _log.info("%s holds the first %.1f s. The same command goes on from there.", target, min(ends))


def identity_of(plan: VideoPlan, setup: Setup) -> RunIdentity:
    """What a run makes of a video, in words for those who compare."""
    encodings = tuple(json.dumps(to_builtins(_plain(each.target)), sort_keys=True) for each in plan.streams)
    versions = {"srn-deploy": own_version(), **installed_versions(("av",)), **av.library_versions}
    return RunIdentity(source_sha256=plan.scanned.digest, model=setup.backend.spec.to_json(),
                       backend=type(setup.backend).__name__, tiles=str(setup.tiles), guard=str(setup.guard),
                       encodings=encodings, program=json.dumps(versions, sort_keys=True))


def _plain(target: VideoTarget) -> dict[str, object]:
    encoding = target.encoding
    return {"encoder": encoding.encoder, "layout": encoding.layout, "colour": encoding.colour,
            "height": encoding.height, "width": encoding.width, "rate": str(encoding.rate),
            "sample_aspect": str(encoding.sample_aspect), "options": encoding.options,
            "display_matrix": target.display_matrix}


def with_threads(plan: VideoPlan, threads: int) -> VideoPlan:
    """The plan with encoders of so many threads, so that they write what those of the first run would have."""
    streams = [replace(each, target=replace(each.target, encoding=replace(each.target.encoding, threads=threads)))
               for each in plan.streams]
    return replace(plan, streams=streams)
