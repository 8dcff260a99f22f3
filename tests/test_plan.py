"""Which files are read and where their results go: one or several inputs, files and folders, as `cp` has it."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from srn_deploy.errors import OptionError, SrnDeployError, UnreadableImage, UnwritableImage
from srn_deploy.inference.plan import plan_jobs
from tests.commands import srn_deploy as run

APPLE_DOUBLE = bytes.fromhex("00051607") + bytes(78)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files whose content does not matter, because planning reads none."""
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "b.jpg", "photos/c.png", "photos/deep/d.tif", "other/c.png", "notes.txt", "empty/x.txt"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()


def planned(sources: list[str], target: str, suffix: str | None = None) -> dict[str, str]:
    return {str(job.source): str(job.target) for job in plan_jobs(sources, target, suffix)}


@pytest.mark.parametrize(("sources", "target", "jobs"), [
    (["a.png"], "out.jpg", {"a.png": "out.jpg"}),
    (["a.png"], "out/", {"a.png": "out/a.png"}),
    (["a.png"], "new/deep/", {"a.png": "new/deep/a.png"}),
    (["a.png"], "new/deep/.", {"a.png": "new/deep/a.png"}),
    (["a.png"], "photos", {"a.png": "photos/a.png"}),
    (["photos"], "out", {"photos/c.png": "out/c.png", "photos/deep/d.tif": "out/deep/d.tif"}),
    (["a.png", "b.jpg"], "out", {"a.png": "out/a.png", "b.jpg": "out/b.jpg"}),
    (["a.png", "photos/"], "out/", {"a.png": "out/a.png", "photos/c.png": "out/photos/c.png",
                                    "photos/deep/d.tif": "out/photos/deep/d.tif"}),
    (["photos", "other"], "out", {"photos/c.png": "out/photos/c.png", "photos/deep/d.tif": "out/photos/deep/d.tif",
                                  "other/c.png": "out/other/c.png"}),
    (["a.png", "b.jpg"], "out.png/", {"a.png": "out.png/a.png", "b.jpg": "out.png/b.jpg"}),
])
def test_each_image_has_its_place(sources: list[str], target: str, jobs: dict[str, str]) -> None:
    assert planned(sources, target) == jobs


def test_planning_makes_no_folder() -> None:
    planned(["a.png", "b.jpg"], "new/deep/")
    assert not Path("new").exists()


def test_a_folder_that_is_named_from_inside_keeps_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("photos/deep")
    assert planned([".", "../../a.png"], "out") == {"d.tif": "out/deep/d.tif", "../../a.png": "out/a.png"}


def test_the_format_holds_for_every_input() -> None:
    assert planned(["a.png", "b.jpg"], "out", ".webp") == {"a.png": "out/a.webp", "b.jpg": "out/b.webp"}


def test_the_results_of_an_earlier_run_that_a_glob_names_are_not_inputs(caplog: pytest.LogCaptureFixture) -> None:
    Path("out").mkdir()
    Path("out/a.png").touch()
    caplog.set_level(logging.INFO)
    assert planned(["a.png", "b.jpg", "out"], "out/") == {"a.png": "out/a.png", "b.jpg": "out/b.jpg"}
    assert "out is the folder of the results: what it holds is not read" in caplog.text


def test_an_input_given_twice_is_upscaled_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert planned(["a.png", "./a.png", "b.jpg", os.path.abspath("a.png")], "out") == {  # noqa: PTH100
        "a.png": "out/a.png", "b.jpg": "out/b.jpg"}
    assert "is given more than once and upscaled once" in caplog.text


def test_what_macos_keeps_beside_images_is_passed_over_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    for name in ("._a.png", "._b.jpg", "__MACOSX/._c.png"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_bytes(APPLE_DOUBLE)
    caplog.set_level(logging.INFO)
    assert list(planned(["._a.png", "._b.jpg", "__MACOSX", "a.png", "b.jpg"], "out")) == ["a.png", "b.jpg"]
    (record,) = caplog.records
    assert (record.levelname, "3 items that macOS keeps" in record.message) == ("INFO", True)


def test_what_file_managers_keep_is_not_mentioned(caplog: pytest.LogCaptureFixture) -> None:
    for name in (".DS_Store", "Thumbs.db", "desktop.ini"):
        Path(name).touch()
    caplog.set_level(logging.INFO)
    assert list(planned([".DS_Store", "Thumbs.db", "a.png", "desktop.ini"], "out")) == ["a.png"]
    assert not caplog.records


def test_a_folder_without_images_beside_others_is_left_out_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    assert list(planned(["a.png", "empty"], "out")) == ["a.png"]
    assert caplog.messages == ["Left out: empty contains no image"]


@pytest.mark.parametrize(("sources", "target", "error", "told"), [
    (["a.png", "photos/c.png", "other/c.png"], "out", UnwritableImage,
     "photos/c.png and other/c.png would both become out/c.png"),
    (["a.png", "b.jpg"], "notes.txt", OptionError, "There are 2 inputs, and notes.txt is a file"),
    (["a.png", "b.jpg"], "new.png", OptionError, "There are 2 inputs, and new.png is the name of an image"),
    (["a.png", "photos/c.png"], "b.jpg", OptionError, "There are 2 inputs, and b.jpg is a file"),
    (["photos"], "new.png", OptionError, "photos is a folder, and new.png is the name of an image"),
    (["a.png"], "b.jpg/", OptionError, "b.jpg/ would be a folder, and b.jpg is a file"),
    (["a.png", "absent.png"], "out", UnreadableImage, "absent.png does not exist"),
    (["scans/*.png"], "out", UnreadableImage, "No file matches this pattern"),
    (["a.png", "photos/c.png"], "photos", UnwritableImage, "would be overwritten"),
    (["a.png"], ".", UnwritableImage, "would be overwritten"),
    (["empty", "empty/"], "out", UnreadableImage, "None of the 2 inputs is or contains an image"),
    (["a.png"], "notes.txt/deep/out.png", UnwritableImage, "notes.txt is not a folder"),
    (["a.png"], "out", UnwritableImage, "or end it in a slash for a folder"),
    (["photos"], "notes.txt/deep", UnwritableImage, "notes.txt is not a folder"),
])
def test_what_does_not_fit_together_is_refused_before_the_work(
        sources: list[str], target: str, error: type[SrnDeployError], told: str) -> None:
    with pytest.raises(error) as refused:
        planned(sources, target)
    assert told in f"{refused.value.message} {refused.value.remedy}"


def test_two_results_that_a_link_joins_are_refused() -> None:
    Path("out").mkdir()
    Path("out/b.jpg").symlink_to("a.png")
    with pytest.raises(UnwritableImage, match="would both become"):
        planned(["a.png", "b.jpg"], "out")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_to_is_refused() -> None:
    Path("locked").mkdir(mode=0o500)
    with pytest.raises(UnwritableImage, match="may not write to"):
        planned(["a.png"], "locked/new/")


@pytest.mark.parametrize(("sources", "target"), [([""], "out"), (["a.png", ""], "out"), (["a.png"], "")])
def test_an_empty_path_is_not_the_current_folder(sources: list[str], target: str) -> None:
    with pytest.raises(OptionError, match="is empty"):
        plan_jobs(sources, target)
    assert run("upscale", *sources, target).returncode == 2
