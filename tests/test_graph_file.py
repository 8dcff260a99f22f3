"""ONNX files of other tools are read whole, or refused in words."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from srn_deploy.errors import GraphError, OptionError
from srn_deploy.external.graph_file import ForeignGraph, raw_graph
from srn_deploy.external.graph_layout import ForeignRun, Layout, Order, find_layout
from tests.foreign_graphs import SCALE, Kind, enlarger, image_value, saved, written

OPSET = 18

Change = Callable[[onnx.ModelProto], None]


def read(path: Path) -> ForeignGraph:
    return raw_graph(path, OPSET)


def changed(change: Change) -> onnx.ModelProto:
    model = enlarger()
    change(model)
    return model


def put(field: str, *values: onnx.ValueInfoProto) -> Change:
    """Replace the inputs or outputs."""
    def change(model: onnx.ModelProto) -> None:
        named = getattr(model.graph, field)
        del named[:]
        named.extend(values)

    return change


def first(kind: str, domain: str = "", **attributes: Any) -> Change:
    """Put a node before the others."""
    def change(model: onnx.ModelProto) -> None:
        made = helper.make_node(kind, ["input"], ["before"], domain=domain, **attributes)
        nodes = [made, *model.graph.node]
        nodes[1].input[0] = "before"
        copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del model.graph.node[:]
        model.graph.node.extend(copies)

    return change


def opset(version: int) -> Change:
    def change(model: onnx.ModelProto) -> None:
        model.opset_import[0].version = version

    return change


def recursive(model: onnx.ModelProto) -> None:
    """A function that calls itself."""
    body = [helper.make_node("Again", ["a"], ["b"], domain="own")]
    model.functions.append(helper.make_function("own", "Again", ["a"], ["b"], body, [helper.make_opsetid("own", 1)]))
    model.opset_import.append(helper.make_opsetid("own", 1))
    first("Again", "own")(model)


def exploding(model: onnx.ModelProto) -> None:
    """Functions that call the one before twice: a million nodes of twenty functions."""
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    for number in range(21):
        name, domain = ("Relu", "") if not number else (f"F{number - 1}", "own")
        body = [helper.make_node(name, [source], [target], domain=domain) for source, target in ("at", "tb")]
        model.functions.append(helper.make_function("own", f"F{number}", ["a"], ["b"], body, imports))
    model.opset_import.append(helper.make_opsetid("own", 1))
    first("F20", "own")(model)


SEQUENCE = helper.make_tensor_sequence_value_info("input", TensorProto.FLOAT, ["b", 3, "h", "w"])
OPTIONAL = helper.make_value_info("input", helper.make_optional_type_proto(
    helper.make_tensor_type_proto(TensorProto.FLOAT, ["b", 3, "h", "w"])))
IMAGE = image_value("input", "b", 3, "h", "w")
UPSCALED = image_value("output", "b", 3, "oh", "ow")


@pytest.mark.parametrize(("change", "words"), [
    (put("input", IMAGE, image_value("noise", 1)), r"2 inputs \(input, noise\)"),
    (put("output", UPSCALED, image_value("channels", "b", 12, "h", "w")), r"2 outputs \(output, channels\)"),
    (put("input"), r"0 inputs \(none\)"),
    (put("input", SEQUENCE), "input of .* is no image but of type sequence"),
    (put("input", OPTIONAL), "no image but of type optional"),
    (put("input", image_value("input", "b", 3, "h", "w", kind=TensorProto.STRING)), "of type string"),
    (put("input", image_value("input", "b", 3, "h", "w", kind=TensorProto.DOUBLE)), "of type double"),
    (put("input", image_value("input", "b", 3)), "has 2 dimensions, and images have four"),
    (put("output", image_value("output", 3, "oh", "ow")), "output output of .* has 3 dimensions"),
    (first("FusedConv", "com.microsoft"), "not ONNX's own: FusedConv of com.microsoft"),
    (first("RandomNormalLike"), "draws random numbers"),
    (first("Scan", num_scan_inputs=1), r"has a loop \(Scan\)"),
    (recursive, "function that calls itself: Again"),
    (exploding, "more than 100,000 nodes"),
    (opset(8), "is of opset 8, and 9 is the oldest"),
    (opset(999), "is of opset 999, and the installed onnx"),
    (lambda model: model.graph.ClearField("node"), "without a network"),
])
def test_a_graph_that_is_not_one_image_in_and_one_out_is_refused_in_words(
        tmp_path: Path, change: Change, words: str) -> None:
    with pytest.raises(GraphError, match=words):
        read(saved(changed(change), tmp_path))


def test_a_loop_over_images_is_refused_by_name(tmp_path: Path) -> None:
    body = helper.make_graph([], "body", [], [])
    with pytest.raises(GraphError, match=r"a loop \(Loop\)"):
        read(saved(changed(first("Loop", body=body)), tmp_path))


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = saved(enlarger(), tmp_path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(GraphError, match="damaged"):
        read(path)


@pytest.mark.parametrize(("dimensions", "words"), [
    (("b", 5, "h", "w"), r"its input is \(\?, 5, \?, \?\)"), ((1, 2, 64, 64), r"\(1, 2, 64, 64\)"),
    ((4, 3, "h", "w"), r"\(4, 3, \?, \?\)")])
def test_what_is_no_image_of_one_or_three_channels_is_refused(
        tmp_path: Path, dimensions: tuple[int | str, ...], words: str) -> None:
    graph = read(saved(enlarger(image=image_value("input", *dimensions)), tmp_path))
    with pytest.raises(GraphError, match=words):
        find_layout(graph, {})


@pytest.mark.parametrize(("kind", "layout"), [
    (Kind(), Layout(order=Order.NCHW, channels=3)), (Kind(order="nhwc"), Layout(order=Order.NHWC, channels=3)),
    (Kind(channels=1), Layout(order=Order.NCHW, channels=1)),
    (Kind(fixed=(48, 64)), Layout(order=Order.NCHW, channels=3))])
def test_the_layout_is_read_from_the_dimensions(tmp_path: Path, kind: Kind, layout: Layout) -> None:
    assert find_layout(read(written(kind, tmp_path)), {}) == layout


@pytest.mark.parametrize("kind", [Kind(), Kind(order="nhwc"), Kind(channels=1)])
def test_without_dimensions_the_layout_is_the_one_that_runs(tmp_path: Path, kind: Kind) -> None:
    known = find_layout(read(written(kind, tmp_path)), {})
    model = onnx.load(tmp_path / "other.onnx")
    for dimension in model.graph.input[0].type.tensor_type.shape.dim:
        dimension.dim_param = "any"
    assert find_layout(read(saved(model, tmp_path)), {}) == known


def test_a_layout_that_nothing_shows_is_asked_for(tmp_path: Path) -> None:
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "any", [image_value("x", "n", "a", "b", "c")],
                              [image_value("y", "n", "a", "b", "c")])
    path = saved(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path)
    with pytest.raises(OptionError, match="runs as RGB NCHW and as Y NCHW") as raised:
        find_layout(read(path), {})
    assert "--set layout=" in raised.value.remedy
    found = find_layout(read(path), {"layout": "nhwc", "channels": "1"})
    assert found == Layout(order=Order.NHWC, channels=1)


def test_sides_that_are_named_alike_may_differ_all_the_same(tmp_path: Path) -> None:
    graph = read(saved(enlarger(image=image_value("input", "n", 3, "n", "n")), tmp_path))
    upscaled = ForeignRun(graph, find_layout(graph, {}))(np.zeros((2, 3, 10, 20), np.float32))
    assert upscaled.shape == (2, 3, SCALE * 10, SCALE * 20)


def outside(folder: Path, location: str, file: str = "weights.bin", length: int | None = None) -> Path:
    """The graph with its weights in another file, under a name that the graph is told."""
    model = enlarger()
    kernel = model.graph.initializer[0]
    data = kernel.raw_data
    (folder / file).parent.mkdir(exist_ok=True)
    (folder / file).write_bytes(data[:length])
    kernel.ClearField("raw_data")
    kernel.data_location = TensorProto.EXTERNAL
    kernel.external_data.add(key="location", value=location)
    kernel.external_data.add(key="length", value=str(len(data)))
    return saved(model, folder)


def test_weights_in_a_file_of_the_same_folder_are_taken(tmp_path: Path) -> None:
    path = outside(tmp_path, "weights.bin")
    assert read(path).graph.graph.initializer[0] == read(saved(enlarger(), tmp_path)).graph.graph.initializer[0]


def test_weights_in_a_folder_below_are_taken(tmp_path: Path) -> None:
    read(outside(tmp_path, "data/weights.bin", "data/weights.bin"))


@pytest.mark.parametrize("location", ["../weights.bin", "/etc/passwd", "data/../../weights.bin", "..\\weights.bin",
                                      "C:\\weights.bin", ""])
def test_weights_outside_the_folder_are_not_read(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "graph"
    folder.mkdir()
    (tmp_path / "weights.bin").write_bytes(bytes(10_000))
    with pytest.raises(GraphError, match="outside its own folder") as raised:
        read(outside(folder, location))
    assert "inside" in raised.value.remedy


def test_a_link_that_leads_outside_is_not_followed(tmp_path: Path) -> None:
    folder = tmp_path / "graph"
    folder.mkdir()
    path = outside(folder, "weights.bin")
    os.replace(folder / "weights.bin", tmp_path / "elsewhere.bin")
    (folder / "weights.bin").symlink_to(tmp_path / "elsewhere.bin")
    with pytest.raises(GraphError, match="outside its own folder"):
        read(path)


def test_a_missing_file_of_weights_is_named(tmp_path: Path) -> None:
    path = outside(tmp_path, "weights.bin")
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(GraphError, match=r"keeps weights in weights\.bin, which is not next to it"):
        read(path)


def test_a_file_of_weights_that_is_too_short_is_named(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match=r"weights\.bin, the weights of .*, is too short: kernel"):
        read(outside(tmp_path, "weights.bin", length=100))


def test_a_pipe_instead_of_weights_is_not_waited_for(tmp_path: Path) -> None:
    path = outside(tmp_path, "weights.bin")
    (tmp_path / "weights.bin").unlink()
    os.mkfifo(tmp_path / "weights.bin")
    with pytest.raises(GraphError, match="which is not a file"):
        read(path)


def test_huge_weights_elsewhere_are_refused_before_they_are_read(tmp_path: Path) -> None:
    path = outside(tmp_path, "weights.bin")
    model = onnx.load(path, load_external_data=False)
    model.graph.initializer[0].dims[:] = [2**20, 2**20]
    with pytest.raises(GraphError, match="more than 2 GiB"):
        read(saved(model, tmp_path))


def test_weights_in_a_subgraph_are_checked_too(tmp_path: Path) -> None:
    tensor = numpy_helper.from_array(np.zeros(3, np.float32), "inner")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../inner.bin")
    branch = helper.make_graph([], "branch", [], [], [tensor])
    model = changed(first("If", then_branch=branch, else_branch=branch))
    with pytest.raises(GraphError, match="outside its own folder"):
        read(saved(model, tmp_path))


def test_functions_are_put_in_their_places(tmp_path: Path) -> None:
    model = enlarger()
    body = [helper.make_node("Relu", ["a"], ["b"])]
    model.functions.append(helper.make_function("own", "Positive", ["a"], ["b"], body, [helper.make_opsetid("", 17)]))
    model.opset_import.append(helper.make_opsetid("own", 1))
    first("Positive", "own")(model)
    assert [node.op_type for node in read(saved(model, tmp_path)).graph.graph.node] == ["Relu", "Conv", "DepthToSpace"]
