"""What one step learns from: batch, loss and optimizer, and the checkpoints that a run takes from other runs."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from srn_deploy.architectures import ARCHITECTURES
from srn_deploy.architectures.checkpoint import save_checkpoint
from srn_deploy.errors import OptionError, TrainingError
from srn_deploy.image import Image, write_image
from srn_deploy.system.hashing import sha256_of_file
from srn_deploy.training import RunOptions
from srn_deploy.training.batches import validation_pair
from srn_deploy.training.initialization import copy_weights
from srn_deploy.training.losses import training_loss
from srn_deploy.training.muon import UPDATE_RMS, Muon, orthogonalised
from srn_deploy.training.recipe import Recipe
from srn_deploy.training.schedule import learning_rate
from srn_deploy.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")

RECIPE = Recipe(name="tiny", title="A tiny SRN", source="made for tests", architecture="srn",
                options={"scale": 2, "blocks": 1, "channels": 8, "esa_channels": 4}, value_range=1.0, hr_patch_px=32,
                batch=4, steps=6, learning_rate=5e-3, ema_decay=0.9, stress_fraction=0.25)

CPU = RunOptions(device="cpu")
RESUMED = RunOptions(device="cpu", resume=True)

TEACHER = {"scale": 2, "channels": 8, "blocks": 1, "mean_shift": False}


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three images of noise, 48 x 52 px."""
    folder = tmp_path_factory.mktemp("images")
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (48, 52, 3)).astype(np.uint8)
        write_image(folder / f"{number}.png", Image(pixels=pixels))
    return folder


def saved(path: Path, architecture: str, options: dict[str, Any], *, value_range: float = 1.0) -> Path:
    """A checkpoint of seeded weights."""
    torch.manual_seed(1)
    save_checkpoint(path, ARCHITECTURES[architecture].build(options), architecture=architecture, options=options,
                    value_range=value_range)
    return path


def test_over_many_steps_exactly_the_recipe_share_of_patches_is_stress() -> None:
    recipe = replace(RECIPE, batch=8, stress_fraction=1 / 32)
    counts = [recipe.stress_patches(step) for step in range(400)]
    assert sum(counts) == 400 * 8 // 32
    assert set(counts) == {0, 1}
    assert [replace(RECIPE, batch=16, stress_fraction=1 / 16).stress_patches(step) for step in range(3)] == [1, 1, 1]


def test_every_step_sees_other_patches_the_photographs_first(images: Path, tmp_path: Path) -> None:
    trainer = Trainer(RECIPE, [images], tmp_path / "run", CPU)
    plain = Trainer(replace(RECIPE, stress_fraction=0.0), [images], tmp_path / "plain", CPU)
    batches = [trainer.batches.batch(step) for step in range(3)]
    assert len({float(batch.lr.sum()) for batch in batches}) == 3
    photos = plain.batches.batch(2)
    assert (batches[2].photos, photos.photos) == (3, 4)
    same = [torch.equal(one, two) for one, two in zip(photos.lr, batches[2].lr, strict=True)]
    assert same == [True, True, True, False]


def test_a_photo_recipe_degrades_the_lr_patch_and_keeps_the_hr_patch(images: Path, tmp_path: Path) -> None:
    plain, photo = (Trainer(replace(RECIPE, stress_fraction=0.0, degradation=kind), [images], tmp_path / kind, CPU)
                    for kind in ("bicubic", "photo"))
    one, other = plain.batches.batch(5), photo.batches.batch(5)
    assert torch.equal(one.hr, other.hr)
    assert not torch.equal(one.lr, other.lr)
    assert torch.equal(other.lr, (other.lr * 255).round() / 255)


def test_a_photo_recipe_is_validated_on_degraded_images_always_the_same(images: Path, tmp_path: Path) -> None:
    plain, photo = (Trainer(replace(RECIPE, degradation=kind), [images], tmp_path / kind, CPU).validation[0]
                    for kind in ("bicubic", "photo"))
    assert np.array_equal(plain.hr, photo.hr)
    assert photo.lr.shape == plain.lr.shape
    recipe = replace(RECIPE, degradation="photo")
    assert np.array_equal(validation_pair(recipe, plain, 0).lr, photo.lr)
    assert not np.array_equal(validation_pair(recipe, plain, 1).lr, photo.lr)


