"""ONNX files: write the spec into a graph, make its FP16 copy, and save it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import onnx
from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16
from onnxruntime.transformers.onnx_model import OnnxModel

from srn_deploy.errors import GraphError
from srn_deploy.spec import SPEC_KEY, ModelSpec, Precision, spec_in
from srn_deploy.system.atomic import replacing
from srn_deploy.system.quiet import quiet

WIDE_OPERATORS = ("ReduceMean", "Sub", "Pow", "Sqrt")
"""Operators that stay in FP32: statistics over a whole image, which only networks with contrast attention take."""


def stamped(graph: onnx.ModelProto, spec: ModelSpec) -> onnx.ModelProto:
    """Write the spec into the metadata of a graph, in place, and return the graph."""
    kept = [entry for entry in graph.metadata_props if entry.key != SPEC_KEY]
    del graph.metadata_props[:]
    graph.metadata_props.extend([*kept, onnx.StringStringEntryProto(key=SPEC_KEY, value=spec.to_json())])
    return graph


def spec_of(graph: onnx.ModelProto, name: str) -> ModelSpec:
    """The spec in the metadata of a graph; raises GraphWithoutSpec, and OptionError for an invalid spec."""
    return spec_in({entry.key: entry.value for entry in graph.metadata_props}, name)


def half_precision_copy(graph: onnx.ModelProto) -> onnx.ModelProto:
    """A copy that computes in FP16 and keeps the types of its inputs and outputs; its spec says so.

    Weights below FP16's smallest step become 0 or that step. The converter's messages about it are suppressed, because
    the effect is measured on images afterwards. Raises GraphError for a graph in FP16, and what the converter raises.
    """
    spec = spec_of(graph, "the graph")
    if spec.precision is Precision.FP16:
        raise GraphError("The graph computes in FP16 already.", remedy="Use it as it is.")
    copy = onnx.ModelProto()
    copy.CopyFrom(graph)
    with quiet("onnxruntime.transformers.float16"):
        half = convert_float_to_float16(copy, keep_io_types=True,
                                        op_block_list=[*DEFAULT_OP_BLOCK_LIST, *WIDE_OPERATORS])
    _join_wide_operators(half.graph)
    sort_nodes(half)  # the converter appends its casts at the end
    return stamped(half, replace(spec, precision=Precision.FP16))


def sort_nodes(graph: onnx.ModelProto) -> None:
    """Put every node behind those whose outputs it reads, in place."""
    OnnxModel(graph).topological_sort(is_deterministic=True)


def _join_wide_operators(graph: onnx.GraphProto) -> None:
    """Remove the casts between adjacent FP32 operators.

    The converter casts to FP16 and back between any two of them, and writes a cast twice where two share an input.
    """
    makers = {node.output[0]: node for node in graph.node}
    wide = [node for node in graph.node if node.op_type in WIDE_OPERATORS]
    for node in wide:
        node.input[:] = [_before_casts(name, makers) for name in node.input]
    if wide:
        del graph.value_info[:]  # the converter declares the values between them FP16
    while wide:
        used = {name for node in makers.values() for name in node.input} | {output.name for output in graph.output}
        alive = {name: node for name, node in makers.items() if not used.isdisjoint(node.output)}
        if len(alive) == len(makers):
            del graph.node[:]
            graph.node.extend(alive.values())
            break
        makers = alive


def _before_casts(name: str, makers: Mapping[str, onnx.NodeProto]) -> str:
    """The output of the FP32 operator that was cast to this name, or the name itself if there is none."""
    origin = name
    while origin in makers and makers[origin].op_type == "Cast":
        origin = makers[origin].input[0]
    return origin if origin in makers and makers[origin].op_type in WIDE_OPERATORS else name


def save_graph(graph: onnx.ModelProto, path: Path) -> None:
    """Check a graph and write it, complete or not at all; raises GraphError if it is not valid."""
    try:
        onnx.checker.check_model(graph, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise GraphError(f"The graph is not valid ONNX: {str(error).splitlines()[0]}",
                         remedy="Report this with the checkpoint's `srn-deploy info`.") from error
    with replacing(path) as temporary:
        temporary.write_bytes(graph.SerializeToString())
