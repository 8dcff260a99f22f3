"""Frames of one segment through the network: decoding, network and encoding overlap; what repeats runs once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import numpy as np

from srn_deploy.errors import SrnDeployError
from srn_deploy.image.pixels import Pixels
from srn_deploy.image.reduction import reduced_with_alpha
from srn_deploy.inference.arrays import upscale_colour_and_alpha
from srn_deploy.inference.plan import Job
from srn_deploy.inference.setup import Setup
from srn_deploy.inference.sizing import needs_network
from srn_deploy.inference.stages import Sentences
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


class FramePipeline:
    """Decoding, network, conversion and encoding of the segments of one stream, each in its own thread.

    Use it as a context manager. While an encoder gives the last packets of a segment, the network runs on the next one.
    A segment that is complete is written even where the run is stopped.
    """

    def __init__(self, work: SegmentWork) -> None:
        self._work = work
        self._decode, self._encode = ThreadPoolExecutor(1, "decode"), ThreadPoolExecutor(1, "encode")
        self._convert = ThreadPoolExecutor(AHEAD, "convert")
        self._writing: deque[Future[None]] = deque()
        self._runs_network = needs_network(work.job.size, *work.picture.upright, factor=work.setup.backend.spec.scale)

    def upscale(self, frames: Iterator[TimedPlanes], path: Path, on_frame: Callable[[], None]) -> None:
        """Upscale and encode the frames of one segment; it is written to `path`, whole, by the end of the next one.

        on_frame: called after each frame. Raises a SrnDeployError, and whatever stops the run.
        """
        encoder = SegmentEncoder(self._work.encoding, self._work.job.target)
        times: list[int] = []
        findings = FrameFindings()
        encoded: deque[Future[None]] = deque()
        for pts, planes, found in self._results(frames):
            if found:
                findings = findings.joined(FrameFindings(frames=1, first_time=float(pts * self._work.time_base),
                                                         first=found[0]))
            encoded.append(self._encode.submit(_add, encoder, planes))
            times.append(pts)
            while len(encoded) > AHEAD:
                encoded.popleft().result()
            on_frame()
        while encoded:
            encoded.popleft().result()
        self._writing.append(self._encode.submit(_write, encoder, path, tuple(times), findings))
        while len(self._writing) > 1:
            self._writing.popleft().result()

    def _results(self, frames: Iterator[TimedPlanes]) -> Iterator[tuple[int, Future[FramePlanes], Sentences]]:
        """Time of each frame, its planes while they are being made, and what the guard found."""
        planes: Future[FramePlanes] | None = None
        found: Sentences = ()
        for ready in _ahead(_ready(frames, self._work.picture), self._decode):
            if ready.pixels is not None:
                colour, alpha = ready.pixels, ready.alpha
                if self._runs_network:
                    colour, alpha, found = upscale_colour_and_alpha(colour, alpha, self._work.setup)
                planes = self._convert.submit(self._work.planes_of_result, colour, alpha)
            if planes is not None:
                yield ready.pts, planes, found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        try:
            while self._writing:
                with nullcontext() if error is None else suppress(SrnDeployError):  # the first error is told
                    self._writing.popleft().result()
        finally:
            for pool in (self._decode, self._convert, self._encode):
                pool.shutdown(cancel_futures=True)


def _write(encoder: SegmentEncoder, path: Path, times: tuple[int, ...], findings: FrameFindings) -> None:
    """In the one thread that encodes, after the frames of the segment."""
    encoder.finish()
    write_segment(path, times, encoder.packets, encoder.extradata, findings)


def _add(encoder: SegmentEncoder, planes: Future[FramePlanes]) -> None:
    """In the one thread that encodes, so that frames keep their order."""
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
