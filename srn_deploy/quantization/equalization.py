"""Channels scaled so that they share one step of quantization, which changes nothing that the graph computes in FP32.

An activation has one step for all of its channels, so a channel with small values loses more. Each is scaled by
`range^a / weight^(1 - a)` with a = 0.5 (Xiao et al., "SmoothQuant", ICML 2023, equation 4), as far as the convolutions
on both sides allow (Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019,
section 4.1). What makes a tensor has a step for each channel and loses nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from srn_deploy.quantization.calibration import values_inside
from srn_deploy.quantization.channel_groups import ChannelGroup, channel_groups

SHARE = 0.5
"""`a` above: how much of the difference between channels is moved from activations into weights."""

QUANTILE = 0.999
"""Of a channel's absolute values: its range without outliers."""

LARGEST_FACTOR = 100.0

_SMALLEST = 1e-4

ChannelValues = NDArray[np.float32]


def equalized(graph: onnx.ModelProto, inputs: Sequence[dict[str, NDArray[Any]]]) -> onnx.ModelProto:
    """A copy whose channels are scaled by the ranges that they have on these inputs."""
    copy = onnx.ModelProto()
    copy.CopyFrom(graph)
    groups = list(channel_groups(copy))
    if not groups:
        return copy
    ranges = _ranges(copy, sorted({node.input[0] for group in groups for node in group.readers}), inputs)
    stored = {one.name: one for one in copy.graph.initializer}
    weights = {name: np.array(numpy_helper.to_array(one)) for name, one in stored.items()}
    for group in groups:
        _scale(group, _factors(group, ranges, weights), weights)
    for node in {node.name: node for group in groups for node in (*group.makers, *group.readers)}.values():
        for name in node.input[1:]:
            stored[name].CopyFrom(numpy_helper.from_array(weights[name].astype(np.float32), name))
    return copy


def _ranges(graph: onnx.ModelProto, names: Sequence[str],
            inputs: Sequence[dict[str, NDArray[Any]]]) -> dict[str, ChannelValues]:
    """For each tensor the range of its channels: (C,), the largest of all inputs."""
    found: dict[str, ChannelValues] = {}
    for values in values_inside(graph, names, inputs):
        for name, tensor in zip(names, values, strict=True):
            channels = np.abs(tensor).swapaxes(0, 1).reshape(tensor.shape[1], -1)
            own = np.quantile(channels, QUANTILE, axis=1).astype(np.float32)
            found[name] = np.maximum(found.get(name, own), own)
    return found


def _factors(group: ChannelGroup, ranges: dict[str, ChannelValues], weights: dict[str, ChannelValues]) -> ChannelValues:
    """What each channel is divided by: (C,), with a geometric mean of 1."""
    activations = np.max([_relative(ranges[node.input[0]]) for node in group.readers], axis=0)
    read = np.max([_input_ranges(weights[node.input[1]]) for node in group.readers], axis=0)
    factors = np.maximum(activations, _SMALLEST) ** SHARE / np.maximum(read, _SMALLEST) ** (1 - SHARE)
    factors /= np.exp(np.log(factors).mean())
    clipped: ChannelValues = np.clip(factors, 1 / LARGEST_FACTOR, LARGEST_FACTOR)
    return clipped


def _relative(values: ChannelValues) -> ChannelValues:
    return values / max(float(values.max()), _SMALLEST)


def _input_ranges(weights: ChannelValues) -> ChannelValues:
    """How large the weights (O, C, h, w) for each input channel are, in steps of their output channels: (C,)."""
    steps = np.maximum(np.abs(weights).max(axis=(1, 2, 3), keepdims=True), 1e-12)
    largest: ChannelValues = (np.abs(weights) / steps).max(axis=(0, 2, 3))
    return largest


def _scale(group: ChannelGroup, factors: ChannelValues, weights: dict[str, ChannelValues]) -> None:
    for node in group.makers:
        weights[node.input[1]] /= factors[:, None, None, None]
        if len(node.input) > 2:
            weights[node.input[2]] /= factors
    for node in group.readers:
        weights[node.input[1]] *= factors[None, :, None, None]
