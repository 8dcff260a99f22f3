"""Runs a graph on images of many sizes and looks at the shapes at its Resize nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime as ort
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from srn_deploy.errors import GraphError
from srn_deploy.graph.pruning import without_unused

SMALLEST_SIDE_PX = 40
"""Above the smallest side of known networks."""

PROBED_PX = 48
"""What the probed sides span: three periods of the coarsest known grid (16 px)."""

LEAST_SIDES = 9
"""How many sides are probed where they must be multiples of something."""

_ERRORS: tuple[type[Exception], ...] = (RuntimeError, *(
    kind for kind in vars(ort_errors).values() if isinstance(kind, type) and issubclass(kind, Exception)))


@dataclass(frozen=True, kw_only=True)
class Probed:
    """What a Resize takes and gives on images of many sizes."""

    cells: dict[int, int]
    """Side of the image to the side of what is resized, both along the height."""
    rows: dict[int, int]
    """Side of the image to the side of the result."""
    is_square: bool
    """Whether heights and widths follow the same rule."""
    element_type: int
    """`TensorProto.DataType` of what is resized."""


def probed_sides(multiple: int) -> range:
    """The sides that are probed of a graph that takes multiples of this."""
    first = -(-SMALLEST_SIDE_PX // multiple)
    return range(first * multiple, (first + max(PROBED_PX // multiple, LEAST_SIDES)) * multiple, multiple)


def probe_resizes(graph: onnx.ModelProto, resizes: Sequence[NodeProto], multiple: int = 1) -> dict[str, Probed]:
    """Probe the nodes; each result by the name of the node's output.

    multiple: what the sides of images must be a multiple of. Raises GraphError where the graph cannot be run.
    """
    session, element_types = _shape_session(graph, resizes)
    image = session.get_inputs()[0]
    shapes: dict[int, list[NDArray[np.int64]]] = {}
    sides = probed_sides(multiple)
    total = sides[0] + sides[-1]
    for side in sides:
        try:
            shapes[side] = session.run(None, {image.name: _image(image, side, total - side)})
        except _ERRORS as error:
            raise GraphError(f"The graph cannot be run on an image of {total - side} x {side} px: "
                             f"{str(error).splitlines()[0][:200]}",
                             remedy="Check what sizes the network takes.") from error
    found = {}
    for number, node in enumerate(resizes):
        before = {side: taken[2 * number] for side, taken in shapes.items()}
        after = {side: taken[2 * number + 1] for side, taken in shapes.items()}
        cells = {side: int(shape[-2]) for side, shape in before.items()}
        rows = {side: int(shape[-2]) for side, shape in after.items()}
        is_square = all((int(before[side][-1]), int(after[side][-1])) == (cells[total - side], rows[total - side])
                        for side in sides)
        found[node.output[0]] = Probed(cells=cells, rows=rows, is_square=is_square,
                                       element_type=element_types[node.output[0]])
    return found


def _shape_session(graph: onnx.ModelProto,
                   resizes: Sequence[NodeProto]) -> tuple[ort.InferenceSession, dict[str, int]]:
    """A session that gives the shapes before and after each node, and the element type of each node."""
    copy = onnx.ModelProto()
    copy.CopyFrom(graph)
    types = _element_types(copy)
    del copy.graph.output[:]
    for node in resizes:
        for place, name in enumerate((node.input[0], node.output[0])):
            output = f"probe_{len(copy.graph.output)}_{place}"
            copy.graph.node.append(helper.make_node("Shape", [name], [output]))
            copy.graph.output.append(helper.make_tensor_value_info(output, TensorProto.INT64, [4]))
    options = ort.SessionOptions()
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(without_unused(copy).SerializeToString(), options,
                                       providers=["CPUExecutionProvider"])
    except _ERRORS as error:
        raise GraphError(f"ONNX Runtime cannot open the graph: {str(error).splitlines()[0][:200]}",
                         remedy="Check it with onnx.checker.") from error
    return session, {node.output[0]: types.get(node.input[0], TensorProto.FLOAT) for node in resizes}


def _element_types(graph: onnx.ModelProto) -> dict[str, int]:
    inferred = onnx.shape_inference.infer_shapes(graph)
    return {value.name: value.type.tensor_type.elem_type
            for value in (*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output)}


def _image(image: ort.NodeArg, height: int, width: int) -> NDArray[np.generic]:
    """A black image in the layout of the input."""
    channels_last = isinstance(image.shape[3], int)
    channels = image.shape[3] if channels_last else image.shape[1]
    dtype = {"tensor(uint8)": np.uint8, "tensor(float16)": np.float16}.get(image.type, np.float32)
    return np.zeros((1, height, width, channels) if channels_last else (1, channels, height, width), dtype)


def run_resize(node: NodeProto, values: NDArray[np.float32], rows: int) -> NDArray[np.float32]:
    """Run the operator of a node along the height alone: values (cells, n) to (rows, n)."""
    sizes = helper.make_tensor("sizes", TensorProto.INT64, [4], [1, 1, rows, values.shape[1]])
    alone = helper.make_node("Resize", ["values", "", "", "sizes"], ["resized"])
    alone.attribute.extend(attribute for attribute in node.attribute if attribute.name != "axes")
    graph = helper.make_graph(
        [alone], "resize", [helper.make_tensor_value_info("values", TensorProto.FLOAT, [1, 1, *values.shape])],
        [helper.make_tensor_value_info("resized", TensorProto.FLOAT, [1, 1, rows, values.shape[1]])], [sizes])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    resized: NDArray[np.float32] = session.run(None, {"values": values[None, None]})[0][0, 0]
    return resized
