"""Networks that are made more stable: the hardest stress patches, trained on apart from the photographs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from benchmarks import hardening
from benchmarks.hard_pictures import hard_pictures
from srn_deploy.architectures.checkpoint import LoadedNetwork
from srn_deploy.architectures.recognition.recognise import load_resolved
from srn_deploy.benchmark.records import Record
from srn_deploy.errors import OptionError
from srn_deploy.image import Image, write_image
from srn_deploy.registry.resolve import ResolvedModel
from srn_deploy.training import earlier_run
from srn_deploy.training.batches import TrainingBatch
from srn_deploy.training.losses import stress_loss, training_loss
from srn_deploy.training.recipe import INITIAL, load_recipe
from srn_deploy.training.step_losses import hardest, set_gradients, step_losses
from srn_deploy.training.trainer import Trainer
from tests.test_warm_start import CPU, RECIPE, SMALL, saved

pytestmark = pytest.mark.usefixtures("one_thread")

HARDEN = replace(load_recipe("harden"), hr_patch_px=32, batch=4, steps=2)


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two images of noise, 48 x 52 px, each with its half as published sets have it."""
    folder = tmp_path_factory.mktemp("images")
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 256, (48, 52, 3)).astype(np.uint8)
        write_image(folder / f"HR/{number}.png", Image(pixels=pixels))
        write_image(folder / f"LR/{number}.png", Image(pixels=pixels[::2, ::2]))
    return folder


class Unstable(nn.Module):
    """Repeats pixels, and gives millions where a patch is white."""

    def __init__(self) -> None:
        super().__init__()
        self.gain, self.blow_up = (nn.Parameter(torch.ones(())) for _ in range(2))

    def forward(self, lr: Tensor) -> Tensor:
        """(N, 3, H, W) to (N, 3, 2H, 2W)."""
        is_white = (lr.amin(dim=(1, 2, 3), keepdim=True) > 0.99).float()
        return (lr * self.gain + 1e6 * is_white * self.blow_up).repeat_interleave(2, 2).repeat_interleave(2, 3)


def batch_of(*levels: float, photos: int, stressed: int) -> TrainingBatch:
    """Even patches of these levels, 4 px a side, whose right answer is 0.5."""
    lr = torch.tensor(levels).view(-1, 1, 1, 1).expand(-1, 3, 4, 4).contiguous()
    return TrainingBatch(lr=lr, hr=torch.full((len(levels), 3, 8, 8), 0.5), photos=photos, stressed=stressed)


def test_of_the_candidates_those_are_kept_whose_output_leaves_the_range_furthest() -> None:
    kept = hardest(batch_of(0.1, 0.2, 1.0, 0.4, -3.0, photos=1, stressed=2), Unstable())
    assert kept.lr[:, 0, 0, 0].tolist() == pytest.approx([0.1, 1.0, -3.0])
    assert (len(kept.hr), kept.photos) == (3, 1)
    nothing_to_choose = batch_of(0.1, 0.2, photos=1, stressed=1)
    assert hardest(nothing_to_choose, Unstable()) is nothing_to_choose


def test_an_output_that_is_no_number_is_the_hardest() -> None:
    kept = hardest(batch_of(0.5, 1.0, 0.2, photos=0, stressed=1), lambda lr: torch.where(lr == 0.2, torch.nan, lr))
    assert kept.lr[0, 0, 0, 0] == pytest.approx(0.2)


def test_millions_on_a_stress_patch_leave_the_photographs_their_gradient() -> None:
    batch, networks = batch_of(0.2, 1.0, photos=1, stressed=1), []
    for apart in (True, False):
        network = Unstable()
        losses = step_losses(replace(RECIPE, stress_apart=apart), network, batch, None)
        set_gradients(network, losses, 0.5)
        assert len(losses) == 1 + apart
        networks.append(network)
    gains = [float(network.gain.grad) for network in networks if network.gain.grad is not None]
    assert gains[0] == pytest.approx(-0.2, abs=1e-4)  # |gain * 0.2 - 0.5| of the photograph falls by 0.2
    assert abs(gains[1]) < 1e-6  # all that is left of it beside a million
    assert float(networks[0].blow_up.grad or 0) == pytest.approx(0.5, abs=1e-4)  # the limit


def test_parameters_that_take_no_part_in_a_loss_keep_the_gradient_of_the_other() -> None:
    network = nn.ModuleDict({"one": nn.Linear(1, 1), "other": nn.Linear(1, 1), "unused": nn.Linear(1, 1)})
    losses = [network[name](torch.ones(1, 1)).sum() for name in ("one", "other")]
    set_gradients(network, losses, float("inf"))
    assert [name for name, value in network.named_parameters() if value.grad is None] == ["unused.weight",
                                                                                         "unused.bias"]
    assert all(value.grad is None or float(value.grad) == 1.0 for value in network.parameters())


def test_the_loss_apart_is_the_logarithm_of_what_lies_beyond_the_margin() -> None:
    sr, hr = torch.tensor([0.6, 0.9, 1e6]).view(3, 1, 1, 1), torch.full((3, 1, 1, 1), 0.5)
    recipe = replace(RECIPE, stress_margin=0.25)
    beyond = np.log1p([0.0, 0.15, 1e6 - 0.75])
    assert float(stress_loss(recipe, sr, hr)) == pytest.approx(beyond.mean(), rel=1e-5)
    squared = np.log1p(np.square([0.0, 0.15, 1e6 - 0.75]))
    assert float(stress_loss(replace(recipe, loss="l2"), sr, hr)) == pytest.approx(squared.mean(), rel=1e-5)


