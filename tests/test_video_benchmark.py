"""The benchmark of videos, reduced: what it measures is what it says."""

from __future__ import annotations

from pathlib import Path

import av
import pytest

from benchmarks import video
from benchmarks.video import draw_clip, offset_samples
from benchmarks.video_page import video_tables
from srn_deploy.benchmark.records import Record


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Record:
    """Two encoders, eight small frames, one round."""
    folder = tmp_path_factory.mktemp("video")
    video.main(["--size", "32x48", "--frames", "8", "--rounds", "1", "--encoders", "libx264", "ffv1", "--threads", "1",
                "--device", "cpu", "--records", str(folder)])
    return Record.load(folder / "video.json")


def test_the_network_computes_in_a_part_of_the_time(record: Record) -> None:
    for row in record.results["rows"]:
        (seconds,), (network,) = row["seconds"], row["network_seconds"]
        assert 0 < network < seconds


MILLISECOND = 48
"""In samples: Matroska rounds the times of frames and of sound to whole ones, each by half at most."""


def test_sound_and_picture_stay_together(record: Record) -> None:
    offsets = {row["encoder"]: row["offset_samples"] for row in record.results["rows"]}
    assert offsets["libx264"] == 0  # from MP4 to MP4
    assert offsets["ffv1"] <= MILLISECOND  # to MKV


def test_an_offset_is_seen_where_there_is_one(tmp_path: Path) -> None:
    clip = draw_clip(tmp_path / "clip.mp4", (32, 48), 4)
    assert offset_samples(clip, clip) == 0
    with av.open(str(clip)) as source, av.open(str(tmp_path / "late.mp4"), "w") as late:
        made = {stream.index: late.add_stream_from_template(stream, opaque=True) for stream in source.streams}
        for packet in source.demux():
            if packet.size and packet.dts is not None and packet.pts is not None:
                moved = 512 if packet.stream.type == "video" else 0  # of 12288 ticks in a second: 2000 samples
                packet.pts, packet.dts = packet.pts + moved, packet.dts + moved
                packet.stream = made[packet.stream_index]
                late.mux(packet)
    # An edit list counts whole milliseconds by default, of which there are 41.
    assert offset_samples(clip, tmp_path / "late.mp4") == pytest.approx(2000, abs=MILLISECOND)


def test_the_table_has_a_row_for_each_encoder(record: Record) -> None:
    _, table = video_tables(record.results)
    assert [line.split(" | ")[0] for line in table.splitlines()[2:]] == ["| libx264", "| ffv1"]
