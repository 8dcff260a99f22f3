"""The packets of one finished segment as a file: whole, or not there.

A line of JSON, then the packets one after another. No container of FFmpeg keeps every codec with its side data and
the exact order of frames, and none says whether it is whole.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from srn_deploy.errors import OtherVideoRun
from srn_deploy.system.atomic import replacing
from srn_deploy.system.documents import decode_json, to_builtins
from srn_deploy.video.encoding import EncodedPacket
from srn_deploy.video.library import writing


@dataclass(frozen=True, kw_only=True)
class FrameFindings:
    """What the guard found in the frames of a segment, or of a whole stream."""

    frames: int = 0
    """How many have a finding."""
    first_time: float | None = None
    """Of the first of them, in seconds."""
    first: str = ""
    """What it says."""

    def joined(self, other: FrameFindings) -> FrameFindings:
        """With those of what follows."""
        first = self if self.frames else other
        return FrameFindings(frames=self.frames + other.frames, first_time=first.first_time, first=first.first)


@dataclass(frozen=True, kw_only=True)
class StoredPacket:
    """Where one packet stands in the file, and what it is."""

    place: int
    is_keyframe: bool
    size: int
    side_data: tuple[tuple[str, int], ...] = ()
    """ColourModel and size of what follows the packet."""


@dataclass(frozen=True, kw_only=True)
class SegmentHeader:
    """What a segment file holds."""

    times: tuple[int, ...]
    """Of its frames, in units of the source's stream, rising."""
    packets: tuple[StoredPacket, ...]
    extradata: str
    """Of the encoder, as hexadecimal digits."""
    findings: FrameFindings
    sha256: str
    """Of all that follows the header."""


def write_segment(path: Path, times: tuple[int, ...], packets: list[EncodedPacket], extradata: bytes,
                  findings: FrameFindings) -> None:
    """Write a segment whole; raises UnwritableVideo, as on a full disk."""
    digest = hashlib.sha256()
    for packet in packets:
        for data in (packet.data, *(data for _, data in packet.side_data)):
            digest.update(data)
    header = SegmentHeader(
        times=times, extradata=extradata.hex(), findings=findings, sha256=digest.hexdigest(),
        packets=tuple(StoredPacket(place=packet.place, is_keyframe=packet.is_keyframe, size=len(packet.data),
                                   side_data=tuple((kind, len(data)) for kind, data in packet.side_data))
                      for packet in packets))
    with writing(path), replacing(path) as temporary, temporary.open("wb") as file:
        file.write(json.dumps(to_builtins(header)).encode() + b"\n")
        for packet in packets:
            file.writelines((packet.data, *(data for _, data in packet.side_data)))


def read_header(path: Path) -> SegmentHeader:
    """What a segment holds, without its packets; raises OtherVideoRun for a damaged file."""
    try:
        with path.open("rb") as file:
            return _decoded(path, file.readline())
    except OSError as error:
        raise _damaged(path, error.strerror or str(error)) from error


def read_segment(path: Path) -> tuple[SegmentHeader, list[EncodedPacket]]:
    """Read a segment and check its hash; raises OtherVideoRun for a damaged file."""
    try:
        line, _, body = path.read_bytes().partition(b"\n")
    except OSError as error:
        raise _damaged(path, error.strerror or str(error)) from error
    header = _decoded(path, line)
    if hashlib.sha256(body).hexdigest() != header.sha256:
        raise _damaged(path, "its content is not what was written")
    packets, place = [], 0
    for stored in header.packets:
        data, place = body[place:place + stored.size], place + stored.size
        side = []
        for kind, size in stored.side_data:
            side.append((kind, body[place:place + size]))
            place += size
        packets.append(EncodedPacket(place=stored.place, is_keyframe=stored.is_keyframe, data=data,
                                     side_data=tuple(side)))
    return header, packets


def _decoded(path: Path, line: bytes) -> SegmentHeader:
    return decode_json(line, SegmentHeader, lambda reason: _damaged(path, reason))


def _damaged(path: Path, reason: str) -> OtherVideoRun:
    return OtherVideoRun(f"{path}, a finished part of a video, is damaged: {reason}.",
                         remedy="Delete it and give the same command again: it is made anew.")
