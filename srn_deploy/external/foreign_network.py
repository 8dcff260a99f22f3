"""A graph of another tool as a network: PyTorch runs it by ONNX Runtime, and exports a mark in its place.

So it is exported in every form that there is, luma networks included, and proved against the original.
"""

from __future__ import annotations

from typing import Any

import onnx
import torch
from onnx import NodeProto, TensorProto, helper
from torch import Tensor, nn
from torch.nn import functional

from srn_deploy.architectures.luma import LumaNetwork
from srn_deploy.errors import GraphError
from srn_deploy.external.graph_file import ForeignGraph, opset_of
from srn_deploy.external.graph_layout import ForeignRun, Layout, Order
from srn_deploy.graph.pruning import without_unused

_BEGIN, _END = "Asinh", "Erf"
"""The operators of the mark: none of our forms has them."""

_PREFIX = "model."
"""Of all names that come from the graph."""


class ForeignNetwork(nn.Module):
    """The graph as a network for RGB, or for luma within a LumaNetwork."""

    def __init__(self, run: ForeignRun, scale: int) -> None:
        super().__init__()
        self._run, self.scale = run, scale

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) in the trained value range to (N, C, scale*H, scale*W)."""
        if not torch.compiler.is_exporting():
            return torch.from_numpy(self._run(images.contiguous().numpy()))
        enlarged = functional.interpolate(torch.asinh(images), scale_factor=float(self.scale), mode="nearest")
        return torch.erf(enlarged)


class ForeignLuma(LumaNetwork):
    """The graph as a network for luma: it takes and returns RGB in 0..1."""

    def __init__(self, run: ForeignRun, scale: int, luma_range: float) -> None:
        super().__init__(scale, luma_range)
        self.network = ForeignNetwork(run, scale)

    def upscale_luma(self, luma: Tensor) -> Tensor:
        """Y (N, 1, H, W) in 0..1 to (N, 1, scale*H, scale*W)."""
        return self.from_trained(self.network(self.as_trained(luma)))


def with_graph(traced: onnx.ModelProto, foreign: ForeignGraph, layout: Layout) -> onnx.ModelProto:
    """The traced form of such a network, with the nodes of the graph instead of the mark.

    Its sides and its batch are fixed where those of the graph are. Raises GraphError where the form cannot be brought
    to the opset of the graph.
    """
    model = _in_opset(traced, foreign)
    begin = next(node for node in model.graph.node if node.op_type == _BEGIN)
    end = next(node for node in model.graph.node if node.op_type == _END)
    body = onnx.GraphProto()
    body.CopyFrom(foreign.graph.graph)
    _rename(body)
    weights = {tensor.name for tensor in body.initializer}
    source = next(value.name for value in body.input if value.name not in weights)
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        if node is begin:
            nodes += [*_into(begin.input[0], source, foreign.element_type, layout), *body.node]
            nodes += _out_of(body.output[0], end.output[0], layout)
        elif node is not end:
            nodes.append(node)
    _replace_nodes(model.graph, nodes)
    model.graph.initializer.extend(body.initializer)
    model.graph.sparse_initializer.extend(body.sparse_initializer)
    model.graph.initializer.extend([helper.make_tensor(f"{_PREFIX}least_level", TensorProto.FLOAT, [], [0.0]),
                                    helper.make_tensor(f"{_PREFIX}largest_level", TensorProto.FLOAT, [], [255.0])])
    _fix_sizes(model.graph, foreign, layout)
    return without_unused(model)


def _in_opset(traced: onnx.ModelProto, foreign: ForeignGraph) -> onnx.ModelProto:
    """A copy of the form, in the opset of the graph where that is later."""
    if foreign.opset > opset_of(traced):
        try:
            return onnx.version_converter.convert_version(traced, foreign.opset)
        except RuntimeError as error:
            raise GraphError(f"{foreign.name} is of opset {foreign.opset}, which is too new: "
                             f"{str(error).splitlines()[0][:200]}", remedy="Export it again with opset 17.") from error
    copy = onnx.ModelProto()
    copy.CopyFrom(traced)
    return copy


def _rename(graph: onnx.GraphProto) -> None:
    """Put the prefix before every name of a value, those of subgraphs included, in place."""
    for node in graph.node:
        node.name = _PREFIX + node.name if node.name else ""
        for names in (node.input, node.output):
            names[:] = [_PREFIX + name if name else "" for name in names]
        for attribute in node.attribute:
            for inner in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
                _rename(inner)
    for values in (graph.input, graph.output, graph.initializer):
        for value in values:
            value.name = _PREFIX + value.name
    for sparse in graph.sparse_initializer:
        sparse.values.name = _PREFIX + sparse.values.name
    del graph.value_info[:]


def _into(name: str, source: str, element_type: int, layout: Layout) -> list[NodeProto]:
    """Nodes that give float32 images (N, C, H, W) as the graph takes them."""
    steps: list[tuple[str, list[str], dict[str, Any]]] = []
    if element_type == TensorProto.UINT8:
        steps += [("Round", [], {}), ("Clip", [f"{_PREFIX}least_level", f"{_PREFIX}largest_level"], {})]
    if layout.order is Order.NHWC:
        steps.append(("Transpose", [], {"perm": [0, 2, 3, 1]}))
    if element_type != TensorProto.FLOAT:
        steps.append(("Cast", [], {"to": element_type}))
    return _chain(name, steps or [("Identity", [], {})], source)


def _out_of(output: onnx.ValueInfoProto, target: str, layout: Layout) -> list[NodeProto]:
    """Nodes that give the images of the graph as float32 (N, C, H, W)."""
    steps: list[tuple[str, list[str], dict[str, Any]]] = []
    if output.type.tensor_type.elem_type != TensorProto.FLOAT:
        steps.append(("Cast", [], {"to": TensorProto.FLOAT}))
    if layout.order is Order.NHWC:
        steps.append(("Transpose", [], {"perm": [0, 3, 1, 2]}))
    return _chain(output.name, steps or [("Identity", [], {})], target)


def _chain(name: str, steps: list[tuple[str, list[str], dict[str, Any]]], target: str) -> list[NodeProto]:
    nodes = []
    for number, (kind, others, attributes) in enumerate(steps, start=1):
        output = target if number == len(steps) else f"{target}_{number}"
        nodes.append(helper.make_node(kind, [name, *others], [output], **attributes))
        name = output
    return nodes


def _replace_nodes(graph: onnx.GraphProto, nodes: list[NodeProto]) -> None:
    copies = []
    for node in nodes:
        copies.append(NodeProto())
        copies[-1].CopyFrom(node)
    del graph.node[:], graph.value_info[:]
    graph.node.extend(copies)


def _fix_sizes(graph: onnx.GraphProto, foreign: ForeignGraph, layout: Layout) -> None:
    """Write the dimensions that cannot vary into the input, and forget those of the output."""
    height, width = layout.sides(foreign.dimensions)
    shape = graph.input[0].type.tensor_type.shape.dim
    first = 1 if shape[3].HasField("dim_value") else 2
    for place, side in ((0, foreign.dimensions[0]), (first, height), (first + 1, width)):
        if side is not None:
            shape[place].dim_value = side
            graph.output[0].type.tensor_type.shape.dim[place].dim_param = f"output_{place}"
