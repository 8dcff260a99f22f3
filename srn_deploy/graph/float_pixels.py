"""A copy of a deploy graph with float pixels instead of 8-bit ones, so that differences below one level can be seen."""

from __future__ import annotations

from dataclasses import replace

import onnx
from onnx import NodeProto, TensorProto, helper

from srn_deploy.errors import GraphError
from srn_deploy.graph.onnx_file import spec_of, stamped
from srn_deploy.spec import PixelType

_MOVING = ("Transpose", "Reshape", "Identity")
"""What may lie between the rounding and the cast: pixels are moved, and not changed."""

_LEVELS, _SHARE = "levels_of_pixels", "pixels_of_levels"


def with_float_pixels(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Take float32 in 0..1 where an 8-bit deploy graph takes 0..255, and give the same, not rounded.

    A graph that has float pixels is given back. Raises GraphError for one that does not begin and end as a deploy
    graph.
    """
    spec = spec_of(graph, "the graph")
    if spec.pixel_type is PixelType.FLOAT32:
        return graph
    copy = onnx.ModelProto()
    copy.CopyFrom(graph)
    image, result = copy.graph.input[0], copy.graph.output[0]
    casts = [node for node in copy.graph.node if image.name in node.input and node.op_type == "Cast"]
    last = _producer(copy, result.name)
    rounded = None if last is None else _producer(copy, last.input[0])
    while rounded is not None and rounded.op_type in _MOVING:
        rounded = _producer(copy, rounded.input[0])
    if not casts or last is None or rounded is None or (last.op_type, rounded.op_type) != ("Cast", "Round"):
        raise GraphError("The graph does not begin and end as a deploy graph of 8-bit pixels.",
                         remedy="Export it again with `srn-deploy export`.")
    for cast in casts:
        _become(cast, "Mul", [image.name, _LEVELS])
    _become(last, "Mul", [last.input[0], _SHARE])
    _become(rounded, "Identity", [rounded.input[0]])
    copy.graph.initializer.extend([helper.make_tensor(_LEVELS, TensorProto.FLOAT, [], [255.0]),
                                   helper.make_tensor(_SHARE, TensorProto.FLOAT, [], [1 / 255])])
    for one in (image, result):
        one.type.tensor_type.elem_type = TensorProto.FLOAT
    del copy.graph.value_info[:]
    return stamped(copy, replace(spec, pixel_type=PixelType.FLOAT32))


def _producer(graph: onnx.ModelProto, name: str) -> NodeProto | None:
    return next((node for node in graph.graph.node if name in node.output), None)


def _become(node: NodeProto, kind: str, inputs: list[str]) -> None:
    """Another operator in the same place, with the same output."""
    node.op_type = kind
    del node.attribute[:]
    del node.input[:]
    node.input.extend(inputs)
