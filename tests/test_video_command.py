"""Videos on the command line: alone, mixed with images, stopped, killed, and refused."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pytest

from srn_deploy.cli.progress import FrameLines
from srn_deploy.image import Image, write_image
from srn_deploy.inference.plan import plan_jobs
from srn_deploy.system.durations import duration_in_words
from srn_deploy.video.work_folder import work_folder_of
from tests.clips import FRAMES, Clip, frames_in, make_clip, moving
from tests.commands import srn_deploy

SCALE = 4
"""Of the default model."""


def picture(path: Path) -> None:
    write_image(path, Image(pixels=moving(0)))


def test_a_video_is_upscaled_and_its_name_printed(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(encoder="mpeg4", sound=True))
    ended = srn_deploy("upscale", source, tmp_path / "out.mp4")
    assert (ended.returncode, ended.stdout) == (0, f"{tmp_path / 'out.mp4'}\n"), ended.stderr
    frames = frames_in(tmp_path / "out.mp4")
    assert [time for time, _ in frames] == [time for time, _ in frames_in(source)]
    assert frames[0][1][0].shape == (48 * SCALE, 64 * SCALE)


def test_a_folder_may_mix_images_and_videos(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    make_clip(tmp_path / "in/b.mkv", Clip(times=range(0, 300, 50)))
    picture(tmp_path / "in/a.png")
    picture(tmp_path / "in/c.png")
    (tmp_path / "in/bad.mp4").write_bytes(b"nothing")
    ended = srn_deploy("upscale", tmp_path / "in", tmp_path / "out")
    assert ended.returncode == 1
    assert "bad.mp4 is damaged, cut short, or not a video" in ended.stderr
    assert "3 written, 1 failed" in ended.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "b.mkv", "c.png"]
    again = srn_deploy("upscale", tmp_path / "in", tmp_path / "out", "--skip-existing")
    assert "0 written, 1 failed, 3 skipped" in again.stderr


def test_videos_of_a_folder_keep_their_suffix_whatever_the_format_of_images(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.mkv", "b.flv", "c.png"):
        (tmp_path / "in" / name).touch()
    jobs = plan_jobs(tmp_path / "in", tmp_path / "out", ".jpg")
    assert [job.target.name for job in jobs] == ["a.mkv", "b.mkv", "c.jpg"]


def test_a_video_into_an_image_is_refused(tmp_path: Path) -> None:
    ended = srn_deploy("upscale", make_clip(tmp_path / "in.mkv"), tmp_path / "out.png")
    assert ended.returncode == 1
    assert "videos are not written to .png" in ended.stderr


@pytest.mark.parametrize("options", [("--crf", "99"), ("--encoder-option", "preset")])
def test_values_that_no_encoder_takes_are_wrong_usage(tmp_path: Path, options: tuple[str, str]) -> None:
    assert srn_deploy("upscale", tmp_path / "in.mkv", tmp_path / "out.mkv", *options).returncode == 2


def test_without_pyav_a_video_says_what_to_install_and_images_do_without(tmp_path: Path) -> None:
    picture(tmp_path / "in.png")
    hidden = "import sys; sys.modules['av'] = None; sys.path.insert(0, '.')\n"
    program = (f"{hidden}import importlib.util as u; find = u.find_spec\n"
               "u.find_spec = lambda name, *rest: None if name == 'av' else find(name, *rest)\n"
               "from srn_deploy.cli import main; main()")
    for name, code in (("in.png", 0), ("in.mkv", 1)):
        (tmp_path / "in.mkv").touch()
        ended = subprocess.run([sys.executable, "-c", program, "upscale", tmp_path / name, tmp_path / f"out-{name}"],
                               capture_output=True, text=True, check=False)
        assert ended.returncode == code, ended.stderr
    assert "pip install '.[video]'" in ended.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_run_that_is_killed_goes_on_and_gives_the_same_packets(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", Clip(times=range(0, 50 * 480, 50), sound=True))
    target = tmp_path / "out.mkv"
    command = [sys.executable, "-m", "srn_deploy", "upscale", str(source), str(target), "--codec", "ffv1"]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while running.poll() is None and not list(work_folder_of(target).glob("[0-9]*.segment")):
        time.sleep(0.02)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    assert not target.exists()
    ended = srn_deploy("upscale", source, target, "--codec", "ffv1")
    assert "goes on after" in ended.stderr
    srn_deploy("upscale", source, tmp_path / "whole.mkv", "--codec", "ffv1")
    with av.open(str(target)) as one, av.open(str(tmp_path / "whole.mkv")) as other:
        for ours, theirs in zip(one.demux(), other.demux(), strict=True):
            assert (ours.pts, ours.stream_index, bytes(ours)) == (theirs.pts, theirs.stream_index, bytes(theirs))
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_lines_about_frames_say_the_rate_and_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    now = [0.0]
    monkeypatch.setattr("srn_deploy.cli.progress.say", said.append)
    monkeypatch.setattr("srn_deploy.cli.progress.time.monotonic", lambda: now[0])
    lines = FrameLines()
    for done in range(101, 201):
        lines.on_frame(done, 1000)
        now[0] += 1
    assert said == ["131 of 1000 frames, 1.00 frames/s, 14 min 29 s left.",
                    "161 of 1000 frames, 1.00 frames/s, 13 min 59 s left.",
                    "191 of 1000 frames, 1.00 frames/s, 13 min 29 s left."]


@pytest.mark.parametrize(("seconds", "words"), [(7.4, "7 s"), (125, "2 min 05 s"), (7500, "2 h 05 min")])
def test_a_duration_is_said_in_words(seconds: float, words: str) -> None:
    assert duration_in_words(seconds) == words


def test_grey_frames_stay_grey(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", Clip(pixels="gray", times=[0, 50]))
    srn_deploy("upscale", source, tmp_path / "out.mkv", "--codec", "ffv1")
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert {frame.format.name for frame in container.decode(video=0)} == {"gray"}


def test_ten_bits_run_in_fp32_and_stay_ten_bits(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mkv", Clip(pixels="yuv420p10le", times=[0, 50]))
    ended = srn_deploy("upscale", source, tmp_path / "out.mp4")
    assert ended.returncode == 0, ended.stderr
    planes = frames_in(tmp_path / "out.mp4")[0][1]
    assert planes[0].dtype == np.uint16
    assert len(np.unique(planes[0])) > 256 // 2
    assert FRAMES > len(frames_in(tmp_path / "out.mp4")) == 2


def test_a_size_that_is_asked_for_is_that_of_the_frames(tmp_path: Path) -> None:
    source = make_clip(tmp_path / "in.mp4", Clip(encoder="mpeg4", times=[0, 50]))
    os.utime(source, (1_000_000_000, 1_000_000_000))
    ended = srn_deploy("upscale", source, tmp_path / "out.mp4", "--width", "100", "--keep-times")
    assert ended.returncode == 0, ended.stderr
    assert frames_in(tmp_path / "out.mp4")[0][1][0].shape == (74, 100)  # 75 rows would halve a sample of chroma
    assert (tmp_path / "out.mp4").stat().st_mtime == 1_000_000_000
