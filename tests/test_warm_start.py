"""Runs that start with a trained network: deeper ones, other scales, and networks that are made stable."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from srn_deploy.architectures import ARCHITECTURES
from srn_deploy.architectures.checkpoint import load_checkpoint, save_checkpoint
from srn_deploy.errors import OptionError
from srn_deploy.image import Image, write_image
from srn_deploy.registry.resolve import ModelKind, resolve
from srn_deploy.training.initialization import start_with
from srn_deploy.training.options import RunOptions
from srn_deploy.training.recipe import INITIAL, Recipe, load_recipe
from srn_deploy.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = {"scale": 2, "blocks": 1, "channels": 8, "esa_channels": 4}

RECIPE = Recipe(name="mine", title="A tiny SRN", source="made for tests", architecture="srn", options=SMALL,
                value_range=1.0, hr_patch_px=48, batch=4, steps=4, learning_rate=1e-3, stress_fraction=0.25)

CPU = RunOptions(device="cpu")


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two images of noise, 48 x 52 px."""
    folder = tmp_path_factory.mktemp("images")
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 256, (48, 52, 3)).astype(np.uint8)
        write_image(folder / f"{number}.png", Image(pixels=pixels))
    return folder


def saved(path: Path, options: dict[str, Any], *, value_range: float = 1.0) -> Path:
    """An SRN of seeded weights."""
    torch.manual_seed(1)
    save_checkpoint(path, ARCHITECTURES["srn"].build(options), architecture="srn", options=options,
                    value_range=value_range)
    return path


def started(checkpoint: Path, warm_start: str, options: dict[str, Any]) -> nn.Module:
    """A network that begins with a checkpoint."""
    loaded = load_checkpoint(checkpoint)
    network = ARCHITECTURES["srn"].build(options)
    start_with(network, loaded, replace(RECIPE, warm_start=warm_start, options=options,
                                        value_range=loaded.spec.value_range))
    return network.eval()


def lr_image() -> torch.Tensor:
    """(1, 3, 32, 40) in 0..1, smooth as photographs are."""
    noise = torch.rand(1, 3, 8, 10, generator=torch.Generator().manual_seed(3))
    return functional.interpolate(noise, size=(32, 40), mode="bicubic").clamp(0, 1)


@torch.no_grad()
def test_a_deepened_network_starts_as_the_shallower_one_was() -> None:
    loaded = load_checkpoint(resolve("srn-s-b4-x4", wanted=ModelKind.CHECKPOINT).path)
    deeper = started(resolve("srn-s-b4-x4", wanted=ModelKind.CHECKPOINT).path, "deepen",
                     {**loaded.spec.options, "blocks": 6})
    torch.testing.assert_close(deeper(lr_image()), loaded.network(lr_image()), rtol=0, atol=1e-3)


@torch.no_grad()
@pytest.mark.parametrize("variant", [{"residual": True}, {"attention": "none"}, {"attention": "old", "residual": True}])
def test_every_kind_of_block_can_be_added(tmp_path: Path, variant: dict[str, Any]) -> None:
    path = saved(tmp_path / "small.safetensors", {**SMALL, **variant})
    deeper = started(path, "deepen", {**SMALL, **variant, "blocks": 3})
    torch.testing.assert_close(deeper(lr_image()), load_checkpoint(path).network(lr_image()), rtol=0, atol=1e-3)


@torch.no_grad()
def test_blocks_of_a_network_for_0_to_255_are_shifted_by_its_range(tmp_path: Path) -> None:
    path = saved(tmp_path / "small.safetensors", SMALL, value_range=255.0)
    deeper = started(path, "deepen", {**SMALL, "blocks": 2})
    torch.testing.assert_close(deeper(255 * lr_image()), load_checkpoint(path).network(255 * lr_image()), rtol=0,
                               atol=0.1)


