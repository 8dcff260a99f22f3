"""Finished segments to one stream, without encoding again, beside everything else of the source."""

from __future__ import annotations

import heapq
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import av

from srn_deploy.errors import UnwritableVideo
from srn_deploy.system.atomic import replacing
from srn_deploy.video.encoding import as_packet
from srn_deploy.video.library import opened, writing
from srn_deploy.video.output import VideoTarget, copied_packets, opened_output, start_output
from srn_deploy.video.scan import Scan, VideoStream
from srn_deploy.video.segment_file import SegmentHeader, read_header, read_segment


@dataclass(frozen=True, kw_only=True, eq=False)
class FinishedStream:
    """One stream of the source and its segments, in order."""

    stream: VideoStream
    target: VideoTarget
    segments: Sequence[Path]


@dataclass(frozen=True, kw_only=True)
class Times:
    """When each packet is decoded, shown and over, in the order of decoding and in units of the source's stream."""

    dts: tuple[int, ...]
    pts: tuple[int, ...]
    durations: tuple[int, ...]


def packet_times(headers: Sequence[SegmentHeader], last_duration: int) -> Times:
    """The times of all packets: shown when the source's frames are, and decoded as late as all of them allow.

    A packet is decoded when the frame is shown that lies as many places before it as the encoder reorders at most.
    """
    shown = [time for header in headers for time in header.times]
    offsets = accumulate((len(header.times) for header in headers), initial=0)
    places = [offset + packet.place for offset, header in zip(offsets, headers, strict=False)
              for packet in header.packets]
    delay = max((order - place for order, place in enumerate(places)), default=0)
    step = max(1, shown[1] - shown[0]) if len(shown) > 1 else max(1, last_duration)
    early = [shown[0] - (delay - order) * step for order in range(delay)] if shown else []
    lasting = [*(after - before for before, after in pairwise(shown)), last_duration or step]
    return Times(dts=tuple([*early, *shown][:len(places)]), pts=tuple(shown[place] for place in places),
                 durations=tuple(lasting[place] for place in places))


def join(target: Path, scanned: Scan, finished: Sequence[FinishedStream], *, end: float | None = None) -> None:
    """Write the target whole, or not at all. end: in seconds, where it is only the beginning of the video.

    Raises UnwritableVideo, as on a full disk.
    """
    targets = {each.stream.index: each.target for each in finished}
    with (opened(scanned.path) as source, writing(target), replacing(target) as temporary,
          opened_output(os.fspath(temporary), target, source) as container):
        output = start_output(container, source, scanned, targets, target)
        feeds = [_packets(each, output.videos[each.stream.index], target) for each in finished]
        for packet in heapq.merge(copied_packets(output, source, end), *feeds, key=_decoded_at):
            container.mux(packet)


def _decoded_at(packet: av.Packet[Any]) -> Fraction:
    time = packet.dts if packet.dts is not None else packet.pts or 0
    return time * packet.time_base


def _packets(finished: FinishedStream, stream: Any, target: Path) -> Iterator[av.Packet[Any]]:
    headers = [read_header(path) for path in finished.segments]
    times = packet_times(headers, finished.stream.last_duration)
    extradata = (stream.codec_context.extradata or b"").hex()
    order = 0
    for path in finished.segments:
        header, packets = read_segment(path)
        if header.extradata != extradata or len(packets) != len(header.times):
            raise UnwritableVideo(f"{target}: segments of {finished.target.encoding.encoder} do not fit together.",
                                  remedy="Choose another --codec.")
        for encoded in packets:
            packet = as_packet(encoded)
            packet.stream, packet.time_base = stream, finished.stream.time_base
            packet.dts, packet.pts = times.dts[order], times.pts[order]
            packet.duration = times.durations[order]
            yield packet
            order += 1

