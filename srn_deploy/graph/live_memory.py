"""How much memory a graph needs for what it computes, from the shapes of its values and the order of its nodes."""

from __future__ import annotations

import math

import onnx
from onnx import TensorProto, helper

_BITS_OF_4 = (TensorProto.UINT4, TensorProto.INT4)

MEASURED_SIDE_PX = 96
"""Of the image that shapes are inferred for, at least: small beside it is what does not grow with the image."""


def live_bytes_per_px(graph: onnx.ModelProto, size: tuple[int, int]) -> int:
    """The most bytes that are live at once in one pass, for each pixel (height, width) of the input.

    graph: with the pixels (N, H, W, 3) as its first input. What its shape inference does not find counts as much as
    the largest value that it finds; 0 where it finds nothing.
    """
    sizes = _sizes_of_values(graph, size)
    largest = max(sizes.values(), default=0)
    last_use = {name: number for number, node in enumerate(graph.graph.node) for name in node.input}
    constants = {tensor.name for tensor in graph.graph.initializer}
    live: dict[str, int] = {}
    most = 0
    for number, node in enumerate(graph.graph.node):
        if node.op_type != "Constant":
            live.update({name: sizes.get(name, largest) for name in node.output if name})
        most = max(most, sum(live.values()))
        for name in node.input:
            if name not in constants and last_use[name] == number:
                live.pop(name, None)
    return -(-most // math.prod(size))


def _sizes_of_values(graph: onnx.ModelProto, size: tuple[int, int]) -> dict[str, int]:
    """Bytes of each value for one image; those whose shape is not found are missing."""
    copy = onnx.ModelProto()
    copy.CopyFrom(graph)
    del copy.graph.value_info[:]
    for place, side in enumerate((1, *size)):
        copy.graph.input[0].type.tensor_type.shape.dim[place].dim_value = side
    inferred = onnx.shape_inference.infer_shapes(copy, data_prop=True)
    found = {}
    for value in inferred.graph.value_info:
        tensor = value.type.tensor_type
        sides = [side.dim_value for side in tensor.shape.dim]
        if tensor.HasField("shape") and all(sides) and tensor.elem_type not in _BITS_OF_4:
            found[value.name] = math.prod(sides) * helper.tensor_dtype_to_np_dtype(tensor.elem_type).itemsize
    return found
