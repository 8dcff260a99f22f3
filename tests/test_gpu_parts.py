"""The parts of the GPU report: what fits into the minutes, and each in its reduced form."""

from __future__ import annotations

import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import gpu_paper, gpu_sections, gpu_training, gpu_upscale
from benchmarks.gpu_outputs import OUT, WORK, unpack_runs
from benchmarks.gpu_parts import BY_NAME, PARTS
from benchmarks.gpu_plan import RESERVE_S, PartCost, PartHistory, plan, plan_table
from benchmarks.gpu_table import report_table
from benchmarks.gpu_training import TRAININGS, Training
from srn_deploy.benchmark.records import Record
from srn_deploy.benchmark.results import PaperResults
from srn_deploy.image import Image, write_image
from srn_deploy.training import train
from srn_deploy.training.recipe import load_recipe

COSTS = [PartCost(name="first", estimate_s=100), PartCost(name="large", estimate_s=300),
         PartCost(name="training", estimate_s=400, least_s=60), PartCost(name="small", estimate_s=20)]

REDUCED = gpu_sections.REDUCED


@pytest.mark.parametrize(("budget_s", "seconds"), [
    (1000, [100, 300, 400, 20]), (520, [100, 300, 100, 0]), (450, [100, 300, 0, 20]), (250, [100, 0, 130, 0]),
    (45, [0, 0, 0, 20]), (0, [0, 0, 0, 0])])
def test_the_most_valuable_parts_that_fit_are_planned(budget_s: float, seconds: list[float]) -> None:
    planned = plan(COSTS, {}, budget_s)
    assert [part.seconds for part in planned] == seconds
    assert sum(seconds) <= max(budget_s - RESERVE_S, 0)
    assert all(bool(part.why_not) is not bool(part.seconds) for part in planned)


def test_the_plan_says_why_a_part_is_left_out() -> None:
    assert plan(COSTS, {}, 150)[1].why_not == "needs 300 s, and 30 s are left"
    assert "| large | needs 300 s, and 30 s are left | 300 | an estimate |" in plan_table(plan(COSTS, {}, 150), {})


def test_times_that_were_measured_take_the_place_of_estimates() -> None:
    histories = {"first": PartHistory(ended=True, spent_s=90), "large": PartHistory(spent_s=260),
                 "training": PartHistory(spent_s=100, remaining_s=1234)}
    planned = {part.name: part for part in plan(COSTS, histories, 10_000)}
    assert (planned["first"].seconds, planned["first"].why_not) == (0, "done")
    assert planned["large"].needed_s == 390  # cut off after 260 s, so 300 s were too few
    assert planned["training"].needed_s == 1234
    assert planned["small"].needed_s == 20
    table = plan_table(list(planned.values()), histories)
    assert table.count("an earlier call") == 3
    assert table.count("an estimate") == 1


def test_a_training_whose_scores_are_missing_alone_is_run_again() -> None:
    (part,) = plan([COSTS[2]], {"training": PartHistory(spent_s=400, remaining_s=0.0)}, 1000)
    assert part.seconds == 60


def test_what_the_runner_costs_beyond_the_engine_is_told() -> None:
    rows = [{"what": "TensorRT in FP16: resident", "median_ms": 2.0},
            {"what": "TensorRT in FP16: host to host", "median_ms": 3.0},
            {"what": "TensorRT in FP16: resident, no CUDA graph", "median_ms": 2.5}]
    assert gpu_sections.runner_costs(rows) == [{"what": "TensorRT in FP16: host to host / resident", "ratio": 1.5}]


def test_a_training_that_was_cut_off_needs_what_is_left_of_it() -> None:
    (part,) = plan([COSTS[2]], {"training": PartHistory(spent_s=150)}, 10_000)
    assert part.seconds == 250


def test_every_part_has_a_name_of_its_own_and_fits_into_twenty_five_minutes() -> None:
    assert len(BY_NAME) == len(PARTS)
    planned = plan([part.cost for part in PARTS], {}, 25 * 60)
    assert [part.seconds for part in planned[:10]] == [part.cost.estimate_s for part in PARTS[:8]] + [
        PARTS[8].cost.estimate_s, PARTS[9].cost.estimate_s]


def test_a_training_comes_after_those_whose_weights_it_takes() -> None:
    trained: set[str] = set()
    for training in TRAININGS:
        recipe = load_recipe(training.recipe)
        assert {recipe.follows, recipe.teacher} - {""} <= trained
        trained.add(training.recipe)
    names = [part.name for part in PARTS if part.name.startswith("train ")]
    assert names == [f"train {training.recipe}" for training in TRAININGS]


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None) -> tuple[Path, Path]:
    """The working folder and that of what is found; few small images to train with."""
    pixels = np.random.default_rng(0).integers(0, 256, (3, 80, 90, 3), dtype=np.uint8)
    for number, image in enumerate(pixels):
        write_image(tmp_path / f"data/{number}.png", Image(pixels=image))
    work, out = tmp_path / "work", tmp_path / "out"
    out.mkdir()
    for name, value in ((WORK, work), (OUT, out), (gpu_training.DATA, tmp_path / "data")):
        monkeypatch.setenv(name, str(value))
    return work, out


