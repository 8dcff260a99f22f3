"""Videos from file to file: every frame enlarged, everything else as it was, whatever happens on the way."""

from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from srn_deploy.errors import OtherVideoRun, UnwritableVideo
from srn_deploy.video import segments as cutting
from srn_deploy.video.options import VideoOptions
from srn_deploy.video.work_folder import work_folder_of
from tests.clips import (
    FRAMES,
    HEIGHT,
    REC709,
    RGB_FULL,
    WIDTH,
    Clip,
    FloatBackend,
    frames_in,
    make_clip,
    moving,
    upscaled,
)
from tests.fakes import NearestBackend

UNEVEN = [0, 50, 70, 130, 200, 210, 290, 300, 370, 420, 500, 505, 600, 640, 700, 770, 800, 850, 930, 960, 1000, 1080,
          1100, 1150]
"""Times of frames at a variable rate, in ticks."""


@pytest.fixture
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clips of 24 frames in several segments."""
    monkeypatch.setattr(cutting.plan_segments, "__kwdefaults__", {"fewest": 6, "most": 8})


def times(path: Path) -> list[Fraction]:
    return [time for time, _ in frames_in(path)]


def packets(path: Path) -> list[tuple[int, int | None, bytes]]:
    """Stream, time and content of every packet, in the order of the file."""
    with av.open(str(path)) as container:
        return [(packet.stream_index, packet.pts, bytes(packet)) for packet in container.demux() if packet.size]


@pytest.mark.parametrize("pixels", ["yuv420p", "yuv422p", "yuv444p", "gray", "yuv420p10le", "yuv444p12le", "bgr0"])
def test_a_backend_that_repeats_pixels_gives_a_video_of_repeated_luma(tmp_path: Path, pixels: str) -> None:
    source = make_clip(tmp_path / "in.mkv", Clip(pixels=pixels, colour=RGB_FULL if pixels == "bgr0" else REC709))
    upscaled(source, tmp_path / "out.mkv", backend=FloatBackend())
    small, large = frames_in(source), frames_in(tmp_path / "out.mkv")
    assert len(large) == FRAMES
    for (_, before), (_, after) in zip(small, large, strict=True):
        luma = before[0].repeat(2, axis=0).repeat(2, axis=1)
        np.testing.assert_allclose(after[0].astype(int), luma.astype(int), atol=1)


@pytest.mark.parametrize(("encoder", "suffix", "options"), [
    ("libx264", ".mp4", {"bf": "2", "g": "9"}), ("libx264", ".mkv", {"bf": "2"}), ("libx265", ".mov", {}),
    ("mpeg4", ".mp4", {"bf": "1"})])
def test_times_at_a_variable_rate_stay_with_b_frames_on_both_sides(
        tmp_path: Path, encoder: str, suffix: str, options: dict[str, str]) -> None:
    source = make_clip(tmp_path / f"in{suffix}", Clip(encoder=encoder, times=UNEVEN, options=options))
    upscaled(source, tmp_path / f"out{suffix}", VideoOptions(codec="libx264", encoder_options=(("bf", "2"),)))
    assert times(tmp_path / f"out{suffix}") == times(source)


def test_the_first_frame_may_come_late(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", Clip(times=[time + 600 for time in UNEVEN]))
    upscaled(source, tmp_path / "out.mkv")
    assert times(tmp_path / "out.mkv") == times(source)
    assert times(source)[0] == Fraction(1, 2)


def test_what_an_edit_list_cuts_off_before_time_zero_stays_cut_off(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(encoder="libx264", times=[time - 100 for time in UNEVEN]))
    upscaled(source, tmp_path / "out.mp4", VideoOptions(codec="libx264"))
    assert times(tmp_path / "out.mp4") == times(source)
    assert len(times(source)) < FRAMES


@pytest.mark.usefixtures("short_segments")
@pytest.mark.parametrize("options", [{"g": "5"}, {"g": "250"}, {"g": "6", "x264-params": "open-gop=1"}],
                         ids=["short groups", "one long group", "open groups"])
def test_a_run_that_was_stopped_goes_on_and_gives_the_same_packets_as_an_undisturbed_one(
        tmp_path: Path, options: dict[str, str]) -> None:
    source = make_clip(tmp_path / "in.mkv", Clip(encoder="libx264", times=UNEVEN, options=options | {"bf": "2"},
                                                 sound=True))
    wanted = VideoOptions(codec="libx264")
    upscaled(source, tmp_path / "whole.mkv", wanted)
    target, backends = tmp_path / "stopped.mkv", []
    for stop_at in (3, 11, 17, None):
        backends.append(NearestBackend())

        def stop(done: int, total: int, at: int | None = stop_at) -> None:
            if done == at:
                raise KeyboardInterrupt

        if stop_at is None:
            upscaled(source, target, wanted, backend=backends[-1], on_frame=stop)
        else:
            with pytest.raises(KeyboardInterrupt):
                upscaled(source, target, wanted, backend=backends[-1], on_frame=stop)
            assert not target.exists()
    assert packets(target) == packets(tmp_path / "whole.mkv")
    assert not work_folder_of(target).exists()
    assert len(backends[-1].shapes) < FRAMES


@pytest.mark.usefixtures("short_segments")
def test_the_rest_is_encoded_with_the_threads_of_the_first_run_on_any_machine(tmp_path: Path) -> None:
    source, wanted = make_clip(tmp_path / "in.mkv"), VideoOptions(codec="libx264")
    upscaled(source, tmp_path / "whole.mkv", wanted, threads=3)

    def stop(done: int, total: int) -> None:
        if done == 14:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        upscaled(source, tmp_path / "out.mkv", wanted, threads=3, on_frame=stop)
    upscaled(source, tmp_path / "out.mkv", wanted, threads=1)
    assert packets(tmp_path / "out.mkv") == packets(tmp_path / "whole.mkv")


@pytest.mark.usefixtures("short_segments")
def test_a_folder_without_a_finished_segment_binds_nobody(tmp_path: Path) -> None:
    source, target = make_clip(tmp_path / "in.mkv"), tmp_path / "out.mkv"
    work_folder_of(target).mkdir()
    (work_folder_of(target) / "plan.json").write_text("of a run that was killed at once", encoding="utf-8")
    upscaled(source, target)
    assert times(target) == times(source)


@pytest.mark.usefixtures("short_segments")
def test_segments_of_another_model_or_codec_are_never_joined(tmp_path: Path) -> None:
    source, target = make_clip(tmp_path / "in.mkv"), tmp_path / "out.mkv"

    def stop(done: int, total: int) -> None:
        if done == 14:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        upscaled(source, target, on_frame=stop)
    with pytest.raises(OtherVideoRun, match="another codec or other options"):
        upscaled(source, target, VideoOptions(codec="libx264"))
    with pytest.raises(OtherVideoRun, match="another model"):
        upscaled(source, target, backend=FloatBackend())
    make_clip(source, Clip(frame=lambda number: moving(number + 1)))
    with pytest.raises(OtherVideoRun, match="another video"):
        upscaled(source, target)


@pytest.mark.usefixtures("short_segments")
def test_ctrl_c_leaves_a_video_that_plays_if_asked(tmp_path: Path) -> None:
    source, target = make_clip(tmp_path / "in.mkv", Clip(sound=True)), tmp_path / "out.mkv"

    def stop(done: int, total: int) -> None:
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        upscaled(source, target, VideoOptions(codec="ffv1", keep_partial=True), on_frame=stop)
    assert not target.exists()
    begun = times(tmp_path / "out.partial.mkv")
    assert begun == times(source)[:len(begun)]
    assert 0 < len(begun) <= 20


@pytest.mark.usefixtures("short_segments")
def test_a_damaged_segment_is_named_and_can_be_made_again(tmp_path: Path) -> None:
    source, target = make_clip(tmp_path / "in.mkv"), tmp_path / "out.mkv"

    def stop(done: int, total: int) -> None:
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        upscaled(source, target, on_frame=stop)
    segment = min(work_folder_of(target).glob("*.segment"))
    segment.write_bytes(segment.read_bytes()[:-9])
    with pytest.raises(OtherVideoRun, match=segment.name):
        upscaled(source, target)
    segment.unlink()
    upscaled(source, target)
    assert times(target) == times(source)


def test_frames_that_repeat_are_computed_once(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", Clip(frame=lambda number: moving(number // 6)))
    backend = NearestBackend()
    upscaled(source, tmp_path / "out.mkv", backend=backend)
    assert len(backend.shapes) == FRAMES // 6
    assert len(frames_in(tmp_path / "out.mkv")) == FRAMES


def test_sound_chapters_and_metadata_are_copied_packet_by_packet(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", Clip(sound=True, metadata={"title": "A clip", "artist": "Nobody"}))
    upscaled(source, tmp_path / "out.mkv")
    sound = [[packet for packet in packets(path) if packet[0] == 1] for path in (source, tmp_path / "out.mkv")]
    assert sound[0] == sound[1] != []
    with av.open(str(tmp_path / "out.mkv")) as container:
        found = {name.lower(): value for name, value in container.metadata.items()}
    assert (found["title"], found["artist"]) == ("A clip", "Nobody")


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_the_shape_of_pixels_and_the_rotation_stay(tmp_path: Path, suffix: str) -> None:
    source = make_clip(tmp_path / f"in{suffix}", Clip(encoder="libx264", sample_aspect=Fraction(4, 3), rotation=90))
    upscaled(source, tmp_path / f"out{suffix}", VideoOptions(codec="libx264"))
    with av.open(str(tmp_path / f"out{suffix}")) as container:
        frame = next(container.decode(video=0))
        assert (frame.width, frame.height, frame.rotation) == (2 * WIDTH, 2 * HEIGHT, 90)
        assert container.streams.video[0].sample_aspect_ratio == Fraction(4, 3)


def test_pixels_that_are_not_square_are_refused_where_the_container_cannot_say_so(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(encoder="libx264", sample_aspect=Fraction(4, 3)))
    backend = NearestBackend()
    with pytest.raises(UnwritableVideo, match="4:3"):
        upscaled(source, tmp_path / "out.mkv", VideoOptions(codec="libsvtav1"), backend=backend)
    assert backend.shapes == []
    assert not hasattr(os, "SCHED_FIFO") or os.sched_getscheduler(0) != os.SCHED_FIFO  # SVT-AV1 takes it for root
