"""What is asked of results by `upscale_files`: as on the command line, for images and videos alike."""

from __future__ import annotations

import inspect
import os
from dataclasses import fields
from pathlib import Path
from typing import Any, Unpack

import av
import numpy as np
import pytest

import srn_deploy
from srn_deploy.api import ResultKeywords, UpscaleKeywords
from srn_deploy.errors import OptionError
from srn_deploy.image import Image, image_size, read_image, write_image
from srn_deploy.image.output_size import OutputSize
from srn_deploy.inference.file_options import FileOptions
from srn_deploy.inference.jobs import Outcome
from srn_deploy.inference.plan import plan_jobs
from srn_deploy.inference.result_options import ResultOptions
from tests.clips import HEIGHT, LOSSLESS, WIDTH, Clip, make_clip, moving
from tests.fakes import NearestBackend
from tests.test_frames import LEVELS, animation, pages

SIZES = {"scale": (OutputSize(scale=1.5), (72, 96)), "width": (OutputSize(width=100), (75, 100)),
         "height": (OutputSize(height=60), (60, 80)), "fit": (OutputSize(fit=(90, 90)), (68, 90)),
         "max_side": (OutputSize(max_side=110), (83, 110)),
         "scale and max_side": (OutputSize(scale=1.8, max_side=90), (68, 90)),
         "smaller than the source": (OutputSize(width=32), (24, 32))}
"""Of what is HEIGHT x WIDTH, as (height, width)."""


def upscaled(source: Path, target: str | Path, **options: Unpack[UpscaleKeywords]) -> list[Outcome]:
    with srn_deploy.Upscaler(NearestBackend()) as upscaler:
        return list(upscaler.upscale_files(source, target, **options))


def frame_size(path: Path) -> tuple[int, int]:
    with av.open(str(path)) as container:
        frame = next(container.decode(video=0))
        return frame.height, frame.width


def test_each_option_of_results_is_one_of_the_function() -> None:
    assert set(ResultKeywords.__annotations__) == {field.name for field in fields(ResultOptions)} | {"name"}
    of_jobs = {name for name, one in inspect.signature(srn_deploy.Upscaler.upscale_jobs).parameters.items()
               if one.kind is one.KEYWORD_ONLY} | {field.name for field in fields(FileOptions)}
    named = set(inspect.signature(srn_deploy.Upscaler.upscale_files).parameters)
    assert of_jobs <= named | set(UpscaleKeywords.__annotations__)


@pytest.mark.parametrize("what", SIZES)
def test_an_image_gets_the_size_that_is_asked_for(tmp_path: Path, what: str) -> None:
    write_image(tmp_path / "in.png", Image(pixels=moving(0)))
    size, expected = SIZES[what]
    (outcome,) = upscaled(tmp_path / "in.png", tmp_path / "out.png", size=size)
    assert outcome.error is None
    assert image_size(tmp_path / "out.png") == expected


@pytest.mark.parametrize("what", SIZES)
def test_a_video_gets_the_same_size_in_whole_groups_of_chroma(tmp_path: Path, what: str) -> None:
    size, (height, width) = SIZES[what]
    (outcome,) = upscaled(make_clip(tmp_path / "in.mkv", Clip(times=[0, 50])), tmp_path / "out.mkv", size=size,
                          video=LOSSLESS)
    assert outcome.error is None
    assert frame_size(tmp_path / "out.mkv") == (height - height % 2, width - width % 2)


@pytest.mark.parametrize("name", ["in.png", "in.mkv"])
@pytest.mark.parametrize("size", [OutputSize(scale=2.5), OutputSize(width=129), OutputSize(height=97),
                                  OutputSize(fit=(1000, 1000))], ids=["scale", "width", "height", "fit"])
def test_more_than_the_model_gives_is_refused_before_the_work(tmp_path: Path, name: str, size: OutputSize) -> None:
    write_image(tmp_path / "in.png", Image(pixels=moving(0)))
    make_clip(tmp_path / "in.mkv", Clip(times=[0]))
    backend = NearestBackend()
    with srn_deploy.Upscaler(backend) as upscaler:
        (outcome,) = upscaler.upscale_files(tmp_path / name, tmp_path / f"out-{name}", size=size, video=LOSSLESS)
    assert f"more than the 128 x 96 px that a model of x2 makes of {WIDTH} x {HEIGHT} px" in str(outcome.error)
    assert backend.shapes == []


