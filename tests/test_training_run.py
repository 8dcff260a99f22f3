"""Runs: they improve, and they survive being killed and interrupted."""

from __future__ import annotations

import csv
import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from srn_deploy.architectures import ARCHITECTURES
from srn_deploy.architectures.checkpoint import load_checkpoint
from srn_deploy.errors import TrainingError
from srn_deploy.image import Image, write_image
from srn_deploy.training import RunOptions
from srn_deploy.training.batches import TrainingBatch
from srn_deploy.training.recipe import Recipe
from srn_deploy.training.schedule import Progress
from srn_deploy.training.trainer import Trainer
from srn_deploy.training.weight_init import set_first_weights

# Bit-equal sums need the same number of threads; tiny networks are fastest with one.
pytestmark = pytest.mark.usefixtures("one_thread")

RECIPE = Recipe(name="tiny", title="A tiny SRN", source="made for tests", architecture="srn",
                options={"scale": 2, "blocks": 1, "channels": 8, "esa_channels": 4}, value_range=1.0, hr_patch_px=32,
                batch=4, steps=24, learning_rate=5e-3, ema_decay=0.9, stress_fraction=0.25, validate_every_steps=10)

CPU = RunOptions(device="cpu")
ONE_STEP = RunOptions(device="cpu", steps=1)
RESUMED = RunOptions(device="cpu", resume=True)

