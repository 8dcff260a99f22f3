"""From an FP32 graph to an INT8 one: equalized channels, quantization, corrected biases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import onnx

from srn_deploy.errors import OptionError
from srn_deploy.graph.onnx_file import spec_of, stamped
from srn_deploy.image.pixels import Rgb8
from srn_deploy.quantization.bias_correction import correct_biases
from srn_deploy.quantization.calibration import inputs_of
from srn_deploy.quantization.equalization import equalized
from srn_deploy.spec import Precision
from srn_deploy.system.installed import need_packages


def check_installed() -> None:
    """Raise MissingPackage where NNCF is not installed."""
    need_packages(("nncf",), "Making an INT8 graph", extra="int8")


def int8_copy(graph: onnx.ModelProto, images: Sequence[Rgb8]) -> onnx.ModelProto:
    """A copy of a graph of ours that computes its convolutions in INT8 and keeps the types of its inputs and outputs.

    images: RGB (H, W, 3) in 0..255, such as the network will be given; its spec says INT8. Raises MissingPackage,
    OptionError for a graph in another precision than FP32, and GraphError where NNCF or ONNX
    Runtime cannot do it.
    """
    check_installed()
    from srn_deploy.quantization.nncf_quantizer import quantized

    spec = spec_of(graph, "the graph")
    if spec.precision is not Precision.FP32:
        raise OptionError(f"The graph computes in {spec.precision.upper()}, and INT8 is made from FP32.",
                          remedy="Give its checkpoint, or the graph in FP32.")
    named = named_copy(graph)
    inputs = inputs_of(named, images)
    even = equalized(named, inputs)
    made = quantized(even, inputs)
    correct_biases(made, even, inputs)
    return stamped(made, replace(spec, precision=Precision.INT8))


def named_copy(graph: onnx.ModelProto) -> onnx.ModelProto:
    """A copy in which every node has a name, by which NNCF knows it."""
    named = onnx.ModelProto()
    named.CopyFrom(graph)
    for number, node in enumerate(named.graph.node):
        node.name = node.name or f"node_{number}"
    return named
