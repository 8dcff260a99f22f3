"""What ships is whole, is ours, and does what its card says."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from srn_deploy import model_store
from srn_deploy.agreement import compare_backends, whole_pictures
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
    agreement = compare_backends(graph, PyTorchBackend(loaded), whole_pictures(proof_pictures()))
    assert agreement.worst_levels <= 1  # one rounding


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


def hard_pictures(repository: Path) -> dict[str, NDArray[np.float64]]:
    """What makes networks trained on photographs alone diverge, (96, 96, 3) in 0..255, seeded."""
    random, side = np.random.default_rng(0), 96
    row, col = np.mgrid[0:side, 0:side]
    scene = read_image(repository / "benchmarks/pictures/demo.png").as_rgb8()[40:40 + side, 90:90 + side].astype(float)
    grey = {"one-pixel checkerboard": (row + col) % 2, "two-pixel checkerboard": (row // 2 + col // 2) % 2,
            "stripes": col % 2, "binary noise": random.integers(0, 2, (side, side))}
    return {**{name: np.repeat(255.0 * pattern[..., None], 3, axis=2) for name, pattern in grey.items()},
            "coloured binary noise": 255.0 * random.integers(0, 2, (side, side, 3)),
            "white noise": random.uniform(0, 255, (side, side, 3)),
            "scene with sigma 25": scene + random.normal(0, 25, scene.shape),
            "scene with sigma 60": scene + random.normal(0, 60, scene.shape)}


@pytest.mark.parametrize("name", NAMES)
def test_it_does_not_diverge_on_what_no_photograph_holds(name: str, repository: Path) -> None:
    loaded = load_checkpoint(find_checkpoint(name))
    gain = loaded.spec.value_range / 255
    for title, picture in hard_pictures(repository).items():
        pixels = torch.from_numpy(np.clip(np.rint(picture), 0, 255)).permute(2, 0, 1).unsqueeze(0).float()
        with torch.inference_mode():
            unclipped = loaded.network(pixels * gain) / gain
        # Half of the range beyond both ends: ringing. The published checkpoint reaches millions here.
        assert -128 <= float(unclipped.min()) <= float(unclipped.max()) <= 383, title


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