@torch.no_grad()
@pytest.mark.parametrize(("scale", "to_scale"), [(4, 2), (2, 4), (4, 3)])
def test_a_rescaled_tail_gives_the_mean_of_the_sub_pixels_in_its_place(
        tmp_path: Path, scale: int, to_scale: int) -> None:
    path = saved(tmp_path / "other.safetensors", {**SMALL, "scale": scale})
    rescaled = started(path, "rescale", {**SMALL, "scale": to_scale})
    theirs = load_checkpoint(path).network(lr_image())
    cells = theirs.unfold(2, scale, scale).unfold(3, scale, scale).flatten(0, 3)
    expected = functional.adaptive_avg_pool2d(cells, to_scale).reshape(1, 3, 32, 40, to_scale, to_scale)
    ours = rescaled(lr_image()).unfold(2, to_scale, to_scale).unfold(3, to_scale, to_scale)
    torch.testing.assert_close(ours, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("warm_start", "options", "message"), [
    ("deepen", SMALL, "has all 1 blocks"), ("rescale", SMALL, "for x2 as well")])
def test_a_warm_start_that_changes_nothing_is_refused(
        tmp_path: Path, warm_start: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        started(saved(tmp_path / "small.safetensors", SMALL), warm_start, options)


def test_a_network_without_blocks_or_tail_of_that_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "fsrcnn.safetensors"
    network = ARCHITECTURES["fsrcnn"].build({"scale": 2})
    save_checkpoint(path, network, architecture="fsrcnn", options={"scale": 2}, value_range=1.0)
    for warm_start, message in ("deepen", "Only an SRN"), ("rescale", "no sub-pixel tail"):
        other = ARCHITECTURES["fsrcnn"].build({"scale": 4})
        with pytest.raises(OptionError, match=message):
            start_with(other, load_checkpoint(path), replace(RECIPE, warm_start=warm_start, options={"scale": 4}))


@pytest.mark.parametrize("change", [{"warm_start": "deepen"}, {"architecture": INITIAL}, {"teacher": INITIAL}])
def test_a_recipe_that_starts_with_a_checkpoint_wants_one(images: Path, tmp_path: Path, change: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match="Recipe mine starts with a checkpoint, and there is none") as caught:
        Trainer(replace(RECIPE, **change), [images], tmp_path / "run", CPU)
    assert "--initial" in caught.value.remedy
    assert not (tmp_path / "run").exists()


def test_hardening_takes_the_network_of_the_checkpoint_and_learns_from_it(images: Path, tmp_path: Path) -> None:
    path = saved(tmp_path / "theirs.safetensors", {**SMALL, "blocks": 2}, value_range=255.0)
    recipe = replace(load_recipe("harden"), hr_patch_px=32, batch=4, steps=3)
    trainer = Trainer(recipe, [images], tmp_path / "run", replace(CPU, initial=path))
    assert (trainer.recipe.architecture, trainer.recipe.value_range) == ("srn", 255.0)
    assert trainer.recipe.scale == 2
    assert trainer.teacher is not None
    assert trainer.teacher.sha256 == load_checkpoint(path).spec.source_sha256
    made = load_checkpoint(trainer.run())
    assert made.spec.options == load_checkpoint(path).spec.options
    assert made.spec.value_range == 255.0


def test_hardening_goes_on_with_the_same_checkpoint_and_ends_as_if_it_had_not_been_stopped(
        images: Path, tmp_path: Path) -> None:
    path = saved(tmp_path / "theirs.safetensors", SMALL)
    recipe = replace(load_recipe("harden"), hr_patch_px=32, batch=4, steps=4)
    whole = Trainer(recipe, [images], tmp_path / "whole", replace(CPU, initial=path)).run()
    half = Trainer(recipe, [images], tmp_path / "parts", replace(CPU, initial=path))
    for _ in range(2):
        half._train_step(half._share())
    half._save()
    half.folder.release()
    with pytest.raises(OptionError, match="there is none"):
        Trainer(recipe, [images], tmp_path / "parts", replace(CPU, resume=True))
    rest = Trainer(recipe, [images], tmp_path / "parts", replace(CPU, initial=path, resume=True)).run()
    left, right = (load_checkpoint(each).network.state_dict() for each in (whole, rest))
    assert all(torch.equal(left[key], right[key]) for key in left)