def test_together_the_loss_is_one_for_the_whole_batch() -> None:
    batch, network = batch_of(0.2, 0.4, photos=1, stressed=1), Unstable()
    (loss,) = step_losses(RECIPE, network, batch, None)
    assert torch.equal(loss, training_loss(RECIPE, network(batch.lr), batch.hr, None))


def test_a_batch_of_stress_patches_alone_has_the_loss_of_theirs() -> None:
    (loss,) = step_losses(replace(RECIPE, stress_apart=True), Unstable(), batch_of(0.2, photos=0, stressed=1), None)
    assert float(loss.detach()) == pytest.approx(np.log1p(0.3))


def test_candidates_come_on_top_of_the_batch(images: Path, tmp_path: Path) -> None:
    few, many = (Trainer(replace(RECIPE, stress_candidates=count), [images], tmp_path / str(count), CPU)
                 .batches.batch(0) for count in (1, 6))
    assert (len(few.lr), few.photos, few.stressed) == (4, 3, 1)
    assert (len(many.lr), len(many.hr), many.photos, many.stressed) == (9, 9, 3, 1)


def test_an_initial_checkpoint_of_another_scale_is_no_teacher(images: Path, tmp_path: Path) -> None:
    path = saved(tmp_path / "theirs.safetensors", {**SMALL, "scale": 3})
    with pytest.raises(OptionError, match=r"The teacher \(the initial checkpoint\) upscales by x3, but recipe mine by"):
        Trainer(replace(RECIPE, teacher=INITIAL), [images], tmp_path / "run", replace(CPU, initial=path))


def test_an_initial_checkpoint_that_wants_larger_patches_is_no_teacher(images: Path, tmp_path: Path) -> None:
    path = saved(tmp_path / "theirs.safetensors", SMALL)
    plain = replace(RECIPE, options={**SMALL, "attention": "none", "residual": True}, teacher=INITIAL, hr_patch_px=16)
    with pytest.raises(OptionError, match=r"too small for the teacher \(the initial checkpoint\)"):
        Trainer(plain, [images], tmp_path / "run", replace(CPU, initial=path))


@pytest.mark.parametrize("is_resumed", [False, True])
def test_the_initial_checkpoint_is_read_once(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                             is_resumed: bool) -> None:
    path, read = saved(tmp_path / "theirs.safetensors", SMALL), []
    chosen = replace(CPU, initial=path)
    if is_resumed:
        Trainer(HARDEN, [images], tmp_path / "run", chosen).run()

    def counted(model: ResolvedModel) -> LoadedNetwork:
        read.append(model.path)
        return load_resolved(model)

    monkeypatch.setattr(earlier_run, "load_resolved", counted)
    Trainer(HARDEN, [images], tmp_path / "run", replace(chosen, resume=is_resumed))
    assert read == [path]


def test_a_run_that_needs_its_checkpoint_again_does_not_say_that_it_is_not_used(
        images: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    chosen = replace(CPU, initial=saved(tmp_path / "theirs.safetensors", SMALL))
    recipe = replace(RECIPE, architecture=INITIAL, steps=1)
    Trainer(recipe, [images], tmp_path / "run", chosen).run()
    Trainer(recipe, [images], tmp_path / "run", replace(chosen, resume=True))
    assert "is not used" not in caplog.text


def test_the_record_tells_of_the_run_by_what_it_left(images: Path, tmp_path: Path) -> None:
    path = saved(tmp_path / "theirs.safetensors", SMALL)
    Trainer(HARDEN, [images], tmp_path / "run", replace(CPU, initial=path)).run()
    hardening.main([str(path), str(tmp_path / "run"), "--sets", str(images), "--records", str(tmp_path)])
    results = Record.load(tmp_path / "hardening.json").results
    assert (results["steps"], results["batch"], results["hr_patch_px"]) == (2, 4, 32)
    assert results["stress_candidates"] == HARDEN.stress_candidates
    assert list(results["after"]["levels"]) == list(hard_pictures())
    assert hardening.hardening_tables(results)[0] == (
        f"`srn` ×2, 2 steps of 4 patches of 32 px (HR), {100 * HARDEN.stress_fraction:.0f} % of them stress patches, "
        f"the worst 1 in {HARDEN.stress_candidates} of those drawn.")


def test_a_record_of_the_earlier_recipe_says_so() -> None:
    levels = {"stripes": [0.0, 255.0]}
    results = {"architecture": "srn", "scale": 4, "steps": 600, "batch": 8, "hr_patch_px": 192, "stress_fraction": 0.25,
               "sets": ["Set5"], "before": {"psnr_y_db": {"Set5": 32.0}, "levels": levels},
               "after": {"psnr_y_db": {"Set5": 31.9}, "levels": levels}}
    told, scores, ranges = hardening.hardening_tables(results)
    assert "The recipe was another then" in told
    assert "| Set5 | 32.000 | 31.900 | 0.100 | **no** |" in scores
    assert "| stripes | 0 … 255 | 0 … 255 | yes |" in ranges


def test_a_record_of_a_run_that_started_with_another_checkpoint_is_refused(images: Path, tmp_path: Path) -> None:
    path = saved(tmp_path / "theirs.safetensors", SMALL)
    other = saved(tmp_path / "others.safetensors", {**SMALL, "blocks": 2})
    Trainer(HARDEN, [images], tmp_path / "run", replace(CPU, initial=path)).run()
    with pytest.raises(OptionError, match="started with another checkpoint"):
        hardening.main([str(other), str(tmp_path / "run"), "--sets", str(images), "--records", str(tmp_path)])
    assert not (tmp_path / "hardening.json").exists()
