"""Frames of one segment through the network: decoding, network and encoding overlap; what repeats runs once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

import numpy as np

from srn_deploy.image.pixels import Pixels
from srn_deploy.image.reduction import reduced_with_alpha
from srn_deploy.inference.arrays import Sentences, upscale_colour_and_alpha
from srn_deploy.inference.plan import Job
from srn_deploy.inference.setup import Setup
from srn_deploy.inference.sizing import needs_network
from srn_deploy.video.conversion import to_pixels, to_planes
from srn_deploy.video.decoding import TimedPlanes
from srn_deploy.video.encoders import Encoding
from srn_deploy.video.encoding import SegmentEncoder
from srn_deploy.video.layout import FramePlanes
from srn_deploy.video.probing import Picture
from srn_deploy.video.segment_file import FrameFindings, write_segment

AHEAD = 2
"""Frames that may wait before the network and after it: bounds the memory."""

Item = TypeVar("Item")


@dataclass(frozen=True, kw_only=True, eq=False)
class _Ready:
    """A frame for the network; without pixels it repeats the one before."""

    pts: int
    pixels: Pixels | None
    alpha: Pixels | None


@dataclass(frozen=True, kw_only=True, eq=False)
class SegmentWork:
    """What is the same for all segments of a stream."""

    picture: Picture
    encoding: Encoding
    setup: Setup
    job: Job
    time_base: Fraction

    def planes_of_result(self, colour: Pixels, alpha: Pixels | None) -> FramePlanes:
        """What the network made, in the size and the layout that are written."""
        small = reduced_with_alpha(colour, alpha, self.encoding.height, self.encoding.width)
        return to_planes(*small, self.encoding.layout, self.encoding.colour)


def upscale_segment(frames: Iterator[TimedPlanes], work: SegmentWork, path: Path, on_frame: Callable[[], None]) -> None:
    """Upscale and encode the frames of one segment, and write it to `path`, whole or not at all.

    on_frame: called after each frame. Raises a SrnDeployError, and whatever stops the run.
    """
    encoder = SegmentEncoder(work.encoding, work.job.target)
    times: list[int] = []
    findings, found = FrameFindings(), Sentences()
    encoded: deque[Future[None]] = deque()
    planes: Future[FramePlanes] | None = None
    runs_network = needs_network(work.job.size, work.picture.height, work.picture.width,
                                 factor=work.setup.backend.spec.scale)
    with ThreadPoolExecutor(1, "decode") as decode, ThreadPoolExecutor(1, "encode") as encode:
        try:
            for ready in _ahead(_ready(frames, work.picture), decode):
                if ready.pixels is not None:
                    large, alpha = ready.pixels, ready.alpha
                    if runs_network:
                        large, alpha, found = upscale_colour_and_alpha(ready.pixels, ready.alpha, work.setup)
                    planes = encode.submit(work.planes_of_result, large, alpha)
                if found:
                    findings = findings.joined(FrameFindings(
                        frames=1, first_time=float(ready.pts * work.time_base), first=found[0]))
                encoded.append(encode.submit(_add, encoder, planes))
                times.append(ready.pts)
                while len(encoded) > AHEAD:
                    encoded.popleft().result()
                on_frame()
            while encoded:
                encoded.popleft().result()
        finally:
            for pool in (decode, encode):
                pool.shutdown(cancel_futures=True)
    encoder.finish()
    write_segment(path, tuple(times), encoder.packets, encoder.extradata, findings)


def _add(encoder: SegmentEncoder, planes: Future[FramePlanes] | None) -> None:
    """In the thread that also makes the planes, which are made before."""
    if planes is not None:
        encoder.add(planes.result())


def _ready(frames: Iterator[TimedPlanes], picture: Picture) -> Iterator[_Ready]:
    before: FramePlanes | None = None
    for frame in frames:
        if before is not None and all(map(np.array_equal, frame.planes, before)):
            yield _Ready(pts=frame.pts, pixels=None, alpha=None)
            continue
        before = frame.planes
        pixels, alpha = to_pixels(frame.planes, picture.layout, picture.colour)
        yield _Ready(pts=frame.pts, pixels=pixels, alpha=alpha)


def _ahead(items: Iterator[Item], thread: ThreadPoolExecutor) -> Iterator[Item]:
    """The items, of which the next ones are being made in a thread."""
    end = object()
    waiting: deque[Future[object]] = deque(thread.submit(next, items, end) for _ in range(AHEAD))
    while (item := waiting.popleft().result()) is not end:
        waiting.append(thread.submit(next, items, end))
        yield item  # type: ignore[misc]  # what is not the end is an item
