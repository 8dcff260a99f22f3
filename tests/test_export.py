"""Graphs compute what their networks compute, say what they are, and appear only when that is proved."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from srn_deploy.architectures.checkpoint import LoadedNetwork, load_checkpoint, save_checkpoint
from srn_deploy.backends.onnx_runtime import OnnxRuntimeBackend, read_spec
from srn_deploy.backends.pytorch import PyTorchBackend
from srn_deploy.errors import ExportMismatch, GraphError, GraphWithoutSpec, OptionError, UnsuitableBatch
from srn_deploy.graph.export import ExportOptions, export_graph
from srn_deploy.graph.onnx_file import half_precision_copy, spec_of
from srn_deploy.grid import ESA_GRID
from srn_deploy.spec import Corrections, Form, PixelType, Precision
from srn_deploy.tiling.tiles import batches, cut, geometry_of, plan_tiles
from srn_deploy.verification import export_proof
from srn_deploy.verification.agreement import compare_backends, whole_images
from srn_deploy.verification.export_proof import default_graph_path, export_and_prove
from srn_deploy.verification.sample_images import sample_images
from tests.networks import large_picture, seeded_network

NEW_ESA: dict[str, Any] = {"scale": 2, "channels": 8, "esa_channels": 4, "blocks": 1}
NETWORKS = [("srn", NEW_ESA), ("srn", {**NEW_ESA, "scale": 3, "attention": "old", "residual": True}),
            ("srn", {**NEW_ESA, "scale": 4, "attention": "none", "last_conv": True}),
            ("edsr", {"scale": 4, "channels": 8, "blocks": 1})]
GRAPHS = [ExportOptions(), ExportOptions(pixel_type=PixelType.FLOAT32), ExportOptions(form=Form.PORTABLE),
          ExportOptions(precision=Precision.FP16), ExportOptions(form=Form.PORTABLE, precision=Precision.FP16)]


def saved(folder: Path, architecture: str = "srn", **options: Any) -> Path:
    """A seeded checkpoint file."""
    loaded = seeded_network(architecture, **options)
    path = folder / "net.safetensors"
    save_checkpoint(path, loaded.network, architecture=architecture, options=options,
                    value_range=loaded.spec.value_range, licence="a note")
    return path


@pytest.mark.parametrize("options", GRAPHS, ids=lambda o: f"{o.form}-{o.pixel_type}-{o.precision}")
@pytest.mark.parametrize(("architecture", "network"), NETWORKS, ids=["new", "old", "none", "edsr"])
def test_every_graph_of_every_network_is_proved_equal(tmp_path: Path, architecture: str, network: dict[str, Any],
                                                       options: ExportOptions) -> None:
    exported = export_and_prove(saved(tmp_path, architecture, **network), tmp_path / "net.onnx", options)
    # Three whole pictures, and two windows where windows can be run as such.
    assert exported.agreement.images == (5 if read_spec(exported.path).takes_geometry else 3)
    spec = read_spec(exported.path)
    assert (spec.form, spec.precision, spec.scale) == (options.form, options.precision, network["scale"])
    assert spec.licence == "a note"
    assert len(spec.source_sha256) == 64


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> tuple[LoadedNetwork, Path]:
    """A checkpoint with ESA and its float deploy graph."""
    folder = tmp_path_factory.mktemp("graph")
    checkpoint = saved(folder, **NEW_ESA)
    path = export_and_prove(checkpoint, folder / "net.onnx", ExportOptions(pixel_type=PixelType.FLOAT32)).path
    return load_checkpoint(checkpoint), path


@pytest.mark.parametrize("shape", [(1, 15, 15), (3, 16, 41), (2, 64, 31)])
def test_batch_height_and_width_are_dynamic(graph: tuple[LoadedNetwork, Path], shape: tuple[int, int, int]) -> None:
    loaded, path = graph
    batch = np.stack([large_picture(*shape[1:])] * shape[0])
    expected = PyTorchBackend(loaded).run(batch)
    # Convolutions sum in another order: some 1e-6 on values near 1.
    np.testing.assert_allclose(OnnxRuntimeBackend(path).run(batch), expected, atol=1e-5)


def test_a_window_with_its_geometry_is_the_same_in_the_graph_and_in_pytorch(graph: tuple[LoadedNetwork, Path]) -> None:
    loaded, path = graph
    picture = large_picture(150, 163)
    tiles = next(batches(plan_tiles(150, 163, tile_px=32, halo_px=30, alignment_px=6, min_side_px=15), 3))
    batch, geometry = cut(picture, tiles), geometry_of(tiles, 150, 163, grids=[ESA_GRID])
    expected = PyTorchBackend(loaded).run(batch, geometry)
    np.testing.assert_allclose(OnnxRuntimeBackend(path).run(batch, geometry), expected, atol=1e-5)


def test_the_deploy_graph_has_no_resize_and_casts_first_and_last(tmp_path: Path) -> None:
    nodes = [node.op_type for node in export_graph(seeded_network(**NEW_ESA), ExportOptions()).graph.node]
    assert "Resize" not in nodes
    assert nodes[0] == nodes[-1] == "Cast"
    assert nodes.count("Cast") == 2


def test_a_network_without_esa_has_one_input() -> None:
    loaded = seeded_network(**{**NEW_ESA, "attention": "none"})
    assert [entry.name for entry in export_graph(loaded, ExportOptions()).graph.input] == ["pixels"]


def test_an_exported_graph_holds_no_path_of_the_machine(tmp_path: Path) -> None:
    data = export_graph(seeded_network(**NEW_ESA), ExportOptions()).SerializeToString()
    assert str(Path(export_proof.__file__).parent).encode() not in data
    assert b".py" not in data


def test_the_half_precision_copy_computes_every_convolution_in_fp16() -> None:
    twin = half_precision_copy(export_graph(seeded_network(**NEW_ESA), ExportOptions()))
    types = {tensor.name: tensor.data_type for tensor in twin.graph.initializer}
    weights = [node.input[1] for node in twin.graph.node if node.op_type == "Conv"]
    assert {types[name] for name in weights} == {onnx.TensorProto.FLOAT16}
    assert [entry.type.tensor_type.elem_type for entry in twin.graph.input] == [
        onnx.TensorProto.UINT8, onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT]
    with pytest.raises(GraphError, match="already"):
        half_precision_copy(twin)


def test_a_network_that_cannot_be_exported_is_refused_with_what_went_wrong_first(
        monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> None:
        first = ValueError("\x1b[96mNo function\x1b[0m for aten.odd.\nA trace follows.")
        raise torch.onnx.OnnxExporterError("Failed. \x1b[96mThis is step 3/3\x1b[0m") from first

    monkeypatch.setattr(torch.onnx, "export", fail)
    with pytest.raises(GraphError) as caught:
        export_graph(seeded_network(scale=2, channels=8, blocks=1), ExportOptions())
    assert caught.value.message == "PyTorch cannot export this network: ValueError: No function for aten.odd."


def test_a_graph_that_differs_is_an_error_and_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = saved(tmp_path, **NEW_ESA)
    right = export_graph

    def wrong(loaded: LoadedNetwork, options: ExportOptions) -> onnx.ModelProto:
        other = seeded_network(**NEW_ESA, seed=7)
        return right(LoadedNetwork(network=other.network, spec=loaded.spec), options)

    monkeypatch.setattr(export_proof, "export_graph", wrong)
    with pytest.raises(ExportMismatch, match="No file was written"):
        export_and_prove(checkpoint, tmp_path / "net.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["net.safetensors"]


def test_a_network_that_leaves_fp16s_range_is_refused(tmp_path: Path) -> None:
    loaded = seeded_network(**{**NEW_ESA, "attention": "none"})
    for name, module in loaded.network.named_modules():
        if name.endswith("conv1"):
            assert isinstance(module, nn.Conv2d)
            module.weight.data *= 1e7
        if name.endswith("conv2"):
            assert isinstance(module, nn.Conv2d)
            module.weight.data *= 1e-7
    path = tmp_path / "large.safetensors"
    save_checkpoint(path, loaded.network, architecture="srn", options=loaded.spec.options, value_range=1.0)
    assert export_and_prove(path, tmp_path / "fp32.onnx").path.is_file()
    with pytest.raises(ExportMismatch, match="FP16"):
        export_and_prove(path, tmp_path / "fp16.onnx", ExportOptions(precision=Precision.FP16))


def test_a_wrong_value_range_changes_the_image_and_an_override_mends_it(tmp_path: Path) -> None:
    loaded = seeded_network(**NEW_ESA)
    path = tmp_path / "bare.pt"
    torch.save(loaded.network.state_dict(), path)
    right = load_checkpoint(path, Corrections(value_range=1.0))
    assert load_checkpoint(path).spec.value_range == 255.0
    cases = whole_images(sample_images())
    assert compare_backends(PyTorchBackend(right), PyTorchBackend(loaded), cases).worst_levels == 0


def test_an_onnx_file_without_a_spec_is_named_so(tmp_path: Path) -> None:
    graph = export_graph(seeded_network(**NEW_ESA), ExportOptions())
    del graph.metadata_props[:]
    path = tmp_path / "foreign.onnx"
    path.write_bytes(graph.SerializeToString())
    with pytest.raises(GraphWithoutSpec, match="srn-deploy export"):
        OnnxRuntimeBackend(path)
    with pytest.raises(GraphWithoutSpec):
        spec_of(graph, "it")


@pytest.mark.parametrize("content", [b"", b"no onnx at all", b"\x08\x0a" * 40])
def test_a_file_that_is_no_graph_is_an_error_with_a_remedy(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    with pytest.raises(GraphError):
        OnnxRuntimeBackend(path)


def test_a_uint8_graph_refuses_float_pixels_and_names_the_remedy(tmp_path: Path) -> None:
    path = export_and_prove(saved(tmp_path, **NEW_ESA), tmp_path / "net.onnx").path
    with pytest.raises(UnsuitableBatch, match="--io float32"):
        OnnxRuntimeBackend(path).run(np.zeros((1, 20, 20, 3), np.float32))


def test_impossible_exports_are_refused_when_asked_for(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="16-bit"):
        ExportOptions(precision=Precision.FP16, pixel_type=PixelType.FLOAT32)
    with pytest.raises(OptionError, match=r"\.onnx"):
        export_and_prove(saved(tmp_path, **NEW_ESA), tmp_path / "net.bin")


@pytest.mark.parametrize(("options", "name"), list(zip(GRAPHS, (
    "net.onnx", "net-float32.onnx", "net-portable.onnx", "net-fp16.onnx", "net-portable-fp16.onnx"), strict=True)))
def test_a_graph_without_a_name_is_called_after_what_it_is(options: ExportOptions, name: str) -> None:
    assert default_graph_path(Path("somewhere/net.pt"), options) == Path(name)


def test_agreement_in_float_counts_fractions_of_a_level() -> None:
    loaded = seeded_network(**NEW_ESA)
    other = LoadedNetwork(network=seeded_network(**NEW_ESA).network,
                          spec=replace(loaded.spec, pixel_type=PixelType.FLOAT32))
    tail = other.network.get_submodule("tail")
    assert isinstance(tail, nn.Conv2d)
    assert tail.bias is not None
    tail.bias.data += 0.1 / 255
    agreement = compare_backends(PyTorchBackend(other), PyTorchBackend(loaded), whole_images(sample_images()))
    assert agreement.worst_levels == pytest.approx(0.1, rel=1e-2)  # float32 next to 1: 1e-7 of 4e-4
    assert agreement.psnr_db == pytest.approx(20 * np.log10(255 / 0.1), abs=0.6)  # a tenth of the values is clipped
