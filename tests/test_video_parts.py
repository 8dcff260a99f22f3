"""Segments of one video that are made apart and joined: the video is that of one process, packet by packet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from srn_deploy.errors import OtherVideoRun, UnwritableVideo
from srn_deploy.inference.plan import Job
from srn_deploy.inference.setup import Setup
from srn_deploy.video.options import VideoOptions
from srn_deploy.video.parts import SegmentMaker, SegmentPart, join_beginning, join_video, parts_of_video
from srn_deploy.video.work_folder import RunIdentity, held_for_workers, join_work, work_folder_of
from tests.clips import Clip, frames_in, make_clip, upscaled
from tests.fakes import NearestBackend

X264 = VideoOptions(codec="libx264", encoder_options=(("preset", "ultrafast"),))

FRAMES = 200

GROUPS = Clip(encoder="libx264", options={"g": "50", "x264-params": "scenecut=0"}, sound=True)
"""Of 50 frames each: four segments."""


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "in.mp4", replace(GROUPS, times=range(0, 50 * FRAMES, 50)))


def maker(job: Job, threads: int = 2, options: VideoOptions = X264) -> SegmentMaker:
    return SegmentMaker(job, Setup(NearestBackend(), threads=threads), options, max_megapixels=1)


@contextmanager
def divided(clip: Path) -> Iterator[tuple[Job, list[SegmentPart]]]:
    job = Job(source=clip, target=clip.with_name("joined.mp4"))
    with held_for_workers(job.target):
        yield job, parts_of_video(clip)


def no_note(part: SegmentPart) -> None:
    """Nobody watches."""


def test_segments_of_several_makers_are_the_file_of_one_process(clip: Path) -> None:
    upscaled(clip, clip.with_name("alone.mp4"), X264)
    with divided(clip) as (job, parts):
        assert [part.name for part in parts] == ["0-000000", "0-000001", "0-000002", "0-000003"]
        for part in reversed(parts):
            maker(job).make([part], no_note)
        join_video(job, X264)
    assert job.target.read_bytes() == clip.with_name("alone.mp4").read_bytes()
    assert len(frames_in(job.target)) == FRAMES
    assert not work_folder_of(job.target).exists()


def test_a_single_process_goes_on_with_what_workers_left_and_they_with_what_it_left(clip: Path) -> None:
    upscaled(clip, clip.with_name("alone.mp4"), X264)
    with divided(clip) as (job, parts):
        maker(job).make(parts[1:3], no_note)
    assert upscaled(clip, job.target, X264).frames == 0
    assert job.target.read_bytes() == clip.with_name("alone.mp4").read_bytes()

    def stop(done: int, total: int) -> None:
        if done == FRAMES - 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        upscaled(clip, job.target, X264, on_frame=stop)
    begun = list[SegmentPart]()
    with divided(clip) as (job, parts):
        assert any(part.path(job).exists() for part in parts)
        left = [part for part in parts if not part.path(job).exists()]
        maker(job).make(parts, begun.append)
        join_video(job, X264)
    assert begun == left
    assert job.target.read_bytes() == clip.with_name("alone.mp4").read_bytes()


def test_encoders_have_the_threads_of_the_first_worker(clip: Path) -> None:
    upscaled(clip, clip.with_name("alone.mp4"), X264, threads=1)
    with divided(clip) as (job, parts):
        maker(job, threads=1).make(parts[:2], no_note)
        maker(job, threads=3).make(parts[2:], no_note)
        join_video(job, X264)
    assert job.target.read_bytes() == clip.with_name("alone.mp4").read_bytes()


def test_workers_that_would_make_something_else_are_refused(clip: Path) -> None:
    with divided(clip) as (job, parts):
        maker(job).make(parts[:1], no_note)
        with pytest.raises(OtherVideoRun, match="another codec or other options"):
            maker(job, options=replace(X264, crf=40))


def test_a_video_that_is_held_is_left_to_its_holder(clip: Path) -> None:
    with divided(clip) as (job, _), pytest.raises(OtherVideoRun, match="being written by"), \
            held_for_workers(job.target):
        pass


def test_a_source_that_changes_before_it_is_joined_is_an_error(clip: Path) -> None:
    with divided(clip) as (job, parts):
        maker(job).make(parts, no_note)
        make_clip(clip, replace(GROUPS, times=range(0, 50 * (FRAMES - 1), 50)))
        with pytest.raises(OtherVideoRun, match="was changed while it was upscaled"):
            join_video(job, X264)


def test_a_segment_that_is_missing_is_an_error_and_no_shorter_video(clip: Path) -> None:
    with divided(clip) as (job, parts):
        maker(job).make([parts[0], parts[2], parts[3]], no_note)
        with pytest.raises(UnwritableVideo, match="a segment of it was removed"):
            join_video(job, X264)
    assert not job.target.exists()


def test_the_beginning_that_is_there_can_be_written(clip: Path) -> None:
    with divided(clip) as (job, parts):
        maker(job).make([parts[0], parts[3]], no_note)
        join_beginning(job, X264)
    assert 40 < len(frames_in(job.target.with_name("joined.partial.mp4"))) < 60


def test_a_disk_without_hard_links_keeps_one_plan_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*paths: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    target = tmp_path / "out.mkv"
    identity = RunIdentity(source_sha256="", model="", backend="", tiles="", guard="", encodings=(), program="")
    with held_for_workers(target):
        assert [join_work(target, identity, threads) for threads in (3, 5)] == [3, 3]
        assert [path.name for path in work_folder_of(target).iterdir() if "plan" in path.name] == ["plan.json"]
