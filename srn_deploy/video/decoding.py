"""The frames of a stream, segment after segment; a run can begin at any of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
from av.video.stream import VideoStream as AvVideoStream

from srn_deploy.errors import UnreadableVideo, UnsupportedVideo
from srn_deploy.video.layout import FramePlanes
from srn_deploy.video.library import opened, reading
from srn_deploy.video.planes import planes_of
from srn_deploy.video.probing import Picture, check_progressive, decoder_for
from srn_deploy.video.segments import Segment


@dataclass(frozen=True, kw_only=True, eq=False)
class TimedPlanes:
    """A decoded frame: its time in units of the stream, and its planes."""

    pts: int
    planes: FramePlanes


class SegmentReader:
    """Reads the segments of one stream in rising order; some may be left out. Use it as a context manager.

    Each segment is decoded from its first packet on by a decoder that was emptied before, so that it gives the same
    frames whether or not another was read before it. Packets are read once, and kept as long as a later segment
    begins with them.
    """

    def __init__(self, path: Path, index: int, picture: Picture) -> None:
        self._path, self._picture = path, picture
        self._container = opened(path)
        stream = self._container.streams[index]
        if not isinstance(stream, AvVideoStream):
            self._container.close()
            raise UnreadableVideo(f"Stream {index} of {path} is no video any more.",
                                  remedy="Do not change the file while it is read.")
        self._context = decoder_for(stream, picture.alpha_decoder)
        self._context.thread_type = "AUTO"
        self._packets = (packet for packet in self._container.demux(stream) if packet.size)
        self._kept: deque[av.Packet[Any]] = deque()
        self._kept_from = 0

    def frames(self, segment: Segment, following: Segment | None) -> Iterator[TimedPlanes]:
        """The frames of a segment in the order in which they are shown; following: the next one that will be read.

        Raises UnreadableVideo for a frame that cannot be decoded, and UnsupportedVideo for one unlike the first.
        """
        self._context.flush_buffers()
        latest = None
        for frame in self._decoded(segment, following):
            pts = self._time_of(frame)
            if segment.stop is not None and pts >= segment.stop:
                return
            if segment.start is not None and pts < segment.start:
                continue
            self._check(frame, pts, latest)
            latest = pts
            yield TimedPlanes(pts=pts, planes=planes_of(frame, self._picture.layout))

    def _decoded(self, segment: Segment, following: Segment | None) -> Iterator[av.VideoFrame]:
        index = segment.first_packet
        while (packet := self._packet(index, following)) is not None:
            with reading(self._path, f"at packet {index} of its video"):
                frames = self._context.decode(packet)
            yield from frames
            index += 1
        with reading(self._path, "at the end of its video"):
            rest = self._context.decode(None)
        yield from rest

    def _packet(self, index: int, following: Segment | None) -> av.Packet[Any] | None:
        """The packet of this number, None after the last one; those before the following segment are forgotten."""
        keep_from = index if following is None else min(index, following.first_packet)
        while self._kept and self._kept_from < keep_from:
            self._kept.popleft()
            self._kept_from += 1
        while self._kept_from + len(self._kept) <= index:
            with reading(self._path, "to its end"):
                packet = next(self._packets, None)
            if packet is None:
                return None
            if self._kept_from + len(self._kept) < keep_from:
                self._kept_from += 1
            else:
                self._kept.append(packet)
        return self._kept[index - self._kept_from]

    def _time_of(self, frame: av.VideoFrame) -> int:
        if frame.pts is None:
            raise UnsupportedVideo(f"{self._path}: one of its frames has no time.",
                                   remedy="Write its frames anew: ffmpeg -i IN -c:v ffv1 -c:a copy OUT.mkv")
        return frame.pts

    def _check(self, frame: av.VideoFrame, pts: int, latest: int | None) -> None:
        if latest is not None and pts <= latest:
            raise UnsupportedVideo(f"{self._path}: its time does not go forward at {pts}.",
                                   remedy="Write its frames anew: ffmpeg -i IN -c:v ffv1 -c:a copy OUT.mkv")
        if frame.is_corrupt:
            raise UnreadableVideo(f"{self._path}: its frame at {float(pts * (frame.time_base or 0)):.3f} s is damaged.",
                                  remedy="Fetch it again, or conceal the damage: "
                                         "ffmpeg -i IN -c:v ffv1 -c:a copy OUT.mkv")
        if (frame.height, frame.width) != (self._picture.height, self._picture.width):
            (height, width), (new_height, new_width) = self._picture.upright, self._picture.turned(frame.height,
                                                                                                   frame.width)
            raise UnsupportedVideo(f"{self._path}: its frames change from {width} x {height} to {new_width} x "
                                   f"{new_height} pixels.",
                                   remedy="Give it one size first: ffmpeg -i IN -vf scale=W:H OUT")
        check_progressive(self._path, frame, self._context)

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.close()