def test_the_loss_is_equation_4() -> None:
    sr, hr, teacher_sr = (torch.full((2, 3, 4, 4), value) for value in (0.5, 0.2, 0.6))
    recipe = replace(RECIPE, pixel_weight=2.0, distillation_weight=3.0)
    assert float(training_loss(recipe, sr, hr, None)) == pytest.approx(2 * 0.3)
    assert float(training_loss(recipe, sr, hr, teacher_sr)) == pytest.approx(2 * 0.3 + 3 * 0.1)
    squared = replace(recipe, loss="l2")
    assert float(training_loss(squared, sr, hr, teacher_sr)) == pytest.approx(2 * 0.09 + 3 * 0.01)
    assert (RECIPE.pixel_weight, RECIPE.distillation_weight) == (1.0, 1.0)  # "we set them to 1"


def test_a_luma_weight_counts_errors_of_brightness_and_not_those_of_colour_alone() -> None:
    recipe = replace(RECIPE, luma_weight=2.0)
    hr = torch.full((1, 3, 4, 4), 0.5)
    brighter = hr + 0.1
    assert float(training_loss(recipe, brighter, hr, None)) == pytest.approx(0.1 + 2 * 0.1)
    redder = hr + 0.1 * torch.tensor([1.0, -0.299 / 0.587, 0.0]).view(1, 3, 1, 1)  # of the same luma
    assert float(training_loss(recipe, redder, hr, None)) == pytest.approx(float((redder - hr).abs().mean()), abs=1e-6)


def test_stress_patches_are_not_learned_from_the_teacher() -> None:
    sr = torch.zeros(4, 3, 2, 2)
    hr, teacher_sr = torch.zeros(4, 3, 2, 2), torch.ones(3, 3, 2, 2)
    sr[3] = 9.0  # the one stress patch, behind the photographs
    assert float(training_loss(RECIPE, sr, hr, teacher_sr)) == pytest.approx(9.0 / 4 + 1.0)


@pytest.mark.parametrize("value_range", [1.0, 255.0])
def test_the_teacher_is_frozen_in_eval_mode_and_sees_its_own_value_range(
        images: Path, tmp_path: Path, value_range: float) -> None:
    path = saved(tmp_path / "teacher.safetensors", "edsr", TEACHER, value_range=value_range)
    trainer = Trainer(RECIPE, [images], tmp_path / "run", replace(CPU, teacher=path))
    assert trainer.teacher is not None
    assert not any(p.requires_grad for p in trainer.teacher._network.parameters())
    assert not trainer.teacher._network.training
    torch.manual_seed(1)
    network = ARCHITECTURES["edsr"].build(TEACHER)
    lr = torch.rand(1, 3, 9, 9)
    with torch.no_grad():
        expected = network(lr * value_range) / value_range
    assert torch.allclose(trainer.teacher(lr), expected, atol=1e-6)
    trainer.run()
    after = trainer.teacher(lr)
    assert torch.allclose(after, expected, atol=1e-6)


def test_a_taught_run_ends_in_other_weights_than_an_untaught_one_and_records_its_teacher(
        images: Path, tmp_path: Path) -> None:
    path = saved(tmp_path / "teacher.safetensors", "edsr", TEACHER)
    taught, alone = (safetensors.torch.load_file(Trainer(RECIPE, [images], tmp_path / name, given).run())
                     for name, given in (("taught", replace(CPU, teacher=path)), ("alone", CPU)))
    assert not torch.equal(taught["head.weight"], alone["head.weight"])
    state = torch.load(tmp_path / "taught/state.pt", weights_only=True)
    assert state["teacher_sha256"] == sha256_of_file(path)


def test_resuming_without_the_teacher_or_with_another_one_is_refused(images: Path, tmp_path: Path) -> None:
    path = saved(tmp_path / "teacher.safetensors", "edsr", TEACHER)
    other = saved(tmp_path / "other.safetensors", "edsr", {**TEACHER, "blocks": 2})
    Trainer(RECIPE, [images], tmp_path / "run", replace(CPU, teacher=path)).run()
    for given, message in ((RESUMED, "with a teacher"), (replace(RESUMED, teacher=other), "with another teacher")):
        with pytest.raises(TrainingError, match=message):
            Trainer(RECIPE, [images], tmp_path / "run", given)


