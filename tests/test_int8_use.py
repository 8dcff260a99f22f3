"""INT8 graphs in use: those that are shipped, by name and by path, on every device, as engines."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import srn_deploy
from benchmarks.int8_loss import MOST_INT8_LOSS_DB
from srn_deploy.api import Upscaler
from srn_deploy.architectures.checkpoint import save_checkpoint
from srn_deploy.backends.onnx_runtime import OnnxRuntimeBackend
from srn_deploy.benchmark.ways import Task, candidates_of
from srn_deploy.engine.build import build_engine, read_graph
from srn_deploy.engine.library import open_library
from srn_deploy.engine.options import BuildOptions, default_shapes
from srn_deploy.engine.store import EngineStore
from srn_deploy.errors import OptionError
from srn_deploy.image.bicubic import resize_uint8
from srn_deploy.image.pixels import Rgb8
from srn_deploy.inference.upscale import upscale_rgb
from srn_deploy.open_model import open_model
from srn_deploy.quality.metrics import psnr_y
from srn_deploy.quality.pairs import find_pairs, read_pairs
from srn_deploy.registry.resolve import ModelKind, resolve, resolve_file
from srn_deploy.registry.shipped import ShippedModel, shipped_models
from srn_deploy.spec import Precision
from srn_deploy.tiling.windows import WHOLE_IMAGE, TileOptions
from srn_deploy.tuning.choice import WayToRun
from srn_deploy.tuning.opening import open_way
from srn_deploy.verification.sample_images import originals
from tests.networks import large_picture, seeded_network
from tests.optional import needs_openvino, needs_vnni

needs_tensorrt_rtx = pytest.mark.skipif(importlib.util.find_spec("tensorrt_rtx") is None,
                                        reason="needs TensorRT-RTX: pip install tensorrt-rtx")

SHIPPED = [model for model in shipped_models().values() if model.int8_graph is not None]
"""Those with an INT8 graph."""

PICTURE = (large_picture(48, 60) * 255).astype(np.uint8)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SRN_CACHE", str(tmp_path / "cache"))


def shipped_int8(model: ShippedModel) -> Path:
    assert model.int8_graph is not None
    return model.int8_graph.checked_path()


by_any_product = pytest.mark.parametrize("int8_products", [False, pytest.param(True, marks=needs_vnni)])
"""With products in FP32 the graph alone is judged, the same on every CPU."""


def mean_loss(model: ShippedModel, pairs: Iterable[tuple[Rgb8, Rgb8]], *, int8_products: bool) -> float:
    """PSNR in dB that the shipped INT8 graph loses against the FP32 graph; pairs: original and small image."""
    lost = []
    with closing(OnnxRuntimeBackend(shipped_int8(model), int8_products=int8_products)) as ours, \
            closing(OnnxRuntimeBackend(model.graph.checked_path())) as theirs:
        assert (ours.spec.source_sha256, ours.spec.precision) == (theirs.spec.source_sha256, Precision.INT8)
        for hr, lr in pairs:
            before, after = (psnr_y(upscale_rgb(lr, one, WHOLE_IMAGE), hr, border_px=model.scale)
                             for one in (theirs, ours))
            lost.append(before - after)
    return float(np.mean(lost))


def drawn_pairs(scale: int) -> Iterator[tuple[Rgb8, Rgb8]]:
    for image in originals():
        height, width = (side // scale for side in image.shape[:2])
        hr = image[:height * scale, :width * scale]
        yield hr, resize_uint8(hr, height, width)


@by_any_product
@pytest.mark.parametrize("model", SHIPPED, ids=lambda model: model.name)
def test_a_shipped_int8_graph_is_that_of_its_model_and_loses_little(model: ShippedModel, int8_products: bool) -> None:
    lost = mean_loss(model, drawn_pairs(model.scale), int8_products=int8_products)
    assert lost <= MOST_INT8_LOSS_DB == 0.1


@by_any_product
@pytest.mark.parametrize("model", SHIPPED, ids=lambda model: model.name)
def test_a_shipped_int8_graph_loses_little_on_set5(model: ShippedModel, int8_products: bool, data: Path) -> None:
    folder = data / "images" / "Set5" / f"x{model.scale}"
    pairs = read_pairs(find_pairs(folder / "HR", folder / "LR", model.scale), model.scale)
    # For x2 the network's own error is a quarter as large, and that of 8 bits beside it is seen more.
    allowed_db = 0.1 if model.scale == 4 else 0.15
    assert mean_loss(model, ((hr, lr) for _, hr, lr in pairs), int8_products=int8_products) <= allowed_db


@pytest.mark.parametrize("device", ["cpu", pytest.param("openvino", marks=needs_openvino)])
def test_tiles_are_as_close_to_the_whole_image_as_int8_is_to_fp32(device: str) -> None:
    picture = (large_picture(163, 190) * 255).astype(np.uint8)
    with closing(open_model("srn-s-b4-x4", device, precision="int8")) as backend, \
            closing(open_model("srn-s-b4-x4", "cpu")) as fp32:
        whole = upscale_rgb(picture, backend, WHOLE_IMAGE).astype(int)
        tiled = upscale_rgb(picture, backend, TileOptions(tile=96)).astype(int)
        precise = upscale_rgb(picture, fp32, WHOLE_IMAGE).astype(int)
    assert np.sqrt(np.mean((tiled - whole) ** 2)) <= np.sqrt(np.mean((whole - precise) ** 2))


@needs_openvino
def test_a_shipped_model_runs_in_int8_where_it_is_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "srn_deploy")
    with srn_deploy.load(precision="int8") as upscaler:
        assert upscaler.spec.precision is Precision.INT8
        assert upscaler.upscale(PICTURE).shape == (192, 240, 3)
        assert upscaler.upscale(PICTURE.astype(np.uint16) * 257).dtype == np.uint16
    said = [message for message in caplog.messages if " on the CPU" in message]
    assert "in INT8 on the CPU (its graph is in INT8)." in said[0]
    assert said[1].startswith("In FP32 with float pixels: ")


def test_without_openvino_int8_runs_on_onnx_runtime_and_is_said_to_be_slower(
        monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    caplog.set_level("INFO", "srn_deploy")
    open_model(precision="int8").close()
    (said,) = caplog.messages
    assert said == "ONNX Runtime in INT8 on the CPU (slower in INT8 than in FP32: OpenVINO is not installed)."


@pytest.mark.parametrize(("precision", "problem"), [("fp32", "computes in INT8, not in FP32"),
                                                    ("bf16", "BF16 cannot be made of it")])
@needs_openvino
def test_an_int8_graph_runs_in_nothing_else(precision: str, problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srn_deploy.backends.open_vino.why_no_bf16", lambda: "")
    with pytest.raises(OptionError, match=problem):
        open_model(shipped_int8(SHIPPED[0]), "openvino", precision=precision)


def test_a_model_whose_int8_graph_would_lose_too_much_is_shipped_without_and_says_what_makes_one() -> None:
    assert {*shipped_models()} - {model.name for model in SHIPPED} == {"srn-s-b6-x4"}
    with pytest.raises(OptionError, match=r"srn-s-b6-x4\.onnx has no INT8 graph") as caught:
        open_model("srn-s-b6-x4", "openvino", precision="int8")
    assert "srn-deploy export " in caught.value.remedy
    assert caught.value.remedy.endswith("--int8")


def test_a_checkpoint_has_no_int8_graph_until_one_is_made(tmp_path: Path) -> None:
    checkpoint = tmp_path / "net.safetensors"
    options: dict[str, Any] = {"scale": 2, "channels": 8, "esa_channels": 4, "blocks": 1}
    save_checkpoint(checkpoint, seeded_network(**options).network, architecture="srn", options=options,
                    value_range=1.0)
    with pytest.raises(OptionError, match=r"net\.safetensors has no INT8 graph") as caught:
        open_model(checkpoint, precision="int8")
    assert caught.value.remedy == f"Make one, and give it as the model: srn-deploy export {checkpoint} --int8"


@needs_tensorrt_rtx
def test_an_engine_of_an_int8_graph_has_int8_convolutions(tmp_path: Path) -> None:
    graph = read_graph(shipped_int8(shipped_models()["srn-s-b4-x4"]))
    options = BuildOptions(precision=Precision.INT8, shapes=(default_shapes(graph.spec),), optimization_level=0)
    engine = build_engine(graph, options, open_library("tensorrt-rtx"), EngineStore(tmp_path))
    assert engine.manifest.convolutions == {"FLOAT": 1, "INT8": 25}
    assert engine.spec.precision is Precision.INT8


@needs_openvino
@needs_vnni
def test_benchmarks_and_tuning_take_the_shipped_int8_graph(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "srn_deploy")
    task = Task(device="openvino", size=(24, 32), batches=(1,), every_way=False, precision=Precision.INT8)
    with ExitStack() as opened:
        found = list(candidates_of("srn-s-b4-x4", task, opened))
        assert {one.precision for one in found} == {Precision.INT8}
        assert found[0].name == "srn-s-b4-x4, OpenVINO INT8, resident, batch 1"
    way = WayToRun(device="openvino", precision=Precision.INT8)
    backend, what = open_way(resolve("srn-s-b4-x4"), way)
    backend.close()
    assert backend.spec.precision is Precision.INT8
    assert what.endswith("in INT8 on the CPU")
    assert any("is certified in INT8 before its first use" in message for message in caplog.messages)
    with closing(open_way(resolve_file(shipped_int8(SHIPPED[0])), way)[0]) as named:
        assert named.spec.precision is Precision.INT8


@needs_openvino
def test_blocks_that_break_in_int8_are_repaired_in_fp32() -> None:
    with srn_deploy.load("srn-s-b4-x4", precision="int8", guard="repair") as upscaler:
        assert isinstance(upscaler, Upscaler)
        checkerboard = (np.indices((48, 48)).sum(0) % 2 * 255).astype(np.uint8)
        assert upscaler.upscale(np.dstack([checkerboard] * 3)).shape == (192, 192, 3)


def test_the_checkpoint_of_a_shipped_int8_graph_is_known() -> None:
    model = SHIPPED[0]
    found = resolve_file(shipped_int8(model))
    assert found.shipped == model
    assert found.checkpoint is not None
    assert found.checkpoint.kind is ModelKind.CHECKPOINT
