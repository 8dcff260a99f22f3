"""Where a stream is cut into segments: pure arithmetic on the times of its packets."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

FEWEST_FRAMES = 48
"""Two seconds of a film: a segment begins with a keyframe, which costs bytes."""

MOST_FRAMES = 240
"""A segment is what a killed run has to do again: longer groups of pictures are cut inside."""


@dataclass(frozen=True, kw_only=True)
class TimedPacket:
    """What one packet of a video stream says of itself, in the order of the file."""

    pts: int
    is_keyframe: bool
    is_shown: bool = True
    """False for what an edit list cuts away: it is decoded, and gives no frame."""


@dataclass(frozen=True, kw_only=True)
class Segment:
    """The frames from one time on to before another."""

    number: int
    first_packet: int
    """In the order of the file, a keyframe: from here on everything is decoded."""
    start: int | None
    """The time of the first frame, in units of the stream; None: whatever comes first."""
    stop: int | None
    """The time from which on frames belong to the next segment; None: until the end."""
    frames: int
    """As many as there are packets: some codecs have packets that show nothing."""


def plan_segments(packets: Sequence[TimedPacket], *, fewest: int = FEWEST_FRAMES,
                  most: int = MOST_FRAMES) -> list[Segment]:
    """Cut a stream at keyframes, and inside of groups of pictures that are longer than `most` frames.

    A keyframe begins a segment where no earlier packet is shown after it, so that the frames of a segment need
    nothing that comes before its first packet. Frames are counted by their times, in the order in which they are shown.
    """
    times = sorted(packet.pts for packet in packets if packet.is_shown)
    anchors = _anchors(packets)
    cuts: list[tuple[int, int]] = []  # (packet, time)
    last = 0
    for place, (packet, time) in enumerate(anchors):
        position = bisect_left(times, time)
        if place and position - last >= fewest and len(times) - position > 0:
            cuts.append((packet, time))
            last = position
        following = anchors[place + 1][1] if place + 1 < len(anchors) else None
        end = len(times) if following is None else bisect_left(times, following)
        while end - last >= most + fewest:  # what remains is no shorter than the shortest
            last += most
            cuts.append((packet, times[last]))
    return _between(cuts, times)


def _anchors(packets: Sequence[TimedPacket]) -> list[tuple[int, int]]:
    """Packet and time of every keyframe that follows all that came before it; the first packet is one in any case."""
    anchors, latest = [], None
    for index, packet in enumerate(packets):
        if index == 0 or (packet.is_keyframe and latest is not None and packet.pts > latest):
            anchors.append((index, packet.pts))
        latest = packet.pts if latest is None else max(latest, packet.pts)
    return anchors


def _between(cuts: Sequence[tuple[int, int]], times: Sequence[int]) -> list[Segment]:
    starts: list[tuple[int, int | None]] = [(0, None), *cuts]
    stops: list[int | None] = [*(time for _, time in cuts), None]
    segments = []
    for number, ((packet, start), stop) in enumerate(zip(starts, stops, strict=True)):
        first = 0 if start is None else bisect_left(times, start)
        last = len(times) if stop is None else bisect_left(times, stop)
        segments.append(Segment(number=number, first_packet=packet, start=start, stop=stop, frames=last - first))
    return segments
