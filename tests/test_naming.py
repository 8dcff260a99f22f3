"""Names of results from a pattern, inputs from a pattern, and the times of results."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from srn_deploy.errors import OptionError, UnwritableImage
from srn_deploy.image import Image, write_image
from srn_deploy.image.output_size import OutputSize
from srn_deploy.inference.jobs import run_jobs
from srn_deploy.inference.naming import NamePattern
from srn_deploy.inference.plan import Job, plan_jobs, renamed
from srn_deploy.inference.result_options import ResultOptions
from srn_deploy.inference.setup import Setup
from tests.commands import srn_deploy as run
from tests.fakes import NearestBackend

PATTERN = "{stem}_x{scale}{suffix}"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("in/a.png", "in/b c.jpg", "in/deep/d[1].png", "in/.hidden.png", "in/notes.txt"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()


def names(jobs: list[Job]) -> list[str]:
    return [job.target.as_posix() for job in jobs]


def asked(size: OutputSize) -> ResultOptions:
    return ResultOptions(size=size)


def test_a_pattern_names_every_result_in_its_folder() -> None:
    assert names(plan_jobs("in", "out", name=PATTERN, factor=4)) == [
        "out/.hidden_x4.png", "out/a_x4.png", "out/b c_x4.jpg", "out/deep/d[1]_x4.png"]


def test_the_suffix_is_that_of_the_result_not_of_the_image() -> None:
    assert names(plan_jobs("in/b c.jpg", "out/", ".webp", name="{stem} large{suffix}")) == ["out/b c large.webp"]


def test_the_scale_in_a_name_is_that_which_is_asked_for() -> None:
    jobs = plan_jobs("in/a.png", "out/", name=PATTERN, wanted=asked(OutputSize(scale=1.5)))
    assert names(jobs) == ["out/a_x1.5.png"]


def test_braces_in_the_name_of_an_image_are_no_fields() -> None:
    Path("in/{suffix}.png").touch()
    assert names(plan_jobs("in/{suffix}.png", "out/", name=PATTERN, factor=2)) == ["out/{suffix}_x2.png"]


@pytest.mark.parametrize(("pattern", "told"), [
    ("{what}{suffix}", "has the field {what}, which there is not"), ("{}{suffix}", "has the field {}"),
    ("{stem!r}{suffix}", "in a form that there is not"), ("{stem:>9}{suffix}", "in a form that there is not"),
    ("{stem.name}{suffix}", "has the field {stem.name}"), ("{stem", "cannot be read"), ("stem}", "cannot be read"),
    ("{stem}", "does not end in {suffix}"), ("{stem}.png", "does not end in {suffix}"), ("", "does not end in"),
    ("{suffix}{stem}{suffix}", "does not end in"), ("{suffix}", "a suffix alone"),
    ("../{stem}{suffix}", "leave the folder"), ("/{stem}{suffix}", "leave the folder"),
    ("x/{stem}{suffix}", "leave the folder"), ("..\\{stem}{suffix}", "leave the folder"),
    ("{stem}\0{suffix}", "leave the folder"),
])
def test_a_pattern_that_cannot_name_results_is_refused(pattern: str, told: str) -> None:
    with pytest.raises(OptionError) as refused:
        plan_jobs("in", "out", name=pattern, factor=4)
    assert told in refused.value.message


@pytest.mark.parametrize("size", [OutputSize(width=9), OutputSize(fit=(9, 9)), OutputSize(scale=2, max_side=9)],
                         ids=repr)
def test_a_scale_that_differs_from_image_to_image_is_no_part_of_a_name(size: OutputSize) -> None:
    with pytest.raises(OptionError, match="differs from image to image"):
        plan_jobs("in", "out", name=PATTERN, factor=4, wanted=asked(size))
    assert plan_jobs("in", "out", name="{stem}_small{suffix}", wanted=asked(size))


def test_the_scale_of_a_model_that_is_not_given_is_not_made_up() -> None:
    with pytest.raises(OptionError, match="no factor is given"):
        plan_jobs("in", "out", name=PATTERN)


def test_a_pattern_that_makes_two_results_one_is_refused() -> None:
    with pytest.raises(UnwritableImage, match=r"would both become out/result\.png"):
        plan_jobs("in", "out", ".png", name="result{suffix}")
    assert names(plan_jobs("in/a.png", "out/", name="result{suffix}")) == ["out/result.png"]


def test_a_pattern_that_names_an_original_is_refused() -> None:
    Path("in/a_x4.png").touch()
    with pytest.raises(UnwritableImage, match="would be overwritten"):
        plan_jobs("in", "in", name=PATTERN, factor=4)


def test_names_that_the_model_completes_are_checked_again() -> None:
    Path("in/a_x4.png").touch()
    jobs = plan_jobs(["in/a.png", "in/a_x4.png"], "in", name=PATTERN, factor=0)
    with pytest.raises(UnwritableImage, match="would be overwritten"):
        renamed(jobs, NamePattern(PATTERN), 4)


def test_a_pattern_beside_the_name_of_a_file_is_refused() -> None:
    with pytest.raises(OptionError, match="is the name of a file") as refused:
        plan_jobs("in/a.png", "out/b.png", name=PATTERN, factor=4)
    assert f"out{os.sep}" in refused.value.remedy


@pytest.mark.parametrize(("sources", "found"), [
    (["in/*.png"], ["in/a.png"]), (["in/*"], ["in/a.png", "in/b c.jpg", "in/deep/d[1].png"]),
    (["in/**/*.png"], ["in/a.png", "in/deep/d[1].png"]), (["in/b *.jpg"], ["in/b c.jpg"]),
    (["in/[ab]*"], ["in/a.png", "in/b c.jpg"]), (["in/?.png", "in/b c.jpg"], ["in/a.png", "in/b c.jpg"]),
    (["in/deep/d[1].png"], ["in/deep/d[1].png"]),
], ids=str)
def test_a_pattern_of_inputs_is_what_a_shell_makes_of_it(sources: list[str], found: list[str]) -> None:
    Path("in/notes.txt").unlink()
    assert [job.source.as_posix() for job in plan_jobs(sources, "out/")] == found


def test_the_command_takes_patterns_and_names_by_the_scale_of_its_model(tmp_path: Path) -> None:
    for name in ("scans/1 a.png", "scans/2 b.png"):
        write_image(tmp_path / name, Image(pixels=np.full((16, 20, 3), 99, np.uint8)))
    command = ("upscale", "scans/* ?.png", "out", "--name", PATTERN, "--device", "cpu")
    ended = run(*command, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == ["out/1 a_x4.png", "out/2 b_x4.png"]
    Path("out/2 b_x4.png").unlink()
    ended = run(*command, "--skip-existing", cwd=tmp_path)
    assert ended.stdout.splitlines() == ["out/2 b_x4.png"]
    assert "1 written, 0 failed, 1 skipped" in ended.stderr


def test_a_name_with_a_scale_beside_a_width_is_wrong_usage(tmp_path: Path) -> None:
    ended = run("upscale", "in", "out", "--name", PATTERN, "--width", "9", cwd=tmp_path)
    assert (ended.returncode, "differs from image to image" in ended.stderr) == (2, True)


@pytest.mark.parametrize("keep_times", [True, False])
def test_a_result_has_the_time_of_its_image_where_that_is_wanted(keep_times: bool) -> None:
    write_image("e.png", Image(pixels=np.zeros((4, 5, 3), np.uint8)))
    os.utime("e.png", ns=(1_000_000_123, 1_000_000_456))
    jobs = plan_jobs("e.png", "f.png", wanted=ResultOptions(keep_times=keep_times))
    (outcome,) = run_jobs(jobs, Setup(NearestBackend()))
    assert outcome.losses == ()
    assert (Path("f.png").stat().st_mtime_ns == Path("e.png").stat().st_mtime_ns) is keep_times


def test_a_time_that_cannot_be_kept_is_said_and_the_result_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*given: object, **named: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    write_image("e.png", Image(pixels=np.zeros((4, 5, 3), np.uint8)))
    monkeypatch.setattr("srn_deploy.system.file_times.os.utime", refuse)
    (outcome,) = run_jobs(plan_jobs("e.png", "f.png", wanted=ResultOptions(keep_times=True)), Setup(NearestBackend()))
    assert outcome.error is None
    assert outcome.losses == ("f.png does not have the time of e.png: Operation not permitted.",)
    assert Path("f.png").is_file()


def test_a_result_that_keeps_its_time_is_not_outdated_until_its_image_changes(tmp_path: Path) -> None:
    write_image("g/e.png", Image(pixels=np.zeros((16, 16, 3), np.uint8)))
    os.utime("g/e.png", (1000, 1000))
    command = ("upscale", "g", "out", "--keep-times", "--update", "--device", "cpu")
    assert run(*command, cwd=tmp_path).returncode == 0
    assert "Nothing to do" in run(*command, cwd=tmp_path).stderr
    os.utime("g/e.png", (2000, 2000))
    assert "its image is newer: replaced" in run(*command, cwd=tmp_path).stderr
    assert Path("out/e.png").stat().st_mtime == 2000
