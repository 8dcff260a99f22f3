"""The published checkpoint through the whole road, against what its authors' own code gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from srn_deploy.architectures.checkpoint import load_checkpoint
from srn_deploy.backends.onnx_runtime import OnnxRuntimeBackend
from srn_deploy.backends.pytorch import PyTorchBackend
from srn_deploy.graph.export import ExportOptions
from srn_deploy.image import find_images, read_image
from srn_deploy.inference.upscale import upscale_rgb
from srn_deploy.quality.metrics import psnr_y
from srn_deploy.spec import PixelType
from srn_deploy.tiling.windows import TileOptions
from srn_deploy.verification.export_proof import export_and_prove

CHECKPOINT = "checkpoints/wnxbwyc__SRN/team25_srn.pt"


@pytest.fixture(scope="module")
def graph(data: Path, tmp_path_factory: pytest.TempPathFactory) -> OnnxRuntimeBackend:
    """Its deploy graph, uint8."""
    return OnnxRuntimeBackend(export_and_prove(data / CHECKPOINT, tmp_path_factory.mktemp("official") / "a.onnx").path)


def test_set5_equals_the_authors_images_within_one_level_at_32_0506_db(data: Path,
                                                                         graph: OnnxRuntimeBackend) -> None:
    scores = []
    for path in find_images(data / "images/Set5/x4/HR"):
        hr, lr, reference = (read_image(data / folder / path.name).as_rgb8() for folder in (
            "images/Set5/x4/HR", "images/Set5/x4/LR", "reference/srn_team25_outputs/Set5/x4"))
        sr = graph.run(lr[None])[0]
        assert np.abs(sr.astype(int) - reference).max() <= 1  # a value next to a half may round either way
        scores.append(psnr_y(sr, hr, border_px=4))
    assert np.mean(scores) == pytest.approx(32.0506, abs=5e-5)  # the reference has four digits


def test_a_div2k_image_equals_pytorch_within_one_level(data: Path, graph: OnnxRuntimeBackend) -> None:
    lr = read_image(data / "images/0853x4.png").as_rgb8()
    expected = PyTorchBackend(load_checkpoint(data / CHECKPOINT)).run(lr[None])[0]
    assert np.abs(graph.run(lr[None])[0].astype(int) - expected).max() <= 1


@pytest.mark.parametrize("tile", [48, 96, 200])
def test_tiles_of_a_div2k_image_are_within_one_level_of_the_whole(data: Path, tmp_path: Path, tile: int) -> None:
    path = export_and_prove(data / CHECKPOINT, tmp_path / "f.onnx", ExportOptions(pixel_type=PixelType.FLOAT32)).path
    backend = OnnxRuntimeBackend(path)
    lr = read_image(data / "images/0853x4.png").as_rgb8()[:205, :241].astype(np.float32) / np.float32(255)
    whole = upscale_rgb(lr, backend, TileOptions(tile=None))
    assert np.abs(upscale_rgb(lr, backend, TileOptions(tile=tile)) - whole).max() < 1 / 255
