"""What of a graph is computed, and what of it is used."""

from __future__ import annotations

import onnx


def is_computed(graph: onnx.ModelProto, name: str) -> bool:
    """Whether a value depends on the graph's inputs; a missing optional input ("") does not."""
    constants = {tensor.name for tensor in graph.graph.initializer}
    makers = {output: node for node in graph.graph.node for output in node.output}
    pending, seen = [name], set()
    while pending:
        one = pending.pop()
        if not one or one in constants or one in seen:
            continue
        seen.add(one)
        if one not in makers:
            return True
        pending += makers[one].input
    return False


def without_unused(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Remove, in place, the nodes, initializers and shapes that no output depends on; returns the graph."""
    makers = {output: node for node in graph.graph.node for output in node.output}
    needed: set[str] = set()
    pending = [output.name for output in graph.graph.output]
    while pending:
        name = pending.pop()
        if name in needed:
            continue
        needed.add(name)
        if name in makers:
            pending += [*makers[name].input, *_captured(makers[name])]
    nodes = [node for node in graph.graph.node if not needed.isdisjoint(node.output)]
    initializers = [tensor for tensor in graph.graph.initializer if tensor.name in needed]
    shapes = [value for value in graph.graph.value_info if value.name in needed]
    for field, kept in ((graph.graph.node, nodes), (graph.graph.initializer, initializers),
                        (graph.graph.value_info, shapes)):
        copies = [type(one)() for one in kept]
        for copied, one in zip(copies, kept, strict=True):
            copied.CopyFrom(one)
        del field[:]
        field.extend(copies)
    return graph


def _captured(node: onnx.NodeProto) -> list[str]:
    """The names that the subgraphs of a node (If, Loop, Scan) may take from around it."""
    inner = [attribute.g for attribute in node.attribute if attribute.HasField("g")]
    inner += [one for attribute in node.attribute for one in attribute.graphs]
    return [name for one in inner for part in one.node for name in (*part.input, *_captured(part))] + [
        output.name for one in inner for output in one.output]
