"""What stands beside the frames of a video: alpha, covers, chapters, subtitles, dispositions, further streams."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition
from numpy.typing import NDArray

from srn_deploy.image import Image, write_image
from srn_deploy.inference.plan import Job
from srn_deploy.inference.setup import Setup
from srn_deploy.tiling.interpolation import Geometry
from srn_deploy.video import segments as cutting
from srn_deploy.video.jobs import run_video
from srn_deploy.video.options import VideoOptions
from tests.clips import FRAMES, HEIGHT, LOSSLESS, WIDTH, Clip, FloatBackend, frames_in, make_clip, moving, upscaled
from tests.fakes import NearestBackend


def half_seen(number: int) -> NDArray[Any]:
    """The moving gradient, transparent on the left and half transparent in the middle."""
    alpha = np.repeat(np.array([[0, 128, 255, 255]], np.uint8), WIDTH // 4, axis=1).repeat(HEIGHT, axis=0)
    return np.concatenate([moving(number), alpha[..., None]], axis=2)


@pytest.mark.parametrize(("encoder", "pixels", "suffix", "loss"), [
    ("ffv1", "yuva420p", ".mkv", 1), ("ffv1", "yuva444p10le", ".mkv", 1), ("ffv1", "bgra", ".mkv", 0),
    ("prores_ks", "yuva444p10le", ".mov", 1), ("libvpx-vp9", "yuva420p", ".webm", 12),
    ("libvpx-vp9", "yuva420p", ".mkv", 12)])
def test_transparency_stays(tmp_path: Path, encoder: str, pixels: str, suffix: str, loss: int) -> None:
    source = make_clip(tmp_path / f"in{suffix}", Clip(encoder="ffv1" if suffix == ".mkv" else encoder, pixels=pixels,
                                                      frame=half_seen, times=range(0, 300, 50)))
    upscaled(source, tmp_path / f"out{suffix}", VideoOptions(codec=encoder), backend=FloatBackend())
    alpha = first_alpha(tmp_path / f"out{suffix}")
    assert alpha.shape == (2 * HEIGHT, 2 * WIDTH)
    for col, share in ((10, 0), (48, 128 / 255), (80, 1), (120, 1)):
        assert abs(alpha[40, col] / alpha.max() - share) <= loss / 255


def first_alpha(path: Path) -> NDArray[Any]:
    """Of the first frame, as the decoder with alpha gives it."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        context: Any = stream.codec_context
        if context.name == "vp9":
            assert {name.lower(): value for name, value in stream.metadata.items()}["alpha_mode"] == "1"
            context = av.CodecContext.create("libvpx-vp9", "r")
        for packet in container.demux(stream):
            for frame in context.decode(packet):
                rgba = frame.reformat(format="rgba64le" if "10" in frame.format.name else "rgba")
                return rgba.to_ndarray()[..., 3]
    raise AssertionError


