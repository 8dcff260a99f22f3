"""The Python face is what its documentation says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import srn_deploy
from srn_deploy.errors import OptionError, UnknownModel
from srn_deploy.image import Image, read_image, write_image
from tests.fakes import NearestBackend
from tests.networks import seeded_network
from tests.optional import TORCH


def test_the_public_names_are_pinned() -> None:
    assert set(srn_deploy.__all__) == {"Corrections", "ModelSpec", "OutputSize", "ResultOptions", "SrnDeployError",
                                       "TileOptions", "Upscaler", "VideoOptions", "__version__", "cpu_threads", "load",
                                       "open_backend"}
    assert all(getattr(srn_deploy, name) for name in srn_deploy.__all__)
    assert dir(srn_deploy) == sorted(srn_deploy.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="unheard_of"):
        _ = srn_deploy.unheard_of


def test_importing_loads_no_library() -> None:
    code = "import sys, srn_deploy; print(sorted({'numpy', 'cv2', 'onnxruntime', 'torch', 'click'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_the_default_model_upscales_an_array() -> None:
    with srn_deploy.load() as upscaler:
        assert upscaler.spec.scale == 4
        assert upscaler.upscale(np.full((20, 30, 3), 128, np.uint8)).shape == (80, 120, 3)


def test_a_flat_image_stays_flat() -> None:
    with srn_deploy.load(device="cpu") as upscaler:
        inner = upscaler.upscale(np.full((40, 40, 3), 128, np.uint8))[32:-32, 32:-32].astype(int)
    assert np.abs(inner - 128).max() <= 2  # what a trained network owes a grey card


def test_upscaling_needs_no_pytorch() -> None:
    code = ("import sys, numpy as np, srn_deploy\n"
            "srn_deploy.load().upscale(np.zeros((20, 20, 3), np.uint8))\n"
            "print('torch' in sys.modules)")
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_an_upscaler_takes_any_backend_and_closes_it() -> None:
    backend = NearestBackend()
    with srn_deploy.Upscaler(backend) as upscaler:
        assert upscaler.upscale(np.zeros((4, 5), np.uint8)).shape == (8, 10)
    assert backend.closed


def test_a_file_goes_through_with_its_alpha(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (9, 8, 3), dtype=np.uint8)
    alpha = pixels[..., :1] // 2 + 128  # all of it is seen, so every colour stays
    write_image(tmp_path / "in.png", Image(pixels=pixels, alpha=alpha))
    (outcome,) = srn_deploy.Upscaler(NearestBackend()).upscale_files(tmp_path / "in.png", tmp_path / "out.png")
    assert outcome.error is None
    result = read_image(tmp_path / "out.png")
    np.testing.assert_array_equal(result.pixels, pixels.repeat(2, 0).repeat(2, 1))
    assert result.alpha is not None
    np.testing.assert_array_equal(result.alpha, alpha.repeat(2, 0).repeat(2, 1))


def test_a_file_that_does_not_say_its_scale_opens_with_corrections(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason=TORCH)
    torch.save(seeded_network("vdsr", scale=2, channels=4, layers=2).network.state_dict(), tmp_path / "vdsr.pth")
    with pytest.raises(OptionError, match="serves more than one scale"):
        srn_deploy.load(tmp_path / "vdsr.pth", device="cpu")
    with srn_deploy.load(tmp_path / "vdsr.pth", device="cpu",
                         corrections=srn_deploy.Corrections(options={"scale": 3}, trust=True)) as upscaler:
        assert upscaler.upscale(np.zeros((12, 14, 3), np.uint8)).shape == (36, 42, 3)
        assert upscaler.upscale(np.zeros((12, 14, 3), np.uint16)).dtype == np.uint16  # the FP32 fallback knows it too


def test_an_unknown_model_lists_the_shipped_ones() -> None:
    with pytest.raises(UnknownModel, match="Shipped are: srn-"):
        srn_deploy.load("unheard-of")


def test_an_impossible_quality_is_refused_before_anything_runs(tmp_path: Path) -> None:
    backend = NearestBackend()
    with srn_deploy.Upscaler(backend) as upscaler, pytest.raises(OptionError, match="quality of 500"):
        upscaler.upscale_jobs([], quality=500)
    assert backend.shapes == []


def test_a_graph_that_cannot_be_read_is_an_error_with_its_remedy(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "other.onnx").write_bytes(b"")

    def refused(path: Path) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("srn_deploy.registry.resolve.sha256_of_file", refused)
    with pytest.raises(UnknownModel, match="cannot be read: Permission denied"):
        srn_deploy.load(tmp_path / "other.onnx")
