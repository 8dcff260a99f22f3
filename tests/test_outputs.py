"""Where results are written: missing folders are made by every command, and what is in the way is refused at once."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from srn_deploy.cli import main
from srn_deploy.system.atomic import replacing
from srn_deploy.system.folders import make_folder, why_no_file, why_not_writable

OUTPUTS = {
    "export -o": ["export", "-o"],
    "eval --csv": ["eval", "--hr", ".", "--csv"],
    "eval --save-images": ["eval", "--hr", ".", "--save-images"],
    "bench --save": ["bench", "--save"],
    "bench --csv": ["bench", "--csv"],
    "bench --markdown": ["bench", "--markdown"],
    "bench --plot": ["bench", "--paper", "--plot"],
    "train --out": ["train", "compact-x4", "--data", ".", "--out"],
}


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()


@pytest.mark.parametrize("option", OUTPUTS)
def test_a_file_in_the_way_of_a_folder_is_wrong_usage_before_the_work(option: str) -> None:
    ended = CliRunner().invoke(main, [*OUTPUTS[option], "file/deep/result"])
    assert ended.exit_code == 2
    assert "file/deep/result cannot be written" in ended.stderr.replace("\n", " ")
    assert "file is not a folder" in ended.stderr


@pytest.mark.parametrize("option", sorted(set(OUTPUTS) - {"eval --save-images", "train --out"}))
def test_a_folder_in_place_of_a_file_is_wrong_usage_before_the_work(option: str) -> None:
    Path("folder").mkdir()
    ended = CliRunner().invoke(main, [*OUTPUTS[option], "folder"])
    assert (ended.exit_code, "folder is a folder" in ended.stderr) == (2, True)


def test_missing_folders_are_made_with_the_file() -> None:
    with replacing(Path("new/deep/result")) as temporary:
        temporary.write_text("whole")
    assert Path("new/deep/result").read_text() == "whole"


def test_checking_makes_nothing() -> None:
    assert why_no_file(Path("new/deep/result")) == why_not_writable(Path("new/deep")) == ""
    assert os.listdir() == ["file"]  # noqa: PTH208  # names


@pytest.mark.parametrize("folder", ["file", "file/deep", "link/deep"])
def test_an_error_names_what_is_in_the_way(folder: str) -> None:
    Path("link").symlink_to("nowhere")
    with pytest.raises(OSError, match="is not a folder") as refused:
        make_folder(Path(folder))
    assert refused.value.errno == errno.ENOTDIR
    assert str(refused.value.strerror).startswith(str(Path.cwd() / Path(folder).parts[0]))


def test_a_device_is_not_replaced() -> None:
    assert why_no_file(Path(os.devnull)) == f"{os.devnull} is not a file"


def test_a_name_that_is_too_long_is_wrong_usage() -> None:
    ended = CliRunner().invoke(main, ["export", "-o", f"{'x' * 300}.onnx"])
    assert (ended.exit_code, "name too long" in ended.stderr) == (2, True)
