"""ONNX Runtime's CUDA provider and PyTorch in FP16 with CUDA graphs, on a real GPU."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from srn_deploy.backends import open_half, open_on
from srn_deploy.errors import DeviceUnavailable
from srn_deploy.image import read_image
from srn_deploy.inference.upscale import upscale_rgb
from srn_deploy.registry.resolve import ModelKind, resolve
from srn_deploy.system.cuda_driver import free_gpu_bytes, gpu_name
from srn_deploy.tiling.windows import TileOptions
from tests.optional import TORCH


@pytest.mark.parametrize("way", ["onnxruntime", "pytorch"])
def test_it_gives_the_image_of_the_cpu(repository: Path, way: str) -> None:
    pytest.importorskip("torch", reason=TORCH)
    picture = read_image(repository / "benchmarks/pictures/demo.png").as_rgb8()[:160, :200]
    try:
        backend, _ = open_on(resolve(), "cuda") if way == "onnxruntime" else \
            open_half(resolve(wanted=ModelKind.CHECKPOINT))
    except DeviceUnavailable as error:
        pytest.skip(str(error))
    with closing(backend), closing(open_on(resolve(), "cpu")[0]) as reference:
        expected = upscale_rgb(picture, reference)
        for options in (None, None, None, TileOptions(tile=64)):  # eager, recorded, replayed, tiled
            assert np.abs(upscale_rgb(picture, backend, options).astype(int) - expected).max() <= 4


def test_the_driver_reports_name_capability_and_memory() -> None:
    name, _, capability = gpu_name().rpartition(" ")
    assert name
    assert float(capability) >= 5
    assert free_gpu_bytes() > 2**20
