"""Networks for luma alone take and return RGB: the conversion is exact, and they export, tile and build like others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from srn_deploy.architectures import ARCHITECTURES
from srn_deploy.architectures.checkpoint import load_checkpoint, save_checkpoint
from srn_deploy.architectures.luma import FULL, STUDIO, Bicubic, ColourSpace, LumaNetwork
from srn_deploy.backends.pytorch import PyTorchBackend
from srn_deploy.engine.store import EngineStore
from srn_deploy.engine_request import EngineRequest, request_engine
from srn_deploy.errors import OptionError
from srn_deploy.graph.export import ExportOptions
from srn_deploy.image import read_image
from srn_deploy.image.bicubic import resize
from srn_deploy.inference.upscale import upscale_rgb
from srn_deploy.quality.metrics import cropped, luma, psnr, ssim
from srn_deploy.spec import Colour, Corrections, Form, Precision
from srn_deploy.tiling.windows import TileOptions
from srn_deploy.verification.export_proof import export_and_prove
from srn_deploy.verification.verify import verify
from tests.networks import large_picture, seeded_network
from tests.optional import TENSORRT_RTX

SMALL: dict[str, dict[str, Any]] = {
    "srcnn": {"scale": 2, "features": 8, "mapped": 4},
    "fsrcnn": {"scale": 3, "features": 8, "shrunk": 4, "mappings": 2},
    "vdsr": {"scale": 2, "channels": 8, "layers": 3},
}

FILES = "checkpoints/yjn870__FSRCNN-pytorch/fsrcnn_x{}.pth"


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_enlargement_equals_that_of_matlab_up_to_the_border(scale: int) -> None:
    picture = large_picture(19, 23).astype(np.float32)
    planes = torch.from_numpy(picture).permute(2, 0, 1)[None]
    enlarged = Bicubic(scale, 3)(planes)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(enlarged, resize(picture, 19 * scale, 23 * scale), atol=2e-6)


def test_luma_equals_that_of_the_metrics_and_the_conversion_is_reversible() -> None:
    rgb = torch.rand(1, 3, 5, 7)
    for rows, offsets in ((STUDIO, (16.0, 128.0, 128.0)), (FULL, (0.0, 128.0, 128.0))):
        space = ColourSpace(rows, offsets)
        torch.testing.assert_close(space.merge(space.split(rgb)), rgb, atol=1e-5, rtol=0)
    y = ColourSpace(STUDIO, (16.0, 128.0, 128.0)).split(rgb)[0, 0].numpy() * 255
    np.testing.assert_allclose(y, luma(rgb[0].permute(1, 2, 0).numpy() * 255), atol=1e-3)


@pytest.mark.parametrize(("name", "options", "parameters"), [
    ("srcnn", {"scale": 4}, 57_281), ("fsrcnn", {"scale": 4}, 12_809), ("vdsr", {"scale": 4}, 665_921)])
def test_parameters_are_those_of_table_1(name: str, options: dict[str, Any], parameters: int) -> None:
    network = ARCHITECTURES[name].build(options)
    assert sum(parameter.numel() for parameter in network.parameters()) == parameters


@pytest.mark.parametrize("name", SMALL)
def test_each_is_exported_in_both_forms_and_precisions(name: str, tmp_path: Path, one_thread: None) -> None:
    loaded = seeded_network(name, **SMALL[name])
    checkpoint = tmp_path / f"{name}.safetensors"
    save_checkpoint(checkpoint, loaded.network, architecture=name, options=SMALL[name], value_range=1.0)
    for form in (Form.PORTABLE, Form.DEPLOY):
        exported = export_and_prove(checkpoint, tmp_path / "net.onnx", ExportOptions(form=form))
        assert exported.agreement.worst_levels <= 1
    export_and_prove(checkpoint, tmp_path / "half.onnx", ExportOptions(precision=Precision.FP16))


@pytest.mark.parametrize("name", SMALL)
def test_tiles_with_the_halo_equal_the_whole_image_within_float_rounding(name: str, one_thread: None) -> None:
    loaded = seeded_network(name, **SMALL[name])
    backend, picture = PyTorchBackend(loaded), large_picture(70, 83).astype(np.float32)
    whole = upscale_rgb(picture, backend, TileOptions(tile=None))
    tiled = upscale_rgb(picture, backend, TileOptions(tile=32))
    assert np.abs(tiled - whole).max() < 1e-5
    short = upscale_rgb(picture, backend, TileOptions(tile=32, halo=max(loaded.spec.halo_px - 2, 0)))
    assert np.abs(short - whole).max() > 1e-5, "the halo could be smaller"


@pytest.mark.parametrize("name", SMALL)
def test_a_grey_image_stays_grey_and_chroma_is_bicubic(name: str, one_thread: None) -> None:
    loaded = seeded_network(name, **SMALL[name])
    assert loaded.spec.colour is Colour.Y
    network = loaded.network
    assert isinstance(network, LumaNetwork)
    rgb = torch.from_numpy(large_picture(30, 40).astype(np.float32)).permute(2, 0, 1)[None]
    before, after = network.colours.split(rgb), network.colours.split(network(rgb))
    torch.testing.assert_close(after[:, 1:], Bicubic(loaded.spec.scale, 2)(before[:, 1:]), atol=1e-5, rtol=0)
    grey = network(rgb[:, :1].repeat(1, 3, 1, 1))
    assert float((grey.amax(1) - grey.amin(1)).max()) < 1e-5


def test_for_a_file_that_does_not_show_its_scale_it_must_be_given(tmp_path: Path) -> None:
    loaded = seeded_network("fsrcnn", **SMALL["fsrcnn"])
    path = tmp_path / "net.pth"
    torch.save(loaded.network.state_dict(), path)
    with pytest.raises(OptionError, match="serves more than one scale") as caught:
        load_checkpoint(path)
    assert caught.value.remedy == "Give it: --set scale=4."
    assert load_checkpoint(path, Corrections(options={"scale": 3})).spec.options == loaded.spec.options


@pytest.mark.parametrize("scale", [2, 4])
def test_fsrcnn_has_its_published_figures_on_luma(data: Path, scale: int, one_thread: None) -> None:
    """The figures are for the network's own luma, neither rounded nor converted to RGB."""
    loaded = load_checkpoint(data / FILES.format(scale), Corrections(options={"scale": scale}))
    reference = json.loads((data / "reference/reference_numbers.json").read_text())["models"]
    backend = PyTorchBackend(loaded)
    for name in ("Set5", "Set14"):
        figures = []
        for path in sorted((data / f"images/{name}/x{scale}/HR").iterdir()):
            hr, lr = (luma(read_image(path.parent.parent / side / path.name).as_rgb8()) for side in ("HR", "LR"))
            sr = backend.upscale_luma(lr.astype(np.float32))
            pair = (cropped(sr.astype(np.float64), scale), cropped(hr[:sr.shape[0], :sr.shape[1]], scale))
            figures.append((psnr(*pair), ssim(*pair)))
        mean = reference[f"fsrcnn_yjn870_x{scale}"][name]["mean"]
        assert np.mean(figures, axis=0) == pytest.approx([mean["psnr_y"], mean["ssim_y"]], abs=2e-4)