def test_a_clip_of_vp9_with_alpha_goes_through_to_vp9_with_alpha(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", Clip(pixels="yuva420p", frame=half_seen, times=range(0, 300, 50)))
    upscaled(source, tmp_path / "once.webm", VideoOptions(codec="libvpx-vp9"))
    upscaled(tmp_path / "once.webm", tmp_path / "twice.webm", VideoOptions())
    alpha = first_alpha(tmp_path / "twice.webm")
    assert alpha.shape == (4 * HEIGHT, 4 * WIDTH)
    assert (int(alpha[80, 20]), int(alpha[80, 200])) == (0, 255)


SUBTITLES = """1
00:00:00,100 --> 00:00:00,400
Hello

2
00:00:00,600 --> 00:00:00,900
again
"""


def rich(folder: Path) -> Path:
    """A Matroska file with two videos, two sounds, subtitles, a font, a cover and chapters."""
    (folder / "subtitles.srt").write_text(SUBTITLES, encoding="utf-8")
    write_image(folder / "cover.jpg", Image(pixels=moving(3)))
    first = make_clip(folder / "a.mkv", Clip(sound=True, metadata={"title": "Rich"}))
    second = make_clip(folder / "b.mkv", Clip(frame=lambda number: moving(100 - number), sound=True))
    with (av.open(str(folder / "rich.mkv"), "w") as out, av.open(str(first)) as one, av.open(str(second)) as two,
          av.open(str(folder / "subtitles.srt")) as texts):
        out.metadata.update(one.metadata)
        given = [(container, stream) for container in (one, two) for stream in container.streams]
        given.append((texts, texts.streams[0]))
        made: dict[tuple[int, int], Any] = {}
        for number, (container, stream) in enumerate(given):
            new: Any = out.add_stream_from_template(stream, opaque=True)
            new.metadata["language"] = ("eng", "eng", "ger", "ger", "fre")[number]
            new.disposition = Disposition.default if number < 2 else (
                Disposition.forced if stream.type == "subtitle" else Disposition(0))
            made[id(container), stream.index] = new
        out.add_attachment("font.ttf", "font/ttf", b"no font, but bytes")
        out.add_attachment("cover.jpg", "image/jpeg", (folder / "cover.jpg").read_bytes())
        out.set_chapters([{"id": 1, "start": 0, "end": 500, "time_base": Fraction(1, 1000),
                           "metadata": {"title": "One"}},
                          {"id": 2, "start": 500, "end": 1000, "time_base": Fraction(1, 1000),
                           "metadata": {"title": "Two"}}])
        packets = [(float((packet.pts or 0) * packet.time_base), packet, made[id(container), packet.stream_index])
                   for container in (one, two, texts) for packet in container.demux() if packet.size]
        for _, packet, stream in sorted(packets, key=lambda each: each[0]):
            packet.stream = stream
            out.mux(packet)
    return folder / "rich.mkv"


def described(path: Path) -> list[tuple[str, str | None, int]]:
    """Kind, language and disposition of every stream, those of covers after the others."""
    with av.open(str(path)) as container:
        return [(stream.type, stream.metadata.get("language"), int(stream.disposition))
                for stream in container.streams]


def copied(path: Path) -> list[tuple[int | None, bytes]]:
    """Time and content of all packets that are not of a video, in order of time."""
    with av.open(str(path)) as container:
        found = [(packet.pts, bytes(packet)) for packet in container.demux()
                 if packet.size and packet.stream.type in ("audio", "subtitle")]
    return sorted(found, key=lambda each: (each[0] or 0, each[1]))


def test_every_video_is_upscaled_and_every_other_stream_copied(tmp_path: Path) -> None:
    source = rich(tmp_path)
    upscaled(source, tmp_path / "out.mkv")
    assert described(tmp_path / "out.mkv") == described(source)
    assert copied(tmp_path / "out.mkv") == copied(source) != []
    with av.open(str(tmp_path / "out.mkv")) as container:
        videos = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
        assert [(stream.width, stream.height) for stream in videos] == [(2 * WIDTH, 2 * HEIGHT)] * 2
        first, second = (frames_of(container, stream) for stream in videos)
        assert len(first) == len(second) == FRAMES
        assert not np.array_equal(first[0], second[0])


def frames_of(container: Any, stream: Any) -> list[NDArray[Any]]:
    container.seek(0)
    return [frame.to_ndarray() for frame in container.decode(stream)]


def test_chapters_fonts_covers_and_the_title_are_copied(tmp_path: Path) -> None:
    source = rich(tmp_path)
    upscaled(source, tmp_path / "out.mkv")
    with av.open(str(source)) as before, av.open(str(tmp_path / "out.mkv")) as after:
        assert after.chapters() == before.chapters() != []
        assert attachments(after) == attachments(before)
        assert [name for name, _ in attachments(after)] == ["font.ttf", "cover.jpg"]
        assert after.metadata["title"] == "Rich"


def attachments(container: Any) -> list[tuple[str, bytes]]:
    """Name and content of fonts and covers."""
    found = []
    for stream in container.streams:
        if stream.type == "attachment":
            found.append((stream.metadata["filename"], stream.data))
        elif stream.disposition & Disposition.attached_pic:
            found.append((stream.metadata["filename"], bytes(next(container.demux(stream)))))
    return found


def test_the_guard_sums_up_over_all_frames(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv")
    found = upscaled(source, tmp_path / "out.mkv", backend=BreaksLate())
    assert found.frames == FRAMES - 10
    assert found.first_time == pytest.approx(10 / 24, abs=0.001)
    assert "does not resemble the input" in found.first


@dataclass
class BreaksLate(NearestBackend):
    """Repeats pixels, and gives garbage from the eleventh frame on."""

    healthy: int = 10

    def run(self, batch: NDArray[Any], geometry: Geometry | None = None) -> NDArray[Any]:
        large = super().run(batch, geometry)
        return large if len(self.shapes) <= self.healthy else np.zeros_like(large)


def test_what_the_guard_found_before_a_stop_is_not_forgotten(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting.plan_segments, "__kwdefaults__", {"fewest": 6, "most": 8})
    source = make_clip(tmp_path / "in.mkv")

    def stop(done: int, total: int) -> None:
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        upscaled(source, tmp_path / "out.mkv", backend=BreaksLate(), on_frame=stop)
    found = upscaled(source, tmp_path / "out.mkv", backend=BreaksLate(healthy=FRAMES))
    assert found.frames == 2  # the eleventh and the twelfth, of the segment that was finished


def test_the_outcome_of_a_video_says_what_the_guard_found_in_one_sentence(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv")
    outcome = run_video(Job(source=source, target=tmp_path / "out.mkv"), Setup(BreaksLate()), LOSSLESS,
                        max_megapixels=1)
    (sentence,) = outcome.findings
    assert sentence.startswith(f"The guard found something in {FRAMES - 10} frames, the first at 0.42 s: ")


def test_audio_and_video_stay_together_to_the_sample(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(encoder="libx264", sound=True, options={"bf": "2"}))
    upscaled(source, tmp_path / "out.mp4", VideoOptions(codec="libx264"))
    assert starts(tmp_path / "out.mp4") == starts(source)
    assert [time for time, _ in frames_in(tmp_path / "out.mp4")] == [time for time, _ in frames_in(source)]


def test_a_video_that_starts_later_than_its_sound_does_so_to_the_tick(tmp_path: Path) -> None:
    first = make_clip(tmp_path / "in.mp4", Clip(encoder="libx264", sound=True))
    source = tmp_path / "late.mp4"
    clock = {"movie_timescale": "19200"}
    with av.open(str(first)) as early, av.open(str(source), "w", container_options=clock) as late:
        made = {stream.index: late.add_stream_from_template(stream, opaque=True) for stream in early.streams}
        for packet in early.demux():
            if packet.size and packet.dts is not None and packet.pts is not None:
                moved = 801 if packet.stream.type == "video" else 0
                packet.pts, packet.dts = packet.pts + moved, packet.dts + moved
                packet.stream = made[packet.stream_index]
                late.mux(packet)
    assert starts(source)[0] == Fraction(801, 19200)
    upscaled(source, tmp_path / "out.mp4", VideoOptions(codec="libx264"))
    assert starts(tmp_path / "out.mp4") == starts(source)


def starts(path: Path) -> list[Fraction]:
    """When the first frame is shown and the first sample heard."""
    found = []
    for kind in ("video", "audio"):
        with av.open(str(path)) as container:
            frame: Any = next(container.decode(**{kind: 0}))
            found.append(frame.pts * frame.time_base)
    return found
