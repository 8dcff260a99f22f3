"""Graphs with the spec of a network that end, fill or stop the process which runs them on a small image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from srn_deploy.graph.onnx_file import stamped
from srn_deploy.spec import Form, ModelSpec

SPEC = ModelSpec(architecture="hostile", options={}, scale=2, value_range=1.0, form=Form.PORTABLE)

_ANY_SHAPE = None


def _graph(nodes: Sequence[onnx.NodeProto], *weights: onnx.TensorProto) -> onnx.ModelProto:
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, "height", "width"])
    upscaled = helper.make_tensor_value_info("y", TensorProto.FLOAT, _ANY_SHAPE)
    graph = helper.make_graph(list(nodes), "hostile", [image], [upscaled], list(weights))
    return stamped(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), SPEC)


def _numbers(name: str, values: object) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(values, np.int64), name)


def huge_blocks() -> onnx.ModelProto:
    """Squares of a block do not fit into 64 bits, and something is divided by 0."""
    return _graph([helper.make_node("DepthToSpace", ["x"], ["y"], blocksize=2**40)])


def no_groups() -> onnx.ModelProto:
    """Channels are divided by the number of groups."""
    kernel = numpy_helper.from_array(np.zeros((3, 3, 3, 3), np.float32), "kernel")
    return _graph([helper.make_node("ConvTranspose", ["x", "kernel"], ["y"], group=0)], kernel)


def overflowing_constants() -> onnx.ModelProto:
    """The least 64-bit number by -1, divided when the graph is opened."""
    return _graph([helper.make_node("Div", ["least", "minus_one"], ["quotient"]),
                   helper.make_node("Cast", ["quotient"], ["number"], to=TensorProto.FLOAT),
                   helper.make_node("Add", ["x", "number"], ["y"])],
                  _numbers("least", [-2**63]), _numbers("minus_one", [-1]))


def million_images() -> onnx.ModelProto:
    """Every image becomes a million of them: 3 GB at 16 x 17 px."""
    return _graph([helper.make_node("Expand", ["x", "shape"], ["many"]),
                   helper.make_node("ReduceMax", ["many", "first"], ["y"])],
                  _numbers("shape", [2**20, 3, 1, 1]), _numbers("first", [0]))


def impossible_constant() -> onnx.ModelProto:
    """A constant of 4 TiB, which no allocation gives."""
    return _graph([helper.make_node("ConstantOfShape", ["shape"], ["zeros"]),
                   helper.make_node("ReduceSum", ["zeros"], ["sum"]), helper.make_node("Add", ["x", "sum"], ["y"])],
                  _numbers("shape", [2**40]))


def endless_loop() -> onnx.ModelProto:
    """As many rounds as a 64-bit number allows."""
    value = helper.make_tensor_value_info
    before = [value("round", TensorProto.INT64, []), value("go_on", TensorProto.BOOL, []),
              value("image", TensorProto.FLOAT, _ANY_SHAPE)]
    after = [value("still", TensorProto.BOOL, []), value("same", TensorProto.FLOAT, _ANY_SHAPE)]
    body = helper.make_graph([helper.make_node("Identity", ["go_on"], ["still"]),
                              helper.make_node("Relu", ["image"], ["same"])], "body", before, after)
    return _graph([helper.make_node("Loop", ["rounds", "first", "x"], ["y"], body=body)],
                  _numbers("rounds", 2**62), numpy_helper.from_array(np.array(True), "first"))


CRASHES: Mapping[str, Callable[[], onnx.ModelProto]] = {
    made.__name__: made for made in (huge_blocks, no_groups, overflowing_constants)}
"""Those that end a process with ONNX Runtime."""


def written(made: Callable[[], onnx.ModelProto], folder: Path) -> Path:
    """The graph as a file."""
    path = folder / f"{made.__name__}.onnx"
    path.write_bytes(made().SerializeToString())
    return path
