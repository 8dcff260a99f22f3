"""What cannot be upscaled well is refused before the work, with the command that helps; what is finished stays."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from srn_deploy.errors import OptionError, SrnDeployError, UnreadableVideo, UnsupportedVideo, UnwritableVideo
from srn_deploy.system.cuda_driver import why_no_gpu
from srn_deploy.video import encoders, scan
from srn_deploy.video import segments as cutting
from srn_deploy.video.colour import BT2020, PQ, SMPTE170M, FrameColour
from srn_deploy.video.decoding import SegmentReader
from srn_deploy.video.options import VideoOptions
from srn_deploy.video.work_folder import work_folder_of
from tests.clips import FRAMES, Clip, FloatBackend, frames_in, make_clip, moving, upscaled
from tests.fakes import NearestBackend


def refused(source: Path, target: Path, kind: type[SrnDeployError], options: VideoOptions | None = None) -> str:
    """The text of the error that a run ends with before the network ran once."""
    backend = FloatBackend()
    with pytest.raises(kind) as caught:
        upscaled(source, target, options or VideoOptions(codec="ffv1"), backend=backend)
    assert backend.shapes == []
    assert not target.exists()
    assert not work_folder_of(target).exists()
    return str(caught.value)


@pytest.mark.parametrize("suffix", [".mkv", ".mp4", ".avi"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.8])
def test_a_video_that_is_cut_short_is_refused_however_much_is_there(tmp_path: Path, suffix: str, share: float) -> None:
    long = Clip(encoder="mpeg4", times=range(96), ticks=Fraction(1, 24))
    whole = make_clip(tmp_path / f"whole{suffix}", long).read_bytes()
    source = tmp_path / f"in{suffix}"
    source.write_bytes(whole[:int(len(whole) * share)])
    assert "ffmpeg" in refused(source, tmp_path / "out.mkv", UnreadableVideo)


def test_fewer_frames_than_the_container_says_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(encoder="mpeg4"))
    whole = av.container.InputContainer.demux
    monkeypatch.setattr(scan, "opened", lambda path: Shortened(av.open(str(path)), whole))
    assert f"has {FRAMES} frames, and {FRAMES - 3} are there" in refused(source, tmp_path / "out.mkv", UnreadableVideo)


class Shortened:
    """A container that gives three packets less than it has."""

    def __init__(self, container: Any, demux: Callable[..., Any]) -> None:
        self._container, self._demux = container, demux

    def demux(self) -> Any:
        packets = [packet for packet in self._demux(self._container) if packet.size]
        return iter(packets[:-3])

    def __getattr__(self, name: str) -> Any:
        return getattr(self._container, name)

    def __enter__(self) -> Shortened:
        return self

    def __exit__(self, *error: object) -> None:
        self._container.close()


@pytest.mark.parametrize("suffix", [".avi", ".mp4"])
def test_more_frames_than_the_container_says_are_all_upscaled(
        tmp_path: Path, suffix: str, caplog: pytest.LogCaptureFixture) -> None:
    source = make_clip(tmp_path / f"in{suffix}", Clip(encoder="mpeg4", times=range(FRAMES), ticks=Fraction(1, 24),
                                                      options={"g": "8"}, muxer={"movflags": "frag_keyframe"}))
    if suffix == ".avi":
        length = (whole := source.read_bytes()).index(b"vids") + 32  # in the header of the stream
        source.write_bytes(whole[:length] + (8).to_bytes(4, "little") + whole[length + 4:])
    with av.open(str(source)) as container:
        assert container.streams.video[0].frames == 8  # of MP4, those of the first fragment
    upscaled(source, tmp_path / "out.mkv")
    assert len(frames_in(tmp_path / "out.mkv")) == FRAMES
    assert ("says that it has 8 frames; all 24 that are there" in caplog.text) == (suffix == ".mp4")


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    source = tmp_path / "in.mkv"
    with av.open(str(source), "w") as container:
        stream: Any = container.add_stream("pcm_s16le", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 2048), np.int16), format="s16", layout="stereo")
        frame.sample_rate = 48000
        container.mux(stream.encode(frame))
    assert "no video stream, only audio" in refused(source, tmp_path / "out.mkv", UnreadableVideo)


def test_a_stream_without_frames_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "in.mov"
    with av.open(str(source), "w") as container:
        stream: Any = container.add_stream("mpeg4", rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    refused(source, tmp_path / "out.mkv", UnreadableVideo)


@pytest.mark.parametrize("content", [b"", b"not a video", b"\x00" * 5000, b"RIFF\x00\x00\x00\x00AVI "])
def test_a_file_that_is_no_video_is_refused(tmp_path: Path, content: bytes) -> None:
    source = tmp_path / "in.avi"
    source.write_bytes(content)
    refused(source, tmp_path / "out.mkv", UnreadableVideo)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    assert "does not exist" in refused(tmp_path / "nothing.mkv", tmp_path / "out.mkv", UnreadableVideo)
    (tmp_path / "folder.mkv").mkdir()
    assert "not a file" in refused(tmp_path / "folder.mkv", tmp_path / "out.mkv", UnreadableVideo)


def test_interlaced_video_is_refused_with_the_command_that_deinterlaces_it(tmp_path: Path) -> None:
    fields = {"flags": "+ildct", "x264-params": "tff=1"}
    source = make_clip(tmp_path / "in.mkv", Clip(encoder="libx264", options=fields))
    assert "bwdif" in refused(source, tmp_path / "out.mkv", UnsupportedVideo)


def test_hdr_video_is_refused_with_the_command_that_makes_it_sdr(tmp_path: Path) -> None:
    colour = FrameColour(matrix=BT2020, full_range=False, primaries=BT2020, transfer=PQ)
    source = make_clip(tmp_path / "in.mkv", Clip(pixels="yuv420p10le", colour=colour))
    assert "tonemap" in refused(source, tmp_path / "out.mkv", UnsupportedVideo)


def test_ten_bits_are_refused_by_a_model_that_takes_eight(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", Clip(pixels="yuv420p10le"))
    with pytest.raises(SrnDeployError, match="takes 8 bits"):
        upscaled(source, tmp_path / "out.mkv", backend=NearestBackend())


def test_transparency_is_refused_where_the_container_has_none(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", Clip(pixels="yuva420p"))
    assert "transparency" in refused(source, tmp_path / "out.mp4", UnwritableVideo, VideoOptions())


@pytest.mark.parametrize(("codec", "told"), [("nonsense", "no encoder"), ("aac", "no encoder"),
                                             ("libx264", "does not hold RGB")])
def test_an_encoder_that_is_not_there_or_does_not_fit_is_refused(tmp_path: Path, codec: str, told: str) -> None:
    source = make_clip(tmp_path / "in.mkv", Clip(pixels="yuva444p"))
    kind = UnwritableVideo if codec == "libx264" else OptionError
    assert ("transparency" if codec == "libx264" else told) in refused(
        source, tmp_path / "out.mkv", kind, VideoOptions(codec=codec))


@pytest.mark.parametrize(("codec", "instead"), [("h264_nvenc", "libx264"), ("hevc_nvenc", "libx265"),
                                                ("av1_nvenc", "libsvtav1")])
def test_nvenc_without_a_gpu_says_what_it_needs_before_any_encoder_is_opened(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str, instead: str) -> None:
    source = make_clip(tmp_path / "in.mkv")
    monkeypatch.setattr(encoders, "why_no_gpu", lambda: "no NVIDIA driver on this machine")
    told = refused(source, tmp_path / "out.mkv", UnwritableVideo, VideoOptions(codec=codec))
    assert told == (f"{codec} cannot encode here: no NVIDIA driver on this machine.\nIt needs an NVIDIA GPU that has "
                    f"NVENC, and its driver. Use --codec {instead}, which encodes on the CPU.")


@pytest.mark.skipif(not why_no_gpu(), reason="the GPU may have NVENC")
@pytest.mark.skipif("h264_nvenc" not in av.codecs_available, reason="this PyAV has no NVENC")
def test_nvenc_that_does_not_open_says_what_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a GPU without NVENC: the driver is there, and the encoder does not open."""
    source = make_clip(tmp_path / "in.mkv")
    monkeypatch.setattr(encoders, "why_no_gpu", lambda: "")
    told = refused(source, tmp_path / "out.mkv", UnwritableVideo, VideoOptions(codec="h264_nvenc"))
    assert told.startswith("h264_nvenc cannot encode here: ")
    assert "It needs an NVIDIA GPU that has NVENC" in told