def test_all_trainings_run_one_after_the_other_each_with_weights_of_those_before(folders: tuple[Path, Path]) -> None:
    for training in TRAININGS:
        list(gpu_training.trained(replace(training, scored=False), REDUCED))
    packed = sorted(path.name for path in folders[1].glob("run-*.tar"))
    assert packed == sorted(f"run-{training.recipe}.tar" for training in TRAININGS)
    for name in packed:
        with tarfile.open(folders[1] / name) as archive:
            members = {Path(one).name for one in archive.getnames()}
        assert {"model.safetensors", "log.csv"} <= members
        assert "state.pt" not in members


def test_a_training_that_was_cut_off_goes_on_where_it_was_on_another_machine(
        folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, out = folders
    training = Training(recipe="gpu-x4", minutes=1, scored=False)

    def stopped(*given: Any, **named: Any) -> None:
        train(*given, **named)
        raise KeyboardInterrupt

    monkeypatch.setattr(gpu_training, "train", stopped)
    with pytest.raises(KeyboardInterrupt):
        list(gpu_training.trained(training, REDUCED))
    monkeypatch.setattr(gpu_training, "train", train)
    monkeypatch.setattr(gpu_training, "REDUCED_STEPS", 5)
    other = tmp_path / "another machine"
    unpack_runs(out, other)
    monkeypatch.setenv(WORK, str(other))
    assert (other / "gpu-x4/state.pt").is_file()
    list(gpu_training.trained(training, REDUCED))
    steps = [line.split(",")[0] for line in (other / "gpu-x4/log.csv").read_text().splitlines()[1:]]
    assert steps == ["0", "2", "5"]
    assert list(gpu_training.trained(training, REDUCED)) == []  # nothing is left to do


def test_a_training_is_scored_on_the_published_sets(folders: tuple[Path, Path], data: Path) -> None:
    rows = list(gpu_training.trained(Training(recipe="gpu-x4", minutes=1), REDUCED))
    assert rows[-1]["what"] == "gpu-x4 on Set5"
    assert rows[-1]["bicubic_psnr_y_db"] == pytest.approx(28.42, abs=0.02)  # published tables say 28.42


def test_the_trainer_is_compared_with_passes_of_its_network_alone(folders: tuple[Path, Path]) -> None:
    trainer, alone, share = gpu_training.throughput(REDUCED)
    assert trainer["median"] > 0
    assert alone["median"] > 0
    assert share["share"] == pytest.approx(trainer["median"] / alone["median"], rel=0.9)
    assert not (folders[0] / ".throughput").exists()


@pytest.mark.parametrize(("shares", "met"), [([0.5, 0.7, 0.9], True), ([0.5, 0.69, 0.9], False)])
def test_seven_tenths_are_asked_of_the_trainer(shares: list[float], met: bool) -> None:
    assert gpu_training.share_row(shares)["met"] is met


def test_the_papers_protocol_leaves_its_record_and_the_ratios_of_table_1(folders: tuple[Path, Path]) -> None:
    rows = {row["what"]: row for row in gpu_paper.paper(REDUCED)}
    assert set(rows) == {"SRN : RLFN, ×4", "SRN-S : RLFN, ×4"}
    assert rows["SRN-S : RLFN, ×4"]["quoted"] == pytest.approx(1.355, abs=0.001)
    assert rows["SRN : RLFN, ×4"]["quoted"] == pytest.approx(1.296, abs=0.001)
    results = Record.load(folders[1] / gpu_paper.RECORD).results_as(PaperResults)
    assert len(results.networks) == 3
    assert [row["ratio"] for row in gpu_paper.paper_ratios(results)] == [row["ratio"] for row in rows.values()]


def test_upscaling_is_timed_from_files_to_files_by_every_way(folders: tuple[Path, Path]) -> None:
    rows = list(gpu_upscale.end_to_end(REDUCED))
    assert [row["what"] for row in rows] == [f"upscale of 2 inputs, {way}" for way in (
        "the graph on ONNX Runtime", "the checkpoint on PyTorch", "what auto takes")]
    assert all(row["written"] == 2 and row["images_per_s"] > 0 for row in rows)


def test_a_share_of_the_highest_rate_stands_beside_a_time() -> None:
    row = {"what": "a", "median_ms": 1.0, "lower_quartile_ms": 1.0, "upper_quartile_ms": 1.0, "share_of_compute": 0.123}
    assert "12.3 % of the highest rate of FP16 products" in report_table(
        {"sections": {"PyTorch": {"rows": [row], "obstacle": ""}}})


def test_the_share_of_the_highest_rate_is_that_of_two_operations_for_each_product() -> None:
    from benchmarks.gpu_torch import networks, roofline

    architecture, options = networks()["SRN-S, 4 blocks"]
    # The challenge model counts 21.97 G products at 256 x 256 (Table 5), so in 1 ms it computes at 43.94 TFLOP/s.
    assert roofline(architecture, options, (256, 256), 1.0, 43_940.0) == pytest.approx(1.0, abs=1e-3)
