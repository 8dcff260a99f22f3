"""`--weights`: each command that takes a checkpoint says which of several sets it takes, or takes the one asked for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import srn_deploy
from srn_deploy import Corrections
from srn_deploy.backends.onnx_runtime import read_spec
from srn_deploy.cli.bench import _resolved
from srn_deploy.errors import NotCertified, OptionError
from srn_deploy.image import Image, write_image
from srn_deploy.registry.resolve import ResolvedModel, resolve
from srn_deploy.verification.verify import verify
from tests.commands import srn_deploy as run
from tests.test_checkpoint_damage import tiny_state
from tests.test_cli import picture
from tests.test_weight_sets import shifted

SETTINGS = ("negative_slope=0.1", "residual=false", "image_residual=none")
GIVEN = ("--trust", "--value-range", "1", *(part for setting in SETTINGS for part in ("--set", setting)))
"""All that a trial could find out: weights that were never trained would not pass it."""
SAID = "two.pth: weights: params_ema (of 2 sets: params_ema, params)"


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with two sets of weights."""
    path = tmp_path_factory.mktemp("two") / "two.pth"
    torch.save({"params": shifted(tiny_state(), 0.05), "params_ema": tiny_state()}, path)
    return path


def test_info_says_which_weights_of_how_many(two: Path) -> None:
    rows = json.loads(run("info", two, *GIVEN, "--json").stdout)
    assert rows["weights"] == "params_ema (of 2 sets: params_ema, params)"


@pytest.mark.parametrize("command", [("info",), ("export",), ("eval", "--hr", "."), ("upscale", "in.png", "out.png",
                                                                                   "--model")])
def test_a_name_that_is_not_there_lists_those_that_are(tmp_path: Path, two: Path, command: tuple[str, ...]) -> None:
    picture(tmp_path / "in.png")
    done = run(*command, two, *GIVEN, "--weights", "ema", cwd=tmp_path)
    assert done.returncode == 1
    assert f"{two} has no weights called 'ema'.\nIt has: params_ema, params.\n" in done.stderr


def test_a_graph_remembers_which_weights_it_has_and_is_verified_against_them(tmp_path: Path, two: Path) -> None:
    done = run("export", two, "-o", tmp_path / "a.onnx", *GIVEN, "--weights", "params")
    assert "two.pth: weights: params (of 2 sets: params, params_ema)" in done.stderr
    assert read_spec(tmp_path / "a.onnx").weights == "params"
    write_image(tmp_path / "originals" / "a.png", Image(pixels=np.zeros((32, 32, 3), np.uint8)))
    images = tmp_path / "originals"
    assert not verify(str(tmp_path / "a.onnx"), against=str(two), images=images, device="cpu").failures
    with pytest.raises(NotCertified):
        verify(str(tmp_path / "a.onnx"), against=str(two), images=images, device="cpu", weights="params_ema")


def test_upscale_says_once_which_weights_it_takes(tmp_path: Path, two: Path) -> None:
    done = run("upscale", picture(tmp_path / "in.png"), tmp_path / "out.png", "--model", two, *GIVEN, "--guard", "off")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(SAID) == 1


def test_python_chooses_with_its_corrections(two: Path) -> None:
    image = np.arange(20 * 21 * 3, dtype=np.uint8).reshape(20, 21, 3)
    results = []
    for weights in (None, "params_ema", "params"):
        given = Corrections.parse(SETTINGS, 1.0, trust=True, weights=weights)
        with srn_deploy.load(two, device="cpu", corrections=given, guard="off") as upscaler:
            results.append(upscaler.upscale(image))
    assert np.array_equal(results[0], results[1])
    assert not np.array_equal(results[0], results[2])


def test_bench_measures_the_weights_that_are_asked_for(two: Path) -> None:
    (model,) = _resolved((str(two),), "params")
    assert isinstance(model, ResolvedModel)
    assert model.corrections.weights == "params"


def test_a_graph_has_no_weights_to_choose() -> None:
    with pytest.raises(OptionError, match="cannot be corrected"):
        resolve(resolve(None).path, Corrections(weights="params"))
