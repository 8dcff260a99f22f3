"""What a trainer refuses before it begins, and what it tells without stopping."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from srn_deploy.errors import DeviceUnavailable, OptionError, TrainingError
from srn_deploy.image import Image, write_image
from srn_deploy.training.recipe import Recipe
from srn_deploy.training.trainer import Inputs, Trainer

RECIPE = Recipe(name="tiny", title="A tiny SRN", source="made for tests", architecture="srn",
                options={"scale": 2, "blocks": 1, "channels": 8, "esa_channels": 4}, value_range=1.0, hr_patch_px=32,
                batch=4, steps=1, learning_rate=5e-3)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Three pictures of 52 x 48 px."""
    rng = np.random.default_rng(5)
    for number in range(3):
        pixels = rng.integers(0, 256, (52, 48, 3)).astype(np.uint8)
        write_image(tmp_path / "pictures" / f"{number}.png", Image(pixels=pixels))
    return tmp_path / "pictures"


@pytest.fixture
def finished(pictures: Path, tmp_path: Path) -> Path:
    """The folder of a run of one step."""
    Trainer(RECIPE, Inputs(data=(pictures,)), tmp_path / "finished").run()
    return tmp_path / "finished"


def test_a_folder_with_a_run_is_refused_without_resume(pictures: Path, finished: Path) -> None:
    with pytest.raises(TrainingError, match="holds a run already") as caught:
        Trainer(RECIPE, Inputs(data=(pictures,)), finished)
    assert "--resume" in caught.value.remedy


def test_a_folder_with_a_checkpoint_of_unknown_origin_is_refused(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"precious")
    with pytest.raises(TrainingError, match="would be overwritten"):
        Trainer(RECIPE, Inputs(data=(pictures,)), tmp_path)


def test_another_recipe_is_refused_on_resume_with_what_differs(finished: Path) -> None:
    # The folder of pictures does not exist: the refusal comes before they are read.
    with pytest.raises(TrainingError, match=r"another recipe \(batch: 4 there, 8 here\)"):
        Trainer(replace(RECIPE, batch=8), Inputs(data=(Path("missing"),)), finished, resume=True)


@pytest.mark.parametrize("spoil", [lambda path: path.write_bytes(path.read_bytes()[:5000]),
                                   lambda path: torch.save({"step": 1}, path)],
                         ids=["truncated", "foreign"])
def test_a_damaged_or_foreign_state_is_refused(pictures: Path, finished: Path, spoil: Any) -> None:
    spoil(finished / "state.pt")
    with pytest.raises(TrainingError, match="no whole state"):
        Trainer(RECIPE, Inputs(data=(pictures,)), finished, resume=True)


def test_resuming_where_nothing_lies_is_told(pictures: Path, tmp_path: Path) -> None:
    told: list[str] = []
    Trainer(RECIPE, Inputs(data=(pictures,)), tmp_path, resume=True, notice=told.append)
    assert told == [f"{tmp_path} holds no run to continue: this one begins at step 0."]


def test_resuming_with_other_pictures_is_told(pictures: Path, finished: Path) -> None:
    (pictures / "0.png").unlink()
    told: list[str] = []
    Trainer(RECIPE, Inputs(data=(pictures,)), finished, resume=True, notice=told.append)
    assert "began with other pictures" in told[0]


def test_a_picture_that_is_left_out_is_a_warning_where_nobody_listens(pictures: Path, tmp_path: Path) -> None:
    (pictures / "bad.png").touch()
    with pytest.warns(UserWarning, match=r"bad\.png is empty"):
        Trainer(RECIPE, Inputs(data=(pictures,)), tmp_path / "run")


@pytest.mark.parametrize(("change", "told"), [
    ({"architecture": "unet"}, "no architecture 'unet'"),
    ({"options": {"scale": 2, "colour": "red"}}, "Unknown network option 'colour'"),
    ({"hr_patch_px": 28}, "28 px is too small for its network"),
])
def test_a_network_that_cannot_be_built_is_refused_before_anything_is_written(
        tmp_path: Path, change: dict[str, Any], told: str) -> None:
    with pytest.raises(OptionError, match=told):
        Trainer(replace(RECIPE, **change), Inputs(data=(Path("missing"),)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_patch_larger_than_every_picture_is_refused(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"no picture of at least 54 x 54 px \(3 smaller"):
        Trainer(replace(RECIPE, hr_patch_px=54), Inputs(data=(pictures,)), tmp_path)


def test_an_unknown_device_is_refused_and_never_replaced(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="no device 'tpu'"):
        Trainer(RECIPE, Inputs(data=(pictures,)), tmp_path, device="tpu")
    with pytest.raises(DeviceUnavailable, match="cuda:99"):
        Trainer(RECIPE, Inputs(data=(pictures,)), tmp_path, device="cuda:99")


def test_an_output_folder_that_cannot_be_made_is_refused(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match="cannot be written"):
        Trainer(RECIPE, Inputs(data=(pictures,)), tmp_path / "file" / "run")
