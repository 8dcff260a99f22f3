"""What ships is whole, is ours, and does what its card says."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from srn_deploy import model_store
from srn_deploy.agreement import compare_backends
from srn_deploy.backends.onnx_runtime import OnnxRuntimeBackend
from srn_deploy.backends.pytorch import PyTorchBackend
from srn_deploy.checkpoint import load_checkpoint
from srn_deploy.errors import DamagedCheckpoint, UnknownModel
from srn_deploy.image import find_images, read_image
from srn_deploy.metrics import psnr_y
from srn_deploy.model_store import default_model, find_checkpoint, find_graph, models_folder, shipped_models
from srn_deploy.proof_pictures import proof_pictures
from srn_deploy.resample import resize_uint8

NAMES = sorted(shipped_models())


@pytest.mark.parametrize("name", NAMES)
def test_every_file_is_the_one_the_manifest_names(name: str) -> None:
    model = shipped_models()[name]
    assert model.checkpoint.checked_path().suffix == ".safetensors"
    assert model.graph.checked_path().suffix == ".onnx"
    assert (models_folder() / f"{name}.md").is_file()


@pytest.mark.parametrize("name", NAMES)
def test_the_graph_is_the_checkpoints(name: str) -> None:
    graph, loaded = OnnxRuntimeBackend(find_graph(name)), load_checkpoint(find_checkpoint(name))
    assert graph.spec.source_sha256 == loaded.spec.source_sha256
    assert graph.spec.licence == loaded.spec.licence != ""
    assert compare_backends(graph, PyTorchBackend(loaded), proof_pictures()).worst_levels <= 1  # one rounding


@pytest.mark.parametrize("name", NAMES)
def test_the_training_log_begins_at_step_0_with_untrained_weights(name: str) -> None:
    with (models_folder() / f"{name}.log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert rows[0]["step"] == "0"
    first, last = (float(rows[index]["validation_psnr_y_db"]) for index in (0, -1))
    assert first < 15  # no picture yet: whoever begins with trained weights begins near 28 dB
    assert last > first + 10


@pytest.mark.parametrize("name", NAMES)
def test_it_beats_bicubic_on_set5(name: str, data: Path) -> None:
    backend = OnnxRuntimeBackend(find_graph(name))
    scale, gains = backend.spec.scale, []
    folder = data / f"images/Set5/x{scale}"
    for path in find_images(folder / "HR"):
        hr, lr = (read_image(folder / side / path.name).as_rgb8() for side in ("HR", "LR"))
        sr, bicubic = backend.run(lr[None])[0], resize_uint8(lr, *hr.shape[:2])
        gains.append(psnr_y(sr, hr, border_px=scale) - psnr_y(bicubic, hr, border_px=scale))
    assert np.mean(gains) > 1.0  # a clear gain on every machine; the card has the figures


def test_all_models_together_stay_small() -> None:
    assert sum(path.stat().st_size for path in models_folder().iterdir() if path.is_file()) < 30e6


def test_a_changed_file_is_not_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = shipped_models()[default_model()]
    (tmp_path / "manifest.json").write_text(json.dumps({"default": entry.name, "models": json.loads(
        (models_folder() / "manifest.json").read_text())["models"]}))
    changed = bytearray(entry.graph.checked_path().read_bytes())
    changed[len(changed) // 2] ^= 1
    (tmp_path / entry.graph.name).write_bytes(changed)
    monkeypatch.setattr(model_store, "models_folder", lambda: tmp_path)
    with pytest.raises(DamagedCheckpoint, match="not the file"):
        find_graph()


def test_a_file_goes_before_a_name_and_an_unknown_name_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "any.onnx").write_bytes(b"")
    assert find_graph(tmp_path / "any.onnx") == tmp_path / "any.onnx"
    with pytest.raises(UnknownModel):
        find_checkpoint("unheard-of")