@pytest.mark.parametrize(("size", "stored"), [(OutputSize(width=72), (72, 96)), (OutputSize(height=96), (72, 96)),
                                              (OutputSize(fit=(96, 200)), (72, 96)), (OutputSize(scale=1.5), (72, 96))])
def test_the_size_of_a_turned_video_is_that_of_its_frames_as_they_are_shown(
        tmp_path: Path, size: OutputSize, stored: tuple[int, int]) -> None:
    source = make_clip(tmp_path / "in.mov", Clip(encoder="libx264", rotation=90, times=[0, 50]))
    (outcome,) = upscaled(source, tmp_path / "out.mov", size=size)
    assert outcome.error is None
    assert frame_size(tmp_path / "out.mov") == stored


@pytest.mark.parametrize(("rotation", "told"), [(90, "48 x 64"), (-90, "48 x 64"), (180, "64 x 48"), (0, "64 x 48")])
def test_messages_give_the_size_of_a_video_as_it_is_shown(tmp_path: Path, rotation: int, told: str) -> None:
    source = make_clip(tmp_path / "in.mov", Clip(encoder="libx264", rotation=rotation, times=[0]))
    (large,) = upscaled(source, tmp_path / "out.mov", max_megapixels=0.001)
    assert f"its frames of {told} pixels are larger than 0.001 megapixels" in str(large.error)
    (wide,) = upscaled(source, tmp_path / "out.mov", size=OutputSize(scale=3))
    assert f"makes of {told} px" in str(wide.error)


def test_times_names_and_frames_are_those_that_are_asked_for(tmp_path: Path) -> None:
    source = animation(tmp_path, ".gif")
    os.utime(source, (1_000_000_000, 1_000_000_000))
    (outcome,) = upscaled(source, f"{tmp_path}/out/", frame=2, keep_times=True, name="{stem}_x{scale}{suffix}")
    assert outcome.error is None
    assert outcome.job.target == tmp_path / "out/in_x2.png"
    assert (read_image(outcome.job.target).pixels == LEVELS[1]).all()
    assert outcome.job.target.stat().st_mtime == 1_000_000_000


def test_animations_of_a_folder_are_taken_where_a_frame_is_asked_for(
        tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "in"
    for suffix in (".gif", ".png", ".webp"):
        (folder / suffix[1:]).mkdir(parents=True)
        animation(folder / suffix[1:], suffix)
    (folder / "png/in.png").rename(folder / "png/in.apng")
    pages(folder)
    write_image(folder / "still.png", Image(pixels=moving(0)))
    outcomes = upscaled(folder, tmp_path / "out", frame=2)
    names = [outcome.job.target.relative_to(tmp_path / "out").as_posix() for outcome in outcomes]
    assert names == ["gif/in.png", "in.tif", "png/in.png", "still.png", "webp/in.webp"]
    assert [outcome.job.target.name for outcome in outcomes if outcome.error] == ["still.png"]  # it has one frame
    for name in ("gif/in.png", "in.tif", "png/in.png", "webp/in.webp"):
        assert np.abs(read_image(tmp_path / "out" / name).pixels.astype(int) - LEVELS[1]).max() <= 1
    assert not caplog.messages or "Left out" not in caplog.text


def test_without_a_frame_they_are_left_out_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    animation(tmp_path, ".gif")
    write_image(tmp_path / "still.png", Image(pixels=moving(0)))
    assert [job.source.name for job in plan_jobs(tmp_path, tmp_path / "out")] == ["still.png"]
    assert f"Left out: 1 image of a format that is not read, {tmp_path / 'in.gif'}" in caplog.text


@pytest.mark.parametrize("wrong", [{"size": 100}, {"size": None}, {"frame": 0}, {"keep_times": 1}, {"name": "x"},
                                   {"video": "libx264"}, {"on_frame": 3}])
def test_values_that_cannot_work_are_errors_at_once(tmp_path: Path, wrong: dict[str, Any]) -> None:
    write_image(tmp_path / "in.png", Image(pixels=moving(0)))
    with pytest.raises(OptionError), srn_deploy.Upscaler(NearestBackend()) as upscaler:
        upscaler.upscale_files(tmp_path / "in.png", f"{tmp_path}/out/", **wrong)
