"""Biases that take back the mean error of quantization, convolution after convolution.

Rounded weights shift the mean of each output channel. The bias takes the shift back where it arises, with all earlier
ones corrected (Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019,
section 4.2, with means that are measured).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from srn_deploy.quantization.calibration import values_inside
from srn_deploy.quantization.channel_groups import CONVOLUTION, IMAGE_DIMENSIONS

MOST_INPUTS = 8
"""Means settle after a few images."""


def correct_biases(quantized: onnx.ModelProto, original: onnx.ModelProto,
                   inputs: Sequence[dict[str, NDArray[Any]]]) -> None:
    """Change the biases of a quantized graph in place; original: the FP32 graph that it was made from."""
    few = inputs[:MOST_INPUTS]
    biases = {one.name: one for one in quantized.graph.initializer}
    sides = {one.name: len(one.dims) for one in original.graph.initializer}
    biased = [node for node in original.graph.node if node.op_type == CONVOLUTION and len(node.input) > 2
              and node.input[2] in biases and sides.get(node.input[1]) == IMAGE_DIMENSIONS]
    wanted = _means(original, [node.output[0] for node in biased], few)
    for node, mean in zip(biased, wanted, strict=True):
        name = node.input[2]
        shift = mean - _means(quantized, [node.output[0]], few)[0]
        bias = numpy_helper.to_array(biases[name])
        biases[name].CopyFrom(numpy_helper.from_array((bias + shift).astype(np.float32), name))


def _means(graph: onnx.ModelProto, names: Sequence[str],
           inputs: Sequence[dict[str, NDArray[Any]]]) -> list[NDArray[np.float64]]:
    """The mean of each channel of each tensor over all inputs."""
    runs = [[tensor.mean(axis=(0, 2, 3), dtype=np.float64) for tensor in values]
            for values in values_inside(graph, names, inputs)]
    return [np.mean(one, axis=0) for one in zip(*runs, strict=True)]
