"""The peers as graphs and engines: proved like SRN's, FP16 where it is asked for, statistics in FP32 all the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from srn_deploy.architectures.checkpoint import save_checkpoint
from srn_deploy.architectures.imdn import ContrastAttention
from srn_deploy.backends.onnx_runtime import OnnxRuntimeBackend, read_spec
from srn_deploy.backends.pytorch import PyTorchBackend
from srn_deploy.engine.build import build_engine, read_graph
from srn_deploy.engine.library import Library, open_library
from srn_deploy.engine.options import BuildOptions
from srn_deploy.engine.store import EngineStore
from srn_deploy.graph.export import ExportOptions, export_graph
from srn_deploy.graph.onnx_file import WIDE_OPERATORS, half_precision_copy, save_graph
from srn_deploy.spec import Form, Precision
from srn_deploy.tiling.shapes import ShapeRange
from srn_deploy.verification.export_proof import Exported, export_and_prove
from tests.networks import large_picture, seeded_network
from tests.optional import TENSORRT_RTX

NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "rlfn": ("rlfn", {"scale": 2, "channels": 8, "mid_channels": 12, "esa_channels": 4, "blocks": 1}),
    "dipnet": ("dipnet", {"scale": 4, "channels": 8, "mid_channels": 6, "esa_channels": 4, "blocks": 1,
                          "image_residual": "bicubic", "inner_residual": False}),
    "rfdn": ("rfdn", {"scale": 2, "channels": 8, "distilled_channels": 4, "esa_channels": 4, "blocks": 1,
                      "dilations": "1,2,5", "inner_residual": False}),
    "imdn": ("imdn", {"scale": 2, "channels": 8, "distilled_channels": 2, "squeezed_channels": 2, "blocks": 2}),
    "carn": ("carn", {"scale": 3, "channels": 8}),
    "carn_m": ("carn", {"scale": 4, "channels": 16, "mobile": True, "groups": 4}),
    "ecbsr": ("ecbsr", {"scale": 2, "channels": 8, "blocks": 2}),
    "efdn": ("efdn", {"scale": 2, "channels": 8, "distilled_channels": 4, "esa_channels": 4}),
    "fmen": ("fmen", {"scale": 2, "channels": 8, "blocks": 1, "attention_channels": 4}),
    "bsrn": ("bsrn", {"scale": 2, "channels": 8, "distilled_channels": 4, "esa_channels": 4, "blocks": 1}),
    "bsrn_s": ("bsrn", {"scale": 4, "channels": 8, "distilled_channels": 4, "esa_channels": 4, "blocks": 1,
                        "variant": "challenge"}),
    "spanv2": ("spanv2", {"scale": 2, "channels": 8, "blocks": 2}),
    "srvgg": ("srvgg", {"scale": 2, "channels": 8, "blocks": 2}),
    "rrdbnet": ("rrdbnet", {"scale": 4, "channels": 8, "growth": 4, "blocks": 1}),
    "rrdbnet_x2": ("rrdbnet", {"scale": 2, "channels": 8, "growth": 4, "blocks": 1, "unshuffle": 2}),
    "span": ("span", {"scale": 2, "channels": 8}),
}


def proved(folder: Path, network: str, options: ExportOptions) -> Exported:
    """A seeded checkpoint, exported."""
    name, hyper = NETWORKS[network]
    loaded = seeded_network(name, **hyper)
    save_checkpoint(folder / "net.safetensors", loaded.network, architecture=name, options=hyper,
                    value_range=loaded.spec.value_range)
    return export_and_prove(folder / "net.safetensors", folder / f"{network}.onnx", options)


@pytest.fixture(scope="module", params=NETWORKS)
def deploy_graph(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """The deploy graph of each peer in single precision."""
    return proved(tmp_path_factory.mktemp("peer"), request.param, ExportOptions())


def test_the_deploy_graph_is_proved_equal_and_in_windows_where_there_is_esa(deploy_graph: Exported) -> None:
    # Three whole pictures, and two windows where windows can be run as such.
    assert deploy_graph.agreement.images == (5 if read_spec(deploy_graph.path).takes_geometry else 3)


@pytest.mark.parametrize("network", NETWORKS)
def test_the_portable_graph_in_half_precision_is_proved_equal(tmp_path: Path, network: str) -> None:
    exported = proved(tmp_path, network, ExportOptions(form=Form.PORTABLE, precision=Precision.FP16))
    assert exported.agreement.images == 3


def test_a_graph_of_carn_keeps_the_one_upsampler_that_it_uses() -> None:
    graph = export_graph(seeded_network("carn", **NETWORKS["carn"][1]), ExportOptions())
    names = {tensor.name for tensor in graph.graph.initializer}
    assert any(".up3." in name for name in names)
    assert not any(".up2." in name or ".up4." in name for name in names)


@pytest.fixture(scope="module")
def imdn() -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """The deploy graph of a small IMDN and its FP16 twin."""
    graph = export_graph(seeded_network("imdn", **NETWORKS["imdn"][1]), ExportOptions())
    return graph, half_precision_copy(graph)


def test_statistics_over_the_whole_image_stay_in_single_precision(
        imdn: tuple[onnx.ModelProto, onnx.ModelProto]) -> None:
    _, twin = imdn
    inferred = onnx.shape_inference.infer_shapes(twin)
    types = {value.name: value.type.tensor_type.elem_type for value in inferred.graph.value_info}
    types |= {tensor.name: tensor.data_type for tensor in twin.graph.initializer}
    wide = [node for node in twin.graph.node if node.op_type in WIDE_OPERATORS]
    assert len(wide) == 2 * 5
    assert {types[name] for node in wide for name in (node.input[0], node.output[0])} == {onnx.TensorProto.FLOAT}
    makers = {node.output[0]: node.op_type for node in twin.graph.node}
    # Between the sums nothing is narrowed: of each chain only the first input comes through a cast.
    assert [makers[node.input[0]] for node in wide[:5]] == ["Cast", "Cast", "Sub", "Pow", "ReduceMean"]
    convolutions = [node for node in twin.graph.node if node.op_type == "Conv"]
    assert {types[node.input[1]] for node in convolutions} == {onnx.TensorProto.FLOAT16}


def test_a_bright_image_does_not_overflow_the_statistics(
        imdn: tuple[onnx.ModelProto, onnx.ModelProto], tmp_path: Path) -> None:
    picture = np.zeros((1, 200, 240, 3), np.uint8)
    picture[:, ::2] = 255
    results = []
    for number, graph in enumerate(imdn):
        save_graph(graph, tmp_path / f"{number}.onnx")
        results.append(OnnxRuntimeBackend(tmp_path / f"{number}.onnx").run(picture).astype(int))
    assert np.abs(results[0] - results[1]).max() <= 4  # as far as any FP16 graph may be


def test_pytorch_in_half_precision_takes_the_statistics_in_single_precision(one_thread: None) -> None:
    loaded = seeded_network("imdn", **NETWORKS["imdn"][1])
    picture = (large_picture(60, 71) * 255).round().astype(np.uint8)[None]
    half, single = PyTorchBackend(loaded, precision=Precision.FP16), PyTorchBackend(loaded)
    assert np.abs(half.run(picture).astype(int) - single.run(picture)).max() <= 4
    attention = ContrastAttention(2, 1).half()
    # Squares of 300 leave FP16, their mean's root does not.
    assert attention(torch.tensor([-300.0, 300.0]).half().repeat(1, 2, 8, 4)).isfinite().all()


@pytest.fixture(scope="module")
def library() -> Library:
    pytest.importorskip("tensorrt_rtx", reason=TENSORRT_RTX)
    return open_library("tensorrt-rtx")


@pytest.mark.parametrize("precision", [Precision.FP32, Precision.FP16])
def test_every_peer_can_be_built(library: Library, tmp_path: Path, deploy_graph: Exported,
                                 precision: Precision) -> None:
    shapes = ShapeRange(smallest=(16, 18), largest=(64, 72), optimum=(32, 36))
    built = build_engine(read_graph(deploy_graph.path), BuildOptions(precision=precision, shapes=(shapes,)), library,
                         EngineStore(tmp_path))
    assert set(built.manifest.convolutions) == {{Precision.FP16: "HALF", Precision.FP32: "FLOAT"}[precision]}
