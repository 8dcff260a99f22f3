"""Networks beside each other: timed by the paper's protocol, and trained with one budget."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import peers, same_budget
from benchmarks.render import rendered
from srn_deploy.benchmark.records import Record
from srn_deploy.errors import OptionError
from srn_deploy.image import Image, write_image
from srn_deploy.training import RunOptions, train
from srn_deploy.training.recipe import load_recipe
from srn_deploy.training.recipe_store import recipe_text

SAME = ("compact-srn-x4", "compact-spanv2-x4")


@pytest.fixture(autouse=True)
def quick(one_thread: None) -> None:
    """Small images."""


def images(folder: Path, count: int, height: int = 80, width: int = 84) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (count, height, width, 3), dtype=np.uint8)
    for number, image in enumerate(pixels):
        write_image(folder / f"{number}.png", Image(pixels=image))
    return folder


def test_networks_of_today_are_timed_beside_the_papers_and_shown_as_ratios(tmp_path: Path) -> None:
    large = [row.model for row in peers.compared() if row.architecture == "rrdbnet"]
    assert len(large) == 2
    peers.main(["--images", str(images(tmp_path / "in", 2, 20, 24)), "--records", str(tmp_path),
                *(part for model in large for part in ("--without", model))])
    record = Record.load(tmp_path / "peers-cpu.json")
    page = rendered([record])
    assert f"### Networks of today on {record.environment.cpu}" in page
    assert "| RLFN | 543.7 |" in page
    assert "| 1.000 (1.000–1.000) |" in page
    rows = [line for line in page.splitlines() if line.startswith("| ") and line.count("|") == 5]
    assert [row.model for row in peers.compared() if row.model not in large] == [
        line.split(" | ")[0].removeprefix("| ") for line in rows if line.split(" | ")[0] not in ("| network", "| ---")]
    assert "Only 2 inputs" in page


def test_the_two_recipes_differ_in_their_network_alone() -> None:
    first, second = map(load_recipe, SAME)
    differing = {"architecture", "options", "name", "title", "source"}
    same = {name: value for name, value in vars(first).items() if name not in differing}
    assert same == {name: value for name, value in vars(second).items() if name not in differing}
    assert (first.architecture, second.architecture) == ("srn", "spanv2")


@pytest.fixture
def runs(tmp_path: Path) -> list[str]:
    """A run of each recipe: few steps on small patches."""
    found = []
    for name in SAME:
        recipe = tmp_path / f"{name}.toml"
        recipe.write_text(recipe_text(name).replace("hr_patch_px = 144", "hr_patch_px = 64").replace(
            "batch = 8", "batch = 2").replace("steps = 1500", "steps = 2"), encoding="utf-8")
        train(recipe, images(tmp_path / "data", 3), tmp_path / name, RunOptions(device="cpu"))
        found.append(str(tmp_path / name))
    return found


def test_runs_of_one_budget_stand_side_by_side(runs: list[str], tmp_path: Path) -> None:
    test_set = tmp_path / "Drawn/x4"
    images(test_set / "LR", 2, 16, 18)
    images(test_set / "HR", 2, 64, 72)
    same_budget.main([*runs, "--sets", str(test_set), "--rounds", "3", "--size", "24", "32", "--records",
                      str(tmp_path)])
    record = Record.load(tmp_path / "same-budget.json")
    first, second = record.results["networks"]
    assert (first["architecture"], second["architecture"]) == ("srn", "spanv2")
    assert (first["steps"], second["steps"]) == (2, 2)
    assert second["parameters"] == 139_104
    assert set(record.results["samples_ms"]) == {"ONNX Runtime", "PyTorch"}
    page = rendered([record])
    assert f"| SPANV2 | 139.1 | 9.13 | {second['trained_s'] / 60:.1f} | {second['psnr_y_db']['Drawn']:.3f} |" in page
    assert f"{second['psnr_y_db']['Drawn'] - first['psnr_y_db']['Drawn']:+.3f} dB on Drawn" in page


def test_runs_of_different_budgets_are_not_compared(runs: list[str], tmp_path: Path) -> None:
    first, second = (same_budget.recipe_of(Path(run)) for run in runs)
    same_budget.check_same_budget(first, second)
    with pytest.raises(OptionError, match="batch: 4 there, 2 here"):
        same_budget.check_same_budget(first, second | {"batch": 4})
    with pytest.raises(OptionError, match="not the folder of a run"):
        same_budget.recipe_of(tmp_path)
