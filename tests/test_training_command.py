"""`srn-deploy train`, and the curve that a run leaves."""

from __future__ import annotations

import csv
import io
import math
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from rich.console import Console

import srn_deploy.training
from srn_deploy.cli import main, messages
from srn_deploy.cli.train import _BarDisplay, _LineDisplay, train
from srn_deploy.errors import MissingPackage, TrainingError
from srn_deploy.image import Image, read_image, write_image
from srn_deploy.training import RunOptions
from srn_deploy.training.curve import draw_curve
from srn_deploy.training.run_folder import LOG_FIELDS
from srn_deploy.training.schedule import Progress

pytestmark = pytest.mark.usefixtures("one_thread")

RECIPE_TEXT = """
title = "A tiny SRN"
source = "made for tests"
architecture = "srn"
options = { scale = 2, blocks = 1, channels = 8, esa_channels = 4 }
value_range = 1.0
hr_patch_px = 32
batch = 4
steps = 20
learning_rate = 5e-3
validate_every_steps = 10
"""


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(RECIPE_TEXT, encoding="utf-8")
    return path


@pytest.fixture
def images(tmp_path: Path) -> Path:
    rng = np.random.default_rng(1)
    for number in range(3):
        pixels = rng.integers(0, 256, (40, 44, 3)).astype(np.uint8)
        write_image(tmp_path / "images" / f"{number}.png", Image(pixels=pixels))
    return tmp_path / "images"


def progress(*, step: int = 20, share: float = 0.25, elapsed_s: float = 30.0, psnr_y_db: float = 27.5) -> Progress:
    return Progress(step=step, share=share, elapsed_s=elapsed_s, loss=0.0386, psnr_y_db=psnr_y_db)