def test_the_published_srcnn_files_work_on_all_channels(data: Path) -> None:
    for name, side in (("955", 5), ("915", 1)):
        loaded = load_checkpoint(data / f"checkpoints/Nhat-Thanh__SRCNN-Pytorch/SRCNN-{name}.pt",
                                 Corrections(options={"scale": 2}))
        assert (loaded.spec.options["all_channels"], loaded.spec.options["mapping_side"]) == (True, side)
        lr = read_image(data / "images/Set5/x2/LR/img_003.png").as_rgb8()
        hr = read_image(data / "images/Set5/x2/HR/img_003.png").as_rgb8()
        sr = upscale_rgb(lr, PyTorchBackend(loaded))
        bicubic = np.clip(np.rint(resize(lr, *sr.shape[:2])), 0, 255)
        assert psnr(luma(sr), luma(hr)) > psnr(luma(bicubic), luma(hr)) + 0.3


@pytest.mark.parametrize("name", SMALL)
def test_each_becomes_an_engine_in_half_precision(name: str, tmp_path: Path, one_thread: None) -> None:
    pytest.importorskip("tensorrt_rtx", reason=TENSORRT_RTX)
    loaded, checkpoint = seeded_network(name, **SMALL[name]), tmp_path / f"{name}.safetensors"
    save_checkpoint(checkpoint, loaded.network, architecture=name, options=SMALL[name], value_range=1.0)
    request = EngineRequest(precision=Precision.FP16, runtime="tensorrt-rtx", shapes=("24x24..64x64@48x48",))
    engine = request_engine(str(checkpoint), request, EngineStore(tmp_path / "engines"))
    assert set(engine.manifest.convolutions) == {"HALF"}


def test_an_option_given_to_build_engine_is_known_to_its_certificate(
        tmp_path: Path, one_thread: None) -> None:
    pytest.importorskip("tensorrt_rtx", reason=TENSORRT_RTX)
    path = tmp_path / "net.pth"
    torch.save(seeded_network("fsrcnn", **SMALL["fsrcnn"]).network.state_dict(), path)
    given = Corrections(options={"scale": 3}, trust=True)  # it is not trained
    request = EngineRequest(runtime="tensorrt-rtx", shapes=("24x24",), corrections=given)
    engine = request_engine(str(path), request, EngineStore(tmp_path / "engines"))
    assert engine.spec.scale == 3
    graph = export_and_prove(path, tmp_path / "net.onnx", corrections=given).path
    assert verify(str(graph), against=str(path)).failures == []