def test_resuming_a_run_without_a_teacher_does_not_add_one(images: Path, tmp_path: Path) -> None:
    path = saved(tmp_path / "teacher.safetensors", "edsr", TEACHER)
    Trainer(RECIPE, [images], tmp_path / "run", CPU).run()
    with pytest.raises(TrainingError, match="without a teacher") as caught:
        Trainer(RECIPE, [images], tmp_path / "run", replace(RESUMED, teacher=path))
    assert "Leave out --teacher" in caught.value.remedy


def test_a_batch_of_stress_patches_alone_needs_no_teacher(images: Path, tmp_path: Path) -> None:
    path = saved(tmp_path / "teacher.safetensors", "edsr", TEACHER)
    recipe = replace(RECIPE, batch=1, stress_fraction=0.5)
    trainer = Trainer(recipe, [images], tmp_path / "run", replace(CPU, teacher=path))
    trainer.run()
    assert math.isfinite(float(trainer.folder._rows()[-1][3]))


def test_a_teacher_that_cannot_take_such_patches_is_refused(images: Path, tmp_path: Path) -> None:
    path = saved(tmp_path / "teacher.safetensors", "srn", {"scale": 2, "blocks": 1, "channels": 8})
    recipe = replace(RECIPE, architecture="edsr", options=TEACHER, hr_patch_px=8, stress_fraction=0.0)
    with pytest.raises(OptionError, match="too small for the teacher"):
        Trainer(recipe, [images], tmp_path / "run", replace(CPU, teacher=path))


def test_learning_from_a_teacher_alone_needs_one(images: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="only from a teacher"):
        Trainer(replace(RECIPE, pixel_weight=0.0), [images], tmp_path / "run", CPU)


def test_weights_of_another_value_range_or_another_network_are_refused(images: Path, tmp_path: Path) -> None:
    other_range = saved(tmp_path / "range.safetensors", "srn", RECIPE.options, value_range=255.0)
    with pytest.raises(OptionError, match=r"in 0\.\.255, but recipe tiny trains in 0\.\.1"):
        Trainer(RECIPE, [images], tmp_path / "run", replace(CPU, initial=other_range))
    other_network = saved(tmp_path / "edsr.safetensors", "edsr", TEACHER)
    with pytest.raises(OptionError, match=r"No tensor .* fits this network"):
        Trainer(RECIPE, [images], tmp_path / "run", replace(CPU, initial=other_network))


def test_the_mean_shift_of_edsr_asks_for_its_value_range(images: Path, tmp_path: Path) -> None:
    recipe = replace(RECIPE, architecture="edsr", options={"scale": 2, "channels": 8, "blocks": 1})
    with pytest.raises(OptionError, match="mean shift"):
        Trainer(recipe, [images], tmp_path / "run", CPU)
    Trainer(replace(recipe, value_range=255.0), [images], tmp_path / "run", CPU)


