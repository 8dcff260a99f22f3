"""What a trainer refuses before it starts, and what it only logs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from srn_deploy.errors import DeviceUnavailable, OptionError, OutOfMemory, TrainingError
from srn_deploy.image import Image, write_image
from srn_deploy.training import RunOptions
from srn_deploy.training.recipe import Recipe
from srn_deploy.training.trainer import Trainer

RECIPE = Recipe(name="tiny", title="A tiny SRN", source="made for tests", architecture="srn",
                options={"scale": 2, "blocks": 1, "channels": 8, "esa_channels": 4}, value_range=1.0, hr_patch_px=32,
                batch=4, steps=1, learning_rate=5e-3)

CPU = RunOptions(device="cpu")
RESUMED = RunOptions(device="cpu", resume=True)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Three images of 52 x 48 px."""
    rng = np.random.default_rng(5)
    for number in range(3):
        pixels = rng.integers(0, 256, (52, 48, 3)).astype(np.uint8)
        write_image(tmp_path / "images" / f"{number}.png", Image(pixels=pixels))
    return tmp_path / "images"


@pytest.fixture
def finished(images: Path, tmp_path: Path) -> Path:
    """The folder of a run of one step."""
    Trainer(RECIPE, (images,), tmp_path / "finished", CPU).run()
    return tmp_path / "finished"


def test_a_folder_with_a_run_is_refused_without_resume(images: Path, finished: Path) -> None:
    with pytest.raises(TrainingError, match="already holds a run") as caught:
        Trainer(RECIPE, (images,), finished, CPU)
    assert "--resume" in caught.value.remedy


def test_a_folder_with_a_checkpoint_of_unknown_origin_is_refused(images: Path, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"precious")
    with pytest.raises(TrainingError, match="would be overwritten"):
        Trainer(RECIPE, (images,), tmp_path, CPU)


def test_another_recipe_is_refused_on_resume_with_what_differs(finished: Path) -> None:
    # The folder of images does not exist: the refusal comes before they are read.
    with pytest.raises(TrainingError, match=r"a different recipe \(batch: 4 there, 8 here\)") as caught:
        Trainer(replace(RECIPE, batch=8), (Path("missing"),), finished, RESUMED)
    assert f"--initial {finished / 'model.safetensors'}" in caught.value.remedy


@pytest.mark.parametrize("spoil", [lambda path: path.write_bytes(path.read_bytes()[:5000]),
                                   lambda path: torch.save({"step": 1}, path)],
                         ids=["truncated", "foreign"])
def test_a_damaged_or_foreign_state_is_refused(images: Path, finished: Path, spoil: Any) -> None:
    spoil(finished / "state.pt")
    with pytest.raises(TrainingError, match="not a complete state"):
        Trainer(RECIPE, (images,), finished, RESUMED)


def test_a_damaged_log_is_refused_with_what_to_do(images: Path, finished: Path) -> None:
    log = finished / "log.csv"
    header, _, rows = log.read_text(encoding="utf-8").partition("\n")
    log.write_text(f"{header}\nx{rows}", encoding="utf-8")
    with pytest.raises(TrainingError, match="is damaged") as caught:
        Trainer(RECIPE, (images,), finished, RESUMED)
    assert "a new log is started" in caught.value.remedy


def test_a_state_that_cannot_be_read_is_not_called_damaged(
        images: Path, finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*given: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(torch, "load", refused)
    with pytest.raises(TrainingError, match="cannot be read: Permission denied"):
        Trainer(RECIPE, (images,), finished, RESUMED)


def test_resuming_where_there_is_no_run_is_logged(
        images: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Trainer(RECIPE, (images,), tmp_path, RESUMED)
    assert caplog.messages == [f"{tmp_path} holds no run to continue: this one starts at step 0."]


def test_resuming_with_other_images_is_logged(
        images: Path, finished: Path, caplog: pytest.LogCaptureFixture) -> None:
    (images / "0.png").unlink()
    Trainer(RECIPE, (images,), finished, RESUMED)
    assert "started with other images" in caplog.messages[-1]


def test_an_image_that_is_left_out_is_logged(
        images: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (images / "bad.png").touch()
    Trainer(RECIPE, (images,), tmp_path / "run", CPU)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "bad.png is empty" in caplog.text


@pytest.mark.parametrize(("change", "message"), [
    ({"architecture": "unet"}, "no architecture 'unet'"),
    ({"options": {"scale": 2, "colour": "red"}}, "Unknown network option 'colour'"),
    ({"hr_patch_px": 28}, "28 px is too small for its network"),
])
def test_a_network_that_cannot_be_built_is_refused_before_anything_is_written(
        tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Trainer(replace(RECIPE, **change), (Path("missing"),), tmp_path / "run", CPU)
    assert not (tmp_path / "run").exists()


def test_a_patch_larger_than_every_image_is_refused(images: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"no image of at least 54 x 54 px \(3 smaller"):
        Trainer(replace(RECIPE, hr_patch_px=54), (images,), tmp_path, CPU)


def test_a_batch_that_no_memory_holds_is_refused(images: Path, tmp_path: Path) -> None:
    with pytest.raises(OutOfMemory, match="does not hold") as caught:
        Trainer(replace(RECIPE, batch=10**11), (images,), tmp_path / "run", CPU).run()
    assert "batch" in caught.value.remedy


def test_an_unknown_device_is_refused_and_never_replaced(images: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="no device 'tpu'"):
        Trainer(RECIPE, (images,), tmp_path, RunOptions(device="tpu"))
    with pytest.raises(DeviceUnavailable, match="cuda:99"):
        Trainer(RECIPE, (images,), tmp_path, RunOptions(device="cuda:99"))


def test_an_output_folder_that_cannot_be_made_is_refused(images: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TrainingError, match="cannot be written"):
        Trainer(RECIPE, (images,), tmp_path / "file" / "run", CPU)