def write_log(path: Path, rows: list[tuple[float, ...]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([LOG_FIELDS, *rows])
    return path


def test_a_run_prints_its_checkpoint_alone_on_stdout_and_its_progress_on_stderr(
        recipe: Path, images: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    ended = CliRunner().invoke(main, ["train", str(recipe), "--data", str(images), "--out", str(out),
                                      "--threads", "1"], catch_exceptions=False)
    assert ended.exit_code == 0
    assert ended.stdout == f"{out / 'model.safetensors'}\n"
    assert {path.name for path in out.iterdir()} == {"state.pt", "log.csv", "model.safetensors", "curve.png",
                                                      ".locks"}
    lines = ended.stderr.splitlines()
    assert lines[0].startswith("Training on c")
    assert lines[1].startswith(" 50%  step 10  loss 0.")
    assert lines[2].startswith("100%  step 20  loss 0.")


def test_the_folder_of_images_comes_from_the_environment_where_no_option_names_it(
        recipe: Path, images: Path, tmp_path: Path) -> None:
    ended = CliRunner(env={"SRN_TRAIN_DATA": str(images)}).invoke(
        train, [str(recipe), "--out", str(tmp_path / "run"), "--steps", "1", "--device", "cpu"], catch_exceptions=False)
    assert ended.exit_code == 0


def test_several_folders_are_given_one_by_one_or_together_in_the_environment(
        recipe: Path, images: Path, tmp_path: Path) -> None:
    more = tmp_path / "more"
    shutil.copytree(images, more)
    common = [str(recipe), "--steps", "1", "--device", "cpu"]
    for number, (arguments, environment) in enumerate([
            (["--data", str(images), "--data", str(more)], {}),
            ([], {"SRN_TRAIN_DATA": f"{images}{os.pathsep}{more}"})]):
        out = tmp_path / f"run{number}"
        ended = CliRunner(env=environment).invoke(train, [*common, *arguments, "--out", str(out)],
                                                  catch_exceptions=False)
        assert ended.exit_code == 0
        state = torch.load(out / "state.pt", weights_only=True)
        assert len(state["pictures"]) == 5  # six, and one is held out


def test_without_a_folder_of_images_the_remedy_says_where_they_come_from(recipe: Path) -> None:
    ended = CliRunner(env={"SRN_TRAIN_DATA": None}).invoke(train, [str(recipe)])
    assert ended.exit_code == 2
    for word in ("--data", "SRN_TRAIN_DATA", "DIV2K", "Flickr2K", "LSDIR"):
        assert word in ended.stderr


def test_steps_and_minutes_together_are_refused(recipe: Path, images: Path, tmp_path: Path) -> None:
    ended = CliRunner().invoke(train, [str(recipe), "--data", str(images), "--out", str(tmp_path / "run"),
                                       "--steps", "5", "--budget", "1"])
    assert ended.exit_code == 2
    assert not (tmp_path / "run").exists()


def test_no_threads_are_wrong_usage(recipe: Path, images: Path) -> None:
    ended = CliRunner().invoke(train, [str(recipe), "--data", str(images), "--threads", "0"])
    assert ended.exit_code == 2
    assert "--threads" in ended.stderr


def test_ctrl_c_ends_with_the_command_that_continues(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> Path:
        raise KeyboardInterrupt("Stopped after step 7.")

    monkeypatch.setattr(srn_deploy.training, "train", interrupted)
    ended = CliRunner().invoke(train, ["compact-x4", "--data", "my images", "--steps", "9"])
    assert ended.exit_code == 130
    assert ended.stdout == ""
    assert ended.stderr == ("Stopped after step 7.\nContinue with: srn-deploy train compact-x4 --data 'my images' "
                            "--out runs/compact-x4 --device auto --steps 9 --resume\n")


def test_without_torch_the_error_names_the_pip_command(
        monkeypatch: pytest.MonkeyPatch, recipe: Path, images: Path) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    ended = CliRunner().invoke(train, [str(recipe), "--data", str(images)])
    assert isinstance(ended.exception, MissingPackage)
    assert "pip install '.[torch]'" in ended.exception.remedy


def test_plain_lines_come_at_validations_and_once_a_minute(capsys: pytest.CaptureFixture[str]) -> None:
    display = _LineDisplay()
    for elapsed_s, psnr_y_db in ((10.0, 27.5), (20.0, 27.5), (80.0, 27.5), (90.0, 28.0)):
        display.report(progress(elapsed_s=elapsed_s, psnr_y_db=psnr_y_db))
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines() == [" 25%  step 20  loss 0.0386  27.50 dB  0:00:30 left",
                                      " 25%  step 20  loss 0.0386  27.50 dB  0:04:00 left",
                                      " 25%  step 20  loss 0.0386  28.00 dB  0:04:30 left"]


def test_the_bar_of_a_terminal_shows_loss_psnr_and_time_left_below_the_messages() -> None:
    screen = io.StringIO()
    with _BarDisplay("compact-x4", Console(file=screen, force_terminal=True, width=120)) as display:
        messages.say("Left out: [bad].png is empty.")
        display.report(progress())
    assert "Left out: [bad].png is empty." in screen.getvalue()
    assert "step 20  loss 0.0386  27.50 dB  0:01:30 left" in screen.getvalue()


def test_a_curve_is_an_image_with_two_lines_and_nothing_of_pyplot(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.csv", [(0, 0.0, 1e-3, math.nan, 8.8), (10, 1.0, 9e-4, 0.05, 26.0),
                                           (20, 2.0, 8e-4, 0.04, 27.0)])
    draw_curve(log, tmp_path / "curve.png", title="A run")
    pixels = read_image(tmp_path / "curve.png").as_rgb8()
    assert pixels.shape == (720, 960, 3)
    for colour in ((31, 119, 180), (255, 127, 14)):  # tab:blue and tab:orange
        assert (pixels == colour).all(axis=2).sum() > 100
    assert "matplotlib.pyplot" not in sys.modules


def test_a_curve_of_one_row_is_drawn_and_one_of_none_is_refused(tmp_path: Path) -> None:
    draw_curve(write_log(tmp_path / "one.csv", [(0, 0.0, 1e-3, math.nan, 8.8)]), tmp_path / "one.png")
    assert (tmp_path / "one.png").is_file()
    with pytest.raises(TrainingError, match="no row"):
        draw_curve(write_log(tmp_path / "none.csv", []), tmp_path / "none.png")


def test_without_matplotlib_a_curve_that_was_asked_for_is_an_error(
        monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingPackage, match="matplotlib"):
        draw_curve(tmp_path / "log.csv", tmp_path / "curve.png")


def test_without_matplotlib_a_run_says_that_it_plotted_no_curve(
        monkeypatch: pytest.MonkeyPatch, recipe: Path, images: Path, tmp_path: Path,
        caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    checkpoint = srn_deploy.training.train(str(recipe), images, tmp_path / "run",
                                           RunOptions(device="cpu", steps=1))
    assert checkpoint.is_file()
    assert caplog.messages[-1].startswith("The curve was not plotted: ")
    assert not (tmp_path / "run" / "curve.png").exists()
