"""What is in a video, found by reading the whole file once: nothing that its header claims is believed."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import repeat
from pathlib import Path
from typing import Any

import av
from av.container import InputContainer
from av.stream import Disposition, Stream

from srn_deploy.errors import UnreadableVideo, UnsupportedVideo
from srn_deploy.video.library import opened, reading
from srn_deploy.video.segments import TimedPacket

_STATE_THEIR_LENGTH = ("mov", "matroska", "flv", "asf")
"""Formats whose length is written in the file; of others FFmpeg guesses it."""

_COUNT_THEIR_TICKS = "avi"
"""Its streams say how many ticks they have, as if those were frames; all lengths are guesses of FFmpeg."""

_SLACK_S = Fraction(3, 10)
"""Lengths in headers are rounded, and may count what an encoder added at the end of the sound."""

_COUNT_THEIR_FRAMES = "mov"
"""Of others the count is one of ticks, as in AVI, or a tag."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class VideoStream:
    """One stream of pictures that move."""

    index: int
    time_base: Fraction
    packets: tuple[TimedPacket, ...]
    last_duration: int
    """Of the last packet, in units of the time base."""
    rate: Fraction
    """Frames per second, as the file says or as they are on average."""

    @property
    def frames(self) -> int:
        """How many frames it shows, as far as packets tell."""
        return sum(packet.is_shown for packet in self.packets)


@dataclass(frozen=True, kw_only=True)
class Scan:
    """A video file, read to its end."""

    path: Path
    streams: tuple[VideoStream, ...]
    digest: str
    """SHA-256 of the packets of its video streams."""


@dataclass
class _Seen:
    packets: list[TimedPacket] = field(default_factory=list)
    last_duration: int = 0


def is_moving(stream: Stream) -> bool:
    """Whether a stream is a video, and not a cover picture."""
    return stream.type == "video" and not stream.disposition & (Disposition.attached_pic | Disposition.still_image)


def pixel_counts(paths: Iterable[Path]) -> Iterator[int]:
    """Pixels of each frame, by the headers of the files: an estimate of the work. What cannot be read is left out."""
    for path in paths:
        try:
            with opened(path) as container:
                moving: list[Any] = [stream for stream in container.streams if is_moving(stream)]
                length_s = (container.duration or 0) / av.time_base
                for stream in moving:
                    frames = stream.frames or round(length_s * float(stream.average_rate or 0)) or 1
                    yield from repeat(stream.height * stream.width, frames)
        except UnreadableVideo:  # the run reports it
            continue


def scan(path: Path) -> Scan:
    """Read a video to its end.

    Raises UnreadableVideo for what is no video, has no frames or is shorter than it says, and UnsupportedVideo for
    one whose frames have no times.
    """
    with opened(path) as container:
        moving = [stream for stream in container.streams if is_moving(stream)]
        if not moving:
            kinds = sorted({stream.type for stream in container.streams})
            raise UnreadableVideo(f"{path} has no video stream, only {' and '.join(kinds) or 'nothing'}.",
                                  remedy="Give a file with a video; sound alone is not upscaled." if "audio" in kinds
                                  else "It may be cut short: fetch it again, and see what is there: ffmpeg -i IN")
        found, digest, end = _read(path, container, moving)
        _check_length(path, container, end)
        for stream in moving:
            _check_frames(path, stream, found[stream.index])
        streams = tuple(_described(stream, found[stream.index]) for stream in moving)
    return Scan(path=path, streams=streams, digest=digest)


def _read(path: Path, container: InputContainer,
          moving: Sequence[Stream]) -> tuple[dict[int, _Seen], str, Fraction]:
    """Packets of the video streams, their hash, and the end in seconds of all that is shown or heard."""
    found = {stream.index: _Seen() for stream in moving}
    digest, end = hashlib.sha256(), Fraction(0)
    with reading(path, "to its end"):
        for packet in container.demux():
            if not packet.size:
                continue
            time = packet.pts if packet.pts is not None else packet.dts
            if time is not None:
                end = max(end, (time + (packet.duration or 0)) * packet.time_base)
            if packet.stream_index in found:
                digest.update(packet)
                _note(path, packet, found[packet.stream_index])
    return found, digest.hexdigest(), end


def _note(path: Path, packet: av.Packet[Stream], found: _Seen) -> None:
    if packet.is_corrupt:
        raise UnreadableVideo(f"{path} is damaged or cut short after {len(found.packets)} frames.",
                              remedy="Fetch it again, or make a whole file of what is there: "
                                     "ffmpeg -i IN -c copy OUT")
    if packet.pts is None:
        raise UnsupportedVideo(f"{path}: its frames have no times.",
                               remedy="Write them into a file that has some: ffmpeg -fflags +genpts -i IN -c copy "
                                      "OUT.mkv; where that does not help: ffmpeg -i IN -c:v ffv1 -c:a copy OUT.mkv")
    found.packets.append(TimedPacket(pts=packet.pts, is_keyframe=packet.is_keyframe, is_shown=not packet.is_discard))
    found.last_duration = packet.duration or 0


def _check_length(path: Path, container: InputContainer, end: Fraction) -> None:
    """Refuse a file that ends before the length that its header gives."""
    stated = Fraction(0)
    if container.format.name.startswith(_STATE_THEIR_LENGTH):
        stated = Fraction((container.duration or 0) + min(container.start_time or 0, 0), av.time_base)
    elif container.format.name == _COUNT_THEIR_TICKS:
        stated = max(stream.frames * (stream.time_base or Fraction(0)) for stream in container.streams
                     if is_moving(stream))
    if end + _SLACK_S < stated:
        raise UnreadableVideo(f"{path} is cut short: it says that it is {float(stated):.1f} s long, and what is there "
                              f"ends after {float(end):.1f} s.",
                              remedy="Fetch it again, or make a whole file of what is there: ffmpeg -i IN -c copy OUT")


def _check_frames(path: Path, stream: Stream, found: _Seen) -> None:
    """Refuse a stream without frames or with fewer than stated; more than stated are all taken, with a warning."""
    there = len(found.packets)
    if not any(packet.is_shown for packet in found.packets):
        raise UnreadableVideo(f"{path} has a video stream without frames.", remedy="Give a file with frames.")
    if there < stream.frames and stream.container.format.name.startswith(_COUNT_THEIR_FRAMES):
        raise UnreadableVideo(f"{path} is cut short: it says that it has {stream.frames} frames, and {there} are "
                              "there.", remedy="Fetch it again, or make a whole file of what is there: "
                                               "ffmpeg -i IN -c copy OUT")
    if there > stream.frames > 0 and stream.container.format.name.startswith(_COUNT_THEIR_FRAMES):
        _log.warning("%s says that it has %d frames; all %d that are there are upscaled.", path, stream.frames, there)


def _described(stream: Stream, found: _Seen) -> VideoStream:
    if stream.time_base is None:
        raise UnsupportedVideo("A video stream has no time base.", remedy="Convert it first: ffmpeg -i IN -c copy OUT")
    times = [packet.pts for packet in found.packets if packet.is_shown]
    span = (max(times) - min(times)) * stream.time_base
    measured = (len(times) - 1) / span if span > 0 else Fraction(0)
    rate = stream.average_rate or stream.base_rate or measured or Fraction(25)
    return VideoStream(index=stream.index, time_base=stream.time_base, packets=tuple(found.packets),
                       last_duration=found.last_duration, rate=rate)
