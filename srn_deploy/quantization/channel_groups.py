"""Groups of tensors whose channels can be scaled without changing what a graph computes.

If the convolutions that make a tensor divide a channel by a number, and those that read it multiply their weights for
that channel by it, nothing changes. Activations that scale with their input, pooling, addition, and multiplication by
an attention map pass the number on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import onnx
from onnx import NodeProto

CONVOLUTION = "Conv"

_SCALE_WITH_THEIR_INPUT = {"LeakyRelu", "Relu", "MaxPool", "AveragePool"}

IMAGE_DIMENSIONS = 4
"""Of the weights of a convolution of images."""

_DIMENSIONS = (1, IMAGE_DIMENSIONS)
"""Of biases and weights."""

_MAPS = {"Sigmoid", "HardSigmoid"}
"""Operators that make an attention map."""


@dataclass(frozen=True, kw_only=True)
class ChannelGroup:
    """Tensors whose channels have to be scaled by the same numbers."""

    makers: tuple[NodeProto, ...]
    """Convolutions whose outputs they are."""
    readers: tuple[NodeProto, ...]
    """Convolutions whose inputs they are."""


def channel_groups(graph: onnx.ModelProto) -> Iterator[ChannelGroup]:
    """The groups of a graph that have makers and readers and in which nothing else sees the values."""
    uses = Counter(name for node in graph.graph.node for name in node.input)
    weights = {one.name for one in graph.graph.initializer if uses[one.name] == 1 and len(one.dims) in _DIMENSIONS}
    makers = {name: node for node in graph.graph.node for name in node.output}
    tensors = _Groups()
    for node in graph.graph.node:
        _add(node, tensors, makers, weights)
    for end in (*graph.graph.input, *graph.graph.output, *graph.graph.initializer):
        tensors.fix(end.name)
    for names in tensors.free():
        made = tuple(makers[name] for name in sorted(names)
                     if name in makers and makers[name].op_type == CONVOLUTION)
        read = tuple(node for node in graph.graph.node if node.op_type == CONVOLUTION and node.input[0] in names)
        if made and read:
            yield ChannelGroup(makers=made, readers=read)


def _add(node: NodeProto, tensors: _Groups, makers: dict[str, NodeProto], weights: set[str]) -> None:
    """Join or fix the tensors that a node reads and makes."""
    if node.op_type == CONVOLUTION and _is_plain(node, weights):
        for name in (node.input[0], node.output[0]):
            tensors.add(name)
    elif node.op_type in _SCALE_WITH_THEIR_INPUT:
        tensors.join(node.input[0], node.output[0])
    elif node.op_type == "Add":
        tensors.join(node.input[0], node.output[0])
        tensors.join(node.input[1], node.output[0])
    elif node.op_type == "Mul" and (maps := [name for name in node.input if _is_map(makers.get(name))]):
        scaled = next((name for name in node.input if name not in maps), maps[0])
        tensors.join(scaled, node.output[0])
        for name in maps:
            tensors.fix(name)
    else:
        for name in (*node.input, *node.output):
            tensors.fix(name)


def _is_plain(node: NodeProto, weights: set[str]) -> bool:
    """Whether each output channel reads every input channel, with constant weights that nothing else uses."""
    groups = next((one.i for one in node.attribute if one.name == "group"), 1)
    return groups == 1 and set(node.input[1:]) <= weights


def _is_map(maker: NodeProto | None) -> bool:
    return maker is not None and maker.op_type in _MAPS


class _Groups:
    """Disjoint sets of tensor names."""

    def __init__(self) -> None:
        self._parents: dict[str, str] = {}
        self._fixed: set[str] = set()

    def add(self, name: str) -> str:
        """The representative of a tensor's group."""
        self._parents.setdefault(name, name)
        while self._parents[name] != name:
            name = self._parents[name]
        return name

    def join(self, one: str, other: str) -> None:
        self._parents[self.add(one)] = self.add(other)

    def fix(self, name: str) -> None:
        """No number may be passed on through this tensor."""
        self._fixed.add(name)
        self.add(name)

    def free(self) -> list[set[str]]:
        groups: dict[str, set[str]] = {}
        for name in self._parents:
            groups.setdefault(self.add(name), set()).add(name)
        return [names for names in groups.values() if not names & self._fixed]