# Kills itself with the signal that cannot be caught: at the given step, in the middle of writing the state.
KILLED_RUN = """
import json, os, signal, sys, torch
from pathlib import Path
from srn_deploy.training import RunOptions, trainer
from srn_deploy.training.recipe import Recipe
recipe = Recipe(**json.loads(sys.argv[1]))
torch.set_num_threads(1)
trainer.SAVE_EVERY_S = 0.0
run = trainer.Trainer(recipe, [Path(sys.argv[2])], Path(sys.argv[3]), RunOptions(device="cpu"))
save = torch.save
def save_or_die(state, path):
    save(state, path)
    if state["step"] == int(sys.argv[4]):
        Path(path).write_bytes(Path(path).read_bytes()[:1000])
        os.kill(os.getpid(), signal.SIGKILL)
torch.save = save_or_die
run.run()
"""


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six drawn images of smooth waves and sharp edges."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(5)
    for number in range(6):
        y, x = np.mgrid[:52, :48 + 4 * number]
        waves = [np.sin(x * a + y * b) for a, b in rng.uniform(-0.5, 0.5, (3, 2))]
        pixels = 127 + 60 * np.stack(waves, axis=2) + 60 * ((x // 8 + y // 12) % 2)[..., None]
        write_image(folder / f"{number}.png", Image(pixels=pixels.clip(0, 255).astype(np.uint8)))
    return folder


@pytest.fixture(scope="session")
def undisturbed(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run from beginning to end; not to be written to."""
    out = tmp_path_factory.mktemp("undisturbed")
    torch.set_num_threads(1)
    Trainer(RECIPE, (images,), out, CPU).run()
    return out


def weights(out: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(out / "model.safetensors")


def log_of(out: Path) -> list[dict[str, str]]:
    """Rows of the log without the time, which no two runs share."""
    with (out / "log.csv").open(newline="") as file:
        return [{key: value for key, value in row.items() if key != "elapsed_s"} for row in csv.DictReader(file)]


def assert_same_run(out: Path, other: Path) -> None:
    one, two = weights(out), weights(other)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert log_of(out) == log_of(other)


def test_a_short_run_improves_on_its_start_and_logs_it_from_step_zero(undisturbed: Path) -> None:
    rows = log_of(undisturbed)
    assert [int(row["step"]) for row in rows] == [0, 10, 20, 24]
    assert math.isnan(float(rows[0]["loss"]))
    assert float(rows[-1]["loss"]) < float(rows[1]["loss"])
    assert float(rows[-1]["validation_psnr_y_db"]) > float(rows[0]["validation_psnr_y_db"]) + 3


def test_the_learning_rate_falls_from_first_to_last_along_a_cosine(undisturbed: Path) -> None:
    rates = [float(row["learning_rate"]) for row in log_of(undisturbed)]
    assert rates[0] == RECIPE.learning_rate
    assert rates[1] == pytest.approx(1e-7 + (5e-3 - 1e-7) * (1 + math.cos(math.pi * 10 / 24)) / 2)
    assert rates[-1] == pytest.approx(RECIPE.final_learning_rate)


def test_the_checkpoint_loads_as_the_network_of_the_recipe(undisturbed: Path) -> None:
    loaded = load_checkpoint(undisturbed / "model.safetensors")
    assert loaded.spec.value_range == 1.0
    assert {key: loaded.spec.options[key] for key in RECIPE.options} == RECIPE.options


@pytest.mark.parametrize("step", [7, 20])
def test_a_killed_run_that_is_resumed_ends_in_the_same_bits(
        images: Path, undisturbed: Path, tmp_path: Path, step: int) -> None:
    # Step 20 was validated just before: its row must not be there twice.
    arguments = [json.dumps(asdict(RECIPE)), str(images), str(tmp_path), str(step)]
    ended = subprocess.run([sys.executable, "-c", KILLED_RUN, *arguments], capture_output=True, text=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert list(tmp_path.glob(".srn-part-*"))
    assert torch.load(tmp_path / "state.pt", weights_only=True)["step"] == step - 1
    Trainer(RECIPE, (images,), tmp_path, RESUMED).run()
    assert_same_run(tmp_path, undisturbed)
    assert not list(tmp_path.glob(".srn-part-*"))


def test_a_run_that_was_killed_before_its_first_state_does_not_block_the_next_attempt(
        images: Path, undisturbed: Path, tmp_path: Path) -> None:
    class Killed(Trainer):
        def _validate(self) -> float:
            raise SystemExit  # as a kill would: the first state is saved, no row of the log is written

    with pytest.raises(SystemExit):
        Killed(RECIPE, (images,), tmp_path, CPU).run()
    Trainer(RECIPE, (images,), tmp_path / "unstarted", CPU)
    for out in (tmp_path, tmp_path / "unstarted"):
        Trainer(RECIPE, (images,), out, RESUMED).run()
        assert_same_run(out, undisturbed)


def test_ctrl_c_saves_after_the_step_and_the_run_can_continue(images: Path, undisturbed: Path, tmp_path: Path) -> None:
    class Interrupted(Trainer):
        def _batch(self) -> TrainingBatch:
            if self.step == 13:  # within a step: between two optimiser steps no state is half done
                os.kill(os.getpid(), signal.SIGINT)
            return super()._batch()

    with pytest.raises(KeyboardInterrupt, match="Stopped after step 14; the state is saved"):
        Interrupted(RECIPE, (images,), tmp_path, CPU).run()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    Trainer(RECIPE, (images,), tmp_path, RESUMED).run()
    assert_same_run(tmp_path, undisturbed)


def test_a_second_ctrl_c_does_not_wait_and_leaves_the_last_state(images: Path, tmp_path: Path) -> None:
    class Impatient(Trainer):
        def _batch(self) -> TrainingBatch:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            raise AssertionError("the second Ctrl-C did not come through")

    with pytest.raises(KeyboardInterrupt):
        Impatient(RECIPE, (images,), tmp_path, CPU).run()
    assert torch.load(tmp_path / "state.pt", weights_only=True)["step"] == 0


def test_a_finished_run_that_is_resumed_changes_nothing(images: Path, tmp_path: Path) -> None:
    recipe = replace(RECIPE, steps=3)
    Trainer(recipe, (images,), tmp_path, CPU).run()
    rows, before = log_of(tmp_path), weights(tmp_path)
    Trainer(recipe, (images,), tmp_path, RESUMED).run()
    assert log_of(tmp_path) == rows
    assert all(torch.equal(before[key], value) for key, value in weights(tmp_path).items())


def test_a_state_of_the_first_version_without_loss_and_images_continues(
        images: Path, undisturbed: Path, tmp_path: Path) -> None:
    Trainer(RECIPE, (images,), tmp_path, ONE_STEP).run()
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    for later in ("loss_sum", "loss_count", "pictures"):
        del state[later]
    torch.save(state, tmp_path / "state.pt")
    assert Trainer(RECIPE, (images,), tmp_path, RESUMED).step == 1


def test_half_a_row_at_the_end_of_the_log_is_dropped(images: Path, tmp_path: Path) -> None:
    recipe = replace(RECIPE, steps=2)
    Trainer(recipe, (images,), tmp_path, CPU).run()
    rows = log_of(tmp_path)
    with (tmp_path / "log.csv").open("a") as file:
        file.write("3,0.5,0.0")
    Trainer(recipe, (images,), tmp_path, RESUMED).run()
    assert log_of(tmp_path) == rows


def test_the_average_is_between_where_the_weights_were_and_where_they_are(images: Path, tmp_path: Path) -> None:
    trainer = Trainer(RECIPE, (images,), tmp_path, ONE_STEP)
    network: Any = trainer.network
    average: Any = trainer.average
    start = network.head.weight.detach().clone()
    trainer.run()
    # The first decay is (1 + 0) / (10 + 0).
    expected = 0.1 * start + 0.9 * network.head.weight.detach()
    assert not torch.equal(start, network.head.weight)
    assert torch.allclose(average.head.weight, expected, rtol=0, atol=1e-7)  # float32 of numbers below 1


def test_weights_that_are_no_longer_finite_end_the_run_and_never_replace_good_ones(
        images: Path, tmp_path: Path) -> None:
    class Poisoned(Trainer):
        def _batch(self) -> TrainingBatch:
            batch = super()._batch()
            return replace(batch, lr=batch.lr * math.nan) if self.step == 12 else batch

    with pytest.raises(TrainingError, match="no longer finite at step 20"):
        Poisoned(RECIPE, (images,), tmp_path, CPU).run()
    assert all(torch.isfinite(value).all() for value in weights(tmp_path).values())


def test_weights_spoilt_by_the_last_step_are_not_saved_although_its_loss_was_finite(
        images: Path, tmp_path: Path) -> None:
    class Poisoned(Trainer):
        @torch.no_grad()
        def _average(self) -> None:
            super()._average()
            if self.step == RECIPE.steps - 1:
                self.network.head.weight.fill_(math.inf)

    with pytest.raises(TrainingError, match="weights are no longer finite at step 24"):
        Poisoned(RECIPE, (images,), tmp_path, CPU).run()
    assert torch.load(tmp_path / "state.pt", weights_only=True)["step"] == 0


def test_progress_has_step_share_loss_psnr_and_time_left(images: Path, tmp_path: Path) -> None:
    reported: list[Progress] = []
    Trainer(RECIPE, (images,), tmp_path, CPU).run(reported.append)
    assert [progress.step for progress in reported] == [10, 20]
    assert reported[1].share == pytest.approx(20 / 24)
    assert reported[1].remaining_s == pytest.approx(reported[1].elapsed_s * 4 / 20)
    assert [f"{progress.psnr_y_db} {progress.loss}" for progress in reported] == [
        f"{row['validation_psnr_y_db']} {row['loss']}" for row in log_of(tmp_path)[1:3]]


def test_making_a_trainer_leaves_the_random_numbers_of_the_caller_alone(images: Path, tmp_path: Path) -> None:
    before = torch.random.get_rng_state()
    Trainer(RECIPE, (images,), tmp_path, CPU)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_chain_without_residuals_starts_by_passing_the_signal_on() -> None:
    torch.manual_seed(0)
    network: Any = ARCHITECTURES["srn"].build({"blocks": 4, "channels": 16})
    features = torch.randn(1, 16, 24, 24, generator=torch.Generator().manual_seed(0))

    def likeness() -> float:
        passed = features
        for block in network.recon_trunk:
            passed = block(passed)
        return float(torch.corrcoef(torch.stack([features.flatten(), passed.flatten()]))[0, 1])

    with torch.no_grad():
        assert abs(likeness()) < 0.05
        set_first_weights(network)
        assert likeness() > 0.25  # five seeds gave 0.29 to 0.35, before: at most 0.012


def test_networks_with_residuals_keep_their_own_first_weights() -> None:
    network = ARCHITECTURES["srn"].build({"blocks": 2, "channels": 16, "residual": True})
    before = {key: value.clone() for key, value in network.state_dict().items()}
    set_first_weights(network)
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
