"""Where a video is cut: segments share out the frames, and begin where a decoder can begin."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from srn_deploy.video.joining import packet_times
from srn_deploy.video.segment_file import FrameFindings, SegmentHeader, StoredPacket
from srn_deploy.video.segments import TimedPacket, plan_segments

GROUPS = st.lists(st.integers(1, 30), min_size=1, max_size=12)


def stream(groups: list[int], *, leading: int = 0) -> list[TimedPacket]:
    """Groups of pictures of these lengths; leading: frames after a keyframe in the file that are shown before it."""
    packets, start = [], 0
    for number, length in enumerate(groups):
        early = min(leading, length - 1) if number else 0
        times = [start + early, *(start + place for place in range(length) if place != early)]
        packets += [TimedPacket(pts=10 * time, is_keyframe=place == 0) for place, time in enumerate(times)]
        start += length
    return packets


@given(GROUPS, st.integers(0, 3))
def test_every_frame_belongs_to_exactly_one_segment(groups: list[int], leading: int) -> None:
    packets = stream(groups, leading=leading)
    segments = plan_segments(packets, fewest=5, most=12)
    for packet in packets:
        holding = [segment for segment in segments if (segment.start is None or packet.pts >= segment.start)
                   and (segment.stop is None or packet.pts < segment.stop)]
        assert len(holding) == 1
    assert sum(segment.frames for segment in segments) == len(packets)


@given(GROUPS, st.integers(0, 3))
def test_a_segment_begins_at_a_keyframe_that_is_shown_no_later_than_its_first_frame(
        groups: list[int], leading: int) -> None:
    packets = stream(groups, leading=leading)
    for segment in plan_segments(packets, fewest=5, most=12):
        first = packets[segment.first_packet]
        assert first.is_keyframe
        assert segment.start is None or first.pts <= segment.start


@given(GROUPS)
def test_segments_are_neither_short_nor_long(groups: list[int]) -> None:
    segments = plan_segments(stream(groups), fewest=5, most=12)
    assert all(segment.frames < 12 + 5 + 5 for segment in segments)
    assert all(segment.frames >= 5 for segment in segments[:-1])


@st.composite
def encoded(draw: st.DrawFn) -> list[SegmentHeader]:
    """Headers of segments whose packets an encoder reordered, at a variable rate."""
    headers, time = [], draw(st.integers(-500, 500))
    for _ in range(draw(st.integers(1, 4))):
        count = draw(st.integers(1, 12))
        times = []
        for _ in range(count):
            times.append(time)
            time += draw(st.integers(1, 90))
        depth = draw(st.integers(0, 3))
        early = {place: depth + 1 if place % (depth + 1) == 0 else 0 for place in range(count)}
        places = sorted(early, key=lambda place, early=early: place - early[place])  # type: ignore[misc]
        packets = tuple(StoredPacket(place=place, is_keyframe=False, size=1) for place in places)
        headers.append(SegmentHeader(times=tuple(times), packets=packets, extradata="", sha256="",
                                     findings=FrameFindings()))
    return headers


@given(encoded())
def test_packets_are_decoded_in_rising_order_and_before_they_are_shown(headers: list[SegmentHeader]) -> None:
    times = packet_times(headers, 40)
    assert all(before < after for before, after in zip(times.dts, times.dts[1:], strict=False))
    assert all(dts <= pts for dts, pts in zip(times.dts, times.pts, strict=True))
    assert sorted(times.pts) == [time for header in headers for time in header.times]