def test_a_decoder_that_pyav_lacks_is_an_error_with_its_remedy(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.avi", Clip(encoder="mpeg4"))
    content = source.read_bytes().replace(b"FMP4", b"XYZ9").replace(b"fmp4", b"XYZ9")
    source.write_bytes(content)
    assert "not read here" in refused(source, tmp_path / "out.mkv", UnsupportedVideo)


@pytest.mark.parametrize("setting", [("no-such-option", "1"), ("preset", "no-such-preset")])
def test_an_option_that_the_encoder_does_not_have_is_refused(tmp_path: Path, setting: tuple[str, str]) -> None:
    source = make_clip(tmp_path / "in.mkv")
    refused(source, tmp_path / "out.mkv", SrnDeployError, VideoOptions(codec="libx264", encoder_options=(setting,)))


def test_a_codec_that_the_container_cannot_hold_is_refused(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv")
    assert "webm" in refused(source, tmp_path / "out.webm", UnwritableVideo, VideoOptions(codec="libx264"))


def test_a_crf_for_an_encoder_without_one_is_refused(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv")
    refused(source, tmp_path / "out.mkv", OptionError, VideoOptions(codec="ffv1", crf=20))


def test_subtitles_that_the_container_cannot_hold_are_refused_before_the_work(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", Clip(sound=True))  # sound as PCM, which WebM does not have
    assert "does not hold the audio" in refused(source, tmp_path / "out.webm", UnwritableVideo,
                                                VideoOptions(codec="libvpx-vp9"))


def test_a_video_whose_size_changes_is_refused_where_it_does(tmp_path: Path) -> None:
    source = tmp_path / "in.ts"
    with av.open(str(source), "w") as container:
        stream: Any = container.add_stream("libx264", rate=24)
        stream.width, stream.height = 64, 48
        wide: Any = av.CodecContext.create("libx264", "w")
        wide.width, wide.height, wide.pix_fmt, wide.time_base = 128, 48, "yuv420p", Fraction(1, 24)
        for number in range(2 * FRAMES):
            context = stream.codec_context if number < FRAMES else wide
            frame = av.VideoFrame(64 if number < FRAMES else 128, 48, "yuv420p")
            frame.pts, frame.time_base = number, Fraction(1, 24)
            for packet in context.encode(frame) + (context.encode(None) if number % FRAMES == FRAMES - 1 else []):
                packet.stream, packet.time_base = stream, Fraction(1, 24)
                container.mux(packet)
    with pytest.raises(UnsupportedVideo, match="change from 64 x 48 to 128 x 48"):
        upscaled(source, tmp_path / "out.mkv")


def test_frames_that_are_too_large_are_refused(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", Clip(frame=lambda number: moving(0).repeat(20, axis=0).repeat(20, axis=1),
                                                 times=[0]))
    assert "megapixels" in refused(source, tmp_path / "out.mkv", UnsupportedVideo)


def test_a_disk_that_fills_up_in_a_segment_leaves_the_finished_ones(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting.plan_segments, "__kwdefaults__", {"fewest": 6, "most": 8})
    source, target = make_clip(tmp_path / "in.mkv"), tmp_path / "out.mkv"
    real = json.dumps
    written = []

    def full_on_the_second(document: Any, **options: Any) -> str:
        if isinstance(document, dict) and "extradata" in document:
            written.append(document)
            if len(written) == 2:
                raise OSError(errno.ENOSPC, "No space left on device")
        return real(document, **options)

    monkeypatch.setattr(json, "dumps", full_on_the_second)
    with pytest.raises(UnwritableVideo, match="No space left") as caught:
        upscaled(source, target)
    assert "finished segments are kept" in caught.value.remedy
    assert len(list(work_folder_of(target).glob("*.segment"))) == 1
    upscaled(source, target)
    assert len(frames_in(target)) == FRAMES


def test_every_container_has_a_default_without_gpl(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(av, "codecs_available",
                        {name for name in av.codecs_available if not name.startswith(("libx264", "libx265"))})
    sd = FrameColour(matrix=SMPTE170M, full_range=False, primaries=SMPTE170M, transfer=SMPTE170M)
    source = make_clip(tmp_path / "in.mkv", Clip(colour=sd))  # which AVI cannot say, and players assume
    for suffix in (".mkv", ".mp4", ".mov", ".webm", ".ts", ".avi"):
        upscaled(source, tmp_path / f"out{suffix}", VideoOptions())
        with av.open(str(tmp_path / f"out{suffix}")) as container:
            assert container.streams.video[0].codec_context.name not in ("h264", "hevc")


def test_packets_that_give_no_frame_are_counted_in_a_warning(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    whole = SegmentReader._decoded

    def without_the_eighth(reader: SegmentReader, *segments: Any) -> Iterator[av.VideoFrame]:
        yield from (frame for number, frame in enumerate(whole(reader, *segments)) if number != 7)

    monkeypatch.setattr(SegmentReader, "_decoded", without_the_eighth)
    upscaled(make_clip(tmp_path / "in.mkv"), tmp_path / "out.mkv")
    assert f"1 of {FRAMES} packets of its video gave no frame" in caplog.text
    assert len(frames_in(tmp_path / "out.mkv")) == FRAMES - 1


def test_where_mkv_is_asked_for_the_remedy_is_not_to_write_mkv(tmp_path: Path) -> None:
    source = tmp_path / "in.wmv"
    with av.open(str(source), "w", format="asf") as container:
        stream: Any = container.add_stream("wmv2", rate=24)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        sound: Any = container.add_stream("wmav2", rate=48000, bit_rate=64000)
        for number in range(4):
            container.mux(stream.encode(av.VideoFrame(64, 48, "yuv420p")))
            samples = av.AudioFrame.from_ndarray(np.zeros((2, 2048), np.float32), format="fltp", layout="stereo")
            samples.sample_rate, samples.pts = 48000, 2048 * number
            container.mux(sound.encode(samples))
        container.mux(stream.encode(None))
        container.mux(sound.encode(None))
    told = refused(source, tmp_path / "out.mkv", UnwritableVideo)
    assert "does not hold the audio of the source (wmav2)" in told
    assert "-c:a flac" in told
