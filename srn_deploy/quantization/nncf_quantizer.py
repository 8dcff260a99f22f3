"""Post-training quantization by NNCF, with what TensorRT wants of it: the only file that imports NNCF."""

from __future__ import annotations

import math
import warnings
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from srn_deploy.errors import GraphError
from srn_deploy.graph.onnx_file import sort_nodes
from srn_deploy.quantization.channel_groups import CONVOLUTION
from srn_deploy.system.quiet import quiet
from srn_deploy.system.telemetry import without_telemetry

with without_telemetry(), warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of the libraries that it imports
    import nncf
    from nncf.common.quantization.structs import QuantizationScheme
    from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters, QuantizationParameters
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

LEAST_CONVOLUTIONS = 3
"""Of which the one in the middle is quantized."""

SMALL_SHARE = 0.05
"""Of the weights of a network: so small a convolution takes little time in FP32. In networks for x2 that halves the
PSNR that INT8 loses, at the same speed; for x4 the last one is larger and would cost a tenth of the time."""

_MOST, _MOST_WITHOUT_SIGN = 127, 255


def library_title() -> str:
    """Name and version, as in `NNCF 3.4.0`."""
    return f"NNCF {nncf.__version__}"


def quantized(graph: onnx.ModelProto, inputs: Sequence[dict[str, NDArray[Any]]], *,
              in_float: Collection[str] | None = None) -> onnx.ModelProto:
    """A copy with explicit quantization (QuantizeLinear, DequantizeLinear) in front of its convolutions.

    Weights are int8 with a step for each output channel; activations are int8 with one symmetric step, which minimizes
    the error on the histogram of their values on the inputs. Biases, elementwise operators, matrix products and the
    first convolution, which reads pixels, stay in FP32, and the last one where it is small: its error is seen in the
    result as it is. in_float: names of the convolutions that stay in FP32 instead of those.

    Raises GraphError where NNCF cannot quantize the graph.
    """
    convolutions = [node for node in graph.graph.node if node.op_type == CONVOLUTION]
    if len(convolutions) < LEAST_CONVOLUTIONS:
        raise GraphError(f"The graph has {len(convolutions)} convolutions, too few to gain by INT8.",
                         remedy="Use it in FP32 or FP16, or in BF16 on a CPU.")
    kept = ends_in_float(graph) if in_float is None else in_float
    left = [node.name for node in graph.graph.node if node.op_type != CONVOLUTION or node.name in kept]
    parameters = AdvancedQuantizationParameters(
        disable_bias_correction=True,  # ours is better on networks with branches
        activations_range_estimator_params=RangeEstimatorParametersSet.HISTOGRAM,
        activations_quantization_params=QuantizationParameters(mode=QuantizationScheme.SYMMETRIC),
        weights_quantization_params=QuantizationParameters(mode=QuantizationScheme.SYMMETRIC, per_channel=True))
    try:
        with quiet("nncf"):
            made: onnx.ModelProto = nncf.quantize(
                graph, nncf.Dataset(list(inputs)), subset_size=len(inputs), advanced_parameters=parameters,
                ignored_scope=nncf.IgnoredScope(names=left))
    except Exception as error:  # NNCF documents none
        raise GraphError(f"{library_title()} cannot quantize the graph: {type(error).__name__}: "
                         f"{(str(error).splitlines() or [''])[0][:200]}.",
                         remedy="Use FP16, or BF16 on a CPU; report it with the model's `srn-deploy info`.") from error
    _make_signed(made)
    _multiply_quantized(made)
    return made


def ends_in_float(graph: onnx.ModelProto) -> tuple[str, ...]:
    """The names of the convolutions at the ends of a graph that `quantized` leaves in FP32."""
    convolutions = [node for node in graph.graph.node if node.op_type == CONVOLUTION]
    first, last = convolutions[0], convolutions[-1]
    return (first.name, last.name) if _is_small(last, graph) else (first.name,)


def _is_small(convolution: onnx.NodeProto, graph: onnx.ModelProto) -> bool:
    sizes = {one.name: math.prod(one.dims) for one in graph.graph.initializer}
    return bool(sizes.get(convolution.input[1], 0) <= SMALL_SHARE * sum(sizes.values()))


def _multiply_quantized(graph: onnx.ModelProto) -> None:
    """Let attention multiply the features that the convolutions beside it read: they are stored in 8 bits alone.

    It saves a tenth of the time and costs nothing that can be measured; the same for additions costs 0.01 to 0.08 dB.
    """
    stored = {node.output[0]: node.input[0] for node in graph.graph.node if node.op_type == "QuantizeLinear"}
    again = {stored[node.input[0]]: node.output[0] for node in graph.graph.node
             if node.op_type == "DequantizeLinear" and node.input[0] in stored}
    for node in graph.graph.node:
        if node.op_type == "Mul":
            node.input[:] = [again.get(name, name) for name in node.input]
    sort_nodes(graph)


def _make_signed(graph: onnx.ModelProto) -> None:
    """Give activations without negative values the type of all others, in place: TensorRT reads nothing else.

    NNCF can be asked for it only where such activations do not occur.
    """
    stored = {one.name: one for one in graph.graph.initializer}
    for node in graph.graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear") or len(node.input) < 3:
            continue
        zero = numpy_helper.to_array(stored[node.input[2]])
        if zero.dtype == np.uint8:
            step = numpy_helper.to_array(stored[node.input[1]])
            signed = step if zero.any() else step * np.float32(_MOST_WITHOUT_SIGN / _MOST)
            stored[node.input[1]].CopyFrom(numpy_helper.from_array(np.asarray(signed, np.float32), node.input[1]))
            stored[node.input[2]].CopyFrom(numpy_helper.from_array(np.zeros_like(zero, np.int8), node.input[2]))
    for value in graph.graph.value_info:
        if value.type.tensor_type.elem_type == onnx.TensorProto.UINT8:
            value.type.tensor_type.elem_type = onnx.TensorProto.INT8