def test_a_resumed_run_says_that_it_does_not_use_initial_weights(
        images: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = Trainer(RECIPE, [images], tmp_path / "run", CPU).run()
    Trainer(RECIPE, [images], tmp_path / "run", replace(RESUMED, initial=path))
    assert "--initial is not used" in caplog.text


def test_a_teacher_of_another_scale_is_refused(images: Path, tmp_path: Path) -> None:
    path = saved(tmp_path / "teacher.safetensors", "edsr", {**TEACHER, "scale": 4})
    with pytest.raises(OptionError, match=r"upscales by x4, but recipe tiny by x2"):
        Trainer(RECIPE, [images], tmp_path / "run", replace(CPU, teacher=path))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(("change", "option"), [({"follows": "first"}, "--initial"),
                                                ({"teacher": "wise"}, "--teacher")])
def test_a_run_that_needs_another_one_says_which_and_how_to_name_it(
        images: Path, tmp_path: Path, change: dict[str, Any], option: str) -> None:
    (other,) = change.values()
    with pytest.raises(OptionError, match="does not exist") as caught:
        Trainer(replace(RECIPE, **change), [images], tmp_path / "run", CPU)
    assert str(tmp_path / other) in caught.value.message
    assert caught.value.remedy == f"Train {other} first, or give a checkpoint with {option}."


def test_a_stage_starts_with_the_checkpoint_of_the_stage_before_it(
        images: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    first = Trainer(RECIPE, [images], tmp_path / "first", CPU).run()
    with caplog.at_level("INFO", "srn_deploy"):
        second = Trainer(replace(RECIPE, follows="first"), [images], tmp_path / "second", CPU)
    left = safetensors.torch.load_file(first)
    assert all(torch.equal(left[key], value) for key, value in second.network.state_dict().items())
    assert all(torch.equal(left[key], value) for key, value in second.average.state_dict().items())
    assert caplog.messages == [f"Starting with {len(left)} of {len(left)} tensors from the initial checkpoint."]
    second.run()
    assert torch.load(tmp_path / "second/state.pt", weights_only=True)["initial_sha256"] == sha256_of_file(first)


def test_another_scale_and_more_blocks_start_with_every_tensor_that_fits(caplog: pytest.LogCaptureFixture) -> None:
    small: Any = ARCHITECTURES["srn"].build({"scale": 4, "blocks": 1, "channels": 8})
    large: Any = ARCHITECTURES["srn"].build({"scale": 2, "blocks": 2, "channels": 8})
    with caplog.at_level("INFO", "srn_deploy"):
        copy_weights(large, small.state_dict())
    assert torch.equal(large.head.weight, small.head.weight)
    assert torch.equal(large.recon_trunk[0].ESA.conv4.weight, small.recon_trunk[0].ESA.conv4.weight)
    assert caplog.text.count("Starting with 14 of 28 tensors from the initial checkpoint; not in the checkpoint: "
                             "recon_trunk.1.") == 1


def test_the_learning_rate_halves_at_half_of_the_run() -> None:
    assert learning_rate(RECIPE, 0.0) == RECIPE.learning_rate
    assert learning_rate(RECIPE, 0.5) == pytest.approx((RECIPE.learning_rate + RECIPE.final_learning_rate) / 2)
    assert learning_rate(RECIPE, 1.0) == pytest.approx(RECIPE.final_learning_rate)


@pytest.mark.parametrize("shape", [(8, 27), (27, 8), (16, 16)])
def test_an_orthogonalised_matrix_keeps_its_directions_and_loses_their_lengths(shape: tuple[int, int]) -> None:
    u, s, vh = torch.linalg.svd(torch.randn(shape, generator=torch.Generator().manual_seed(0)), full_matrices=False)
    s = torch.logspace(0, -1.5, len(s))  # condition 30
    made = u.T @ orthogonalised(u @ torch.diag(s) @ vh) @ vh.T
    # The iteration's own range (Jordan et al.); what stands beside the diagonal is rounding.
    assert 0.6 < float(made.diagonal().min()) < float(made.diagonal().max()) < 1.3
    assert float((made - torch.diag(made.diagonal())).abs().max()) < 1e-4


def test_a_step_of_muon_has_the_same_size_for_any_gradient_and_leaves_what_has_none() -> None:
    convolution, other = torch.nn.Conv2d(8, 16, 3), torch.nn.Conv2d(2, 2, 1)
    for gain in (1.0, 1e-4):
        before = convolution.weight.detach().clone()
        optimizer = Muon([*convolution.parameters(), *other.parameters()], lr=0.01)
        features = torch.randn(2, 8, 9, 9, generator=torch.Generator().manual_seed(1))
        (gain * convolution(features)).square().sum().backward()
        optimizer.step()
        moved = float((convolution.weight.detach() - before).square().mean().sqrt())
        assert moved == pytest.approx(0.01 * UPDATE_RMS, rel=0.3)  # singular values are near 1, not at it
        convolution.zero_grad()
    assert other.weight not in optimizer.state


def test_a_run_with_muon_learns_and_its_state_can_be_resumed(images: Path, tmp_path: Path) -> None:
    recipe = replace(RECIPE, optimizer="muon", steps=30, learning_rate=1e-2, validate_every_steps=10)
    trainer = Trainer(recipe, [images], tmp_path / "run", CPU)
    trainer.run()
    first, last = (float(row[-1]) for row in (trainer.folder._rows()[0], trainer.folder._rows()[-1]))
    assert last > first + 1
    again = Trainer(recipe, [images], tmp_path / "run", RESUMED)
    assert again.step == 30
    kept = again.optimizer.state[again.network.head.weight]["average"]
    assert torch.equal(kept, trainer.optimizer.state[trainer.network.head.weight]["average"])
