"""A graph of another tool in our forms computes what it computes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from srn_deploy.architectures.checkpoint import LoadedNetwork
from srn_deploy.backends.onnx_runtime import OnnxRuntimeBackend
from srn_deploy.backends.pytorch import PyTorchBackend
from srn_deploy.external.foreign_network import ForeignLuma, ForeignNetwork, with_graph
from srn_deploy.external.graph_file import raw_graph
from srn_deploy.external.graph_layout import ForeignRun, computes_in_half, find_layout
from srn_deploy.graph.export import OPSET, ExportOptions, export_graph
from srn_deploy.graph.onnx_file import save_graph
from srn_deploy.spec import Form, ModelSpec, PixelType
from srn_deploy.verification.agreement import Agreement, compare_backends, whole_images
from srn_deploy.verification.sample_images import sample_images
from tests.foreign_graphs import SCALE, Kind, enlarger, fitted, saved, written

DEPLOY = ExportOptions()
PORTABLE = ExportOptions(form=Form.PORTABLE)
FLOAT = ExportOptions(pixel_type=PixelType.FLOAT32)


def in_our_form(path: Path, kind: Kind, options: ExportOptions, folder: Path) -> tuple[Path, LoadedNetwork]:
    """The graph in one of our forms, and the network whose place it takes."""
    graph = raw_graph(path, OPSET)
    layout = find_layout(graph, {})
    run = ForeignRun(graph, layout)
    network = ForeignNetwork(run, SCALE) if kind.channels == 3 else ForeignLuma(run, SCALE, kind.value_range)
    spec = ModelSpec(architecture="other", options={}, scale=SCALE,
                     value_range=kind.value_range if kind.channels == 3 else 1.0)
    loaded = LoadedNetwork(network=network.eval(), spec=spec)
    save_graph(export_graph(loaded, options, completed=lambda traced: with_graph(traced, graph, layout)),
               folder / "mine.onnx")
    return folder / "mine.onnx", loaded


def agreement(path: Path, kind: Kind, options: ExportOptions, folder: Path) -> Agreement:
    """Of the graph in our form with the original."""
    mine, loaded = in_our_form(path, kind, options, folder)
    return compare_backends(OnnxRuntimeBackend(mine), PyTorchBackend(loaded), whole_images(sample_images()))


@pytest.mark.parametrize("options", [DEPLOY, PORTABLE, FLOAT], ids=["deploy", "portable", "float"])
@pytest.mark.parametrize("kind", [
    Kind(), Kind(value_range=255.0), Kind(order="nhwc"), Kind(channels=1), Kind(channels=1, value_range=255.0),
    Kind(order="nhwc", dtype=torch.uint8, value_range=255.0), Kind(opset=9), Kind(opset=11), Kind(opset=18)],
    ids=["base", "255", "nhwc", "luma", "luma255", "uint8", "opset9", "opset11", "opset18"])
def test_our_form_of_a_graph_gives_the_images_of_the_original(
        tmp_path: Path, kind: Kind, options: ExportOptions) -> None:
    found = agreement(written(kind, tmp_path), kind, options, tmp_path)
    assert found.worst_levels <= 1  # where a value lies between two levels, float32 sums decide
    assert found.psnr_db > 90


def test_a_graph_in_half_precision_stays_in_it_and_differs_by_its_roundings(tmp_path: Path) -> None:
    kind = Kind(dtype=torch.float16)
    path = written(kind, tmp_path)
    assert computes_in_half(raw_graph(path, OPSET))
    assert agreement(path, kind, DEPLOY, tmp_path).psnr_db > 55  # ten bits of fraction are a quarter of a level


def test_a_graph_of_a_later_opset_than_ours_is_taken_too(tmp_path: Path) -> None:
    later = onnx.version_converter.convert_version(enlarger(), 21)
    mine, _ = in_our_form(saved(later, tmp_path), Kind(), DEPLOY, tmp_path)
    assert onnx.load(mine).opset_import[0].version == 21
    assert agreement(tmp_path / "other.onnx", Kind(), DEPLOY, tmp_path).worst_levels == 0


def test_the_original_is_what_the_network_computed_in_pytorch(tmp_path: Path) -> None:
    kind = Kind()
    graph = raw_graph(written(kind, tmp_path), OPSET)
    images = torch.rand(1, 3, 20, 30)
    with torch.no_grad():
        wanted = fitted(kind)(images).numpy()
    found = ForeignRun(graph, find_layout(graph, {}))(images.numpy())
    np.testing.assert_allclose(found, wanted, atol=1e-5)  # float32 sums in another order


def test_a_graph_of_one_size_keeps_it_and_says_so(tmp_path: Path) -> None:
    kind = Kind(fixed=(48, 64))
    mine, _ = in_our_form(written(kind, tmp_path), kind, DEPLOY, tmp_path)
    limits = OnnxRuntimeBackend(mine).limits
    assert ([str(shapes) for shapes in limits.shapes], limits.largest_batch) == (["48x64"], 1)


def test_attention_over_cells_becomes_exact_on_tiles(tmp_path: Path) -> None:
    kind = Kind(attention=True)
    mine, _ = in_our_form(written(kind, tmp_path), kind, DEPLOY, tmp_path)
    assert [replace(grid, first_row_px=1) for grid in OnnxRuntimeBackend(mine).spec.grids] != []


def test_names_of_the_graph_cannot_clash_with_ours(tmp_path: Path) -> None:
    model = enlarger()
    model.graph.input[0].name = model.graph.node[0].input[0] = "pixels"
    model.graph.output[0].name = model.graph.node[1].output[0] = "upscaled"
    assert agreement(saved(model, tmp_path), Kind(), DEPLOY, tmp_path).worst_levels == 0
