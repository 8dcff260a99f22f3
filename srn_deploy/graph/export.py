"""Exports networks to ONNX graphs, in the portable or the deploy form."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from srn_deploy.architectures.checkpoint import LoadedNetwork
from srn_deploy.architectures.forms import DeployForm, PortableForm
from srn_deploy.errors import GraphError, OptionError
from srn_deploy.graph.exact_tiling import TileableGraph, exactly_tileable
from srn_deploy.graph.onnx_file import half_precision_copy, stamped
from srn_deploy.spec import Form, ModelSpec, PixelType, Precision
from srn_deploy.system.quiet import quiet
from srn_deploy.tiling.tiles import rounded_up

OPSET = 18
"""Half-pixel Resize imports cleanly into TensorRT from 17 on; the exporter supports 18 and later."""

TRACED_BATCH = 2

TRACED_SIDES_PX = (48, 57)
"""At least, of the traced batch: unequal, none of them 1 or a multiple of the other."""


_TERMINAL_COLOUR = re.compile(r"\x1b\[[0-9;]*m")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """Which kind of graph to export."""

    form: Form = Form.DEPLOY
    precision: Precision = Precision.FP32
    pixel_type: PixelType = PixelType.UINT8
    """Of the deploy graph; the portable graph always takes and returns float32."""

    def __post_init__(self) -> None:
        if self.form is Form.CHECKPOINT:
            raise OptionError("A graph is portable or deploy.", remedy="Use Form.PORTABLE or Form.DEPLOY.")
        if self.precision is Precision.BF16:
            raise OptionError("No graph is made in bf16.", remedy="Use FP32, which OpenVINO computes in BF16.")
        is_narrow = self.precision is not Precision.FP32
        if is_narrow and self.pixel_type is PixelType.FLOAT32 and self.form is Form.DEPLOY:
            raise OptionError("Float pixels are for 16-bit images, and "
                              f"{self.precision.upper()} cannot represent 16 bits.",
                              remedy=f"Leave out --{self.precision} or --io float32.")


def export_graph(loaded: LoadedNetwork, options: ExportOptions, *,
                 completed: Callable[[onnx.ModelProto], onnx.ModelProto] = lambda graph: graph) -> onnx.ModelProto:
    """Trace a network into a graph with dynamic batch, height and width, with its spec in the metadata.

    completed: what is done to the traced graph before it is searched for grids. The grids that the deploy graph has
    stand in its spec; a spec that names others beforehand is contradicted. Raises GraphError if PyTorch cannot export
    the network.
    """
    if options.precision is Precision.INT8:
        raise OptionError("INT8 needs images to calibrate on.",
                          remedy="Use srn_deploy.quantization.export.export_int8.")
    portable = options.form is Form.PORTABLE
    pixel_type = PixelType.FLOAT32 if portable else options.pixel_type
    spec = replace(loaded.spec, form=options.form, pixel_type=pixel_type)
    graph = completed(_traced(loaded, spec))
    if not portable:
        tileable = exactly_tileable(graph, spec.size_multiple_px)
        graph, spec = tileable.graph, _with_grids(spec, tileable)
    graph = stamped(graph, spec)
    return half_precision_copy(graph) if options.precision is Precision.FP16 else graph


def _with_grids(spec: ModelSpec, tileable: TileableGraph) -> ModelSpec:
    if spec.grids and spec.grids != tileable.grids:
        raise GraphError(f"The exported graph has {len(tileable.grids)} grids, and not those of {spec.architecture}: "
                         f"{'; '.join(tileable.left) or 'other ones'}.",
                         remedy="Report this with the checkpoint's `srn-deploy info`.")
    for obstacle in tileable.left:
        _log.info("Tiles of this network are not exact: %s.", obstacle)
    return replace(spec, grids=tileable.grids)


def _traced(loaded: LoadedNetwork, spec: ModelSpec) -> onnx.ModelProto:
    form, inputs, shapes = _portable(loaded) if spec.form is Form.PORTABLE else _deploy(loaded, spec)
    try:
        with quiet("torch.onnx"):
            program = torch.onnx.export(
                form.eval(), tuple(inputs.values()), dynamo=True, opset_version=OPSET, external_data=False,
                input_names=list(inputs), output_names=["upscaled"], dynamic_shapes=shapes, verbose=False)
    except torch.onnx.OnnxExporterError as error:
        remedy = ("Change what the message names in its code, for example .view to .reshape, or a size that Python "
                  "computes, and try again." if spec.origin else "Report this with the checkpoint's `srn-deploy info`.")
        raise GraphError(f"PyTorch cannot export this network: {_innermost(error)}.", remedy=remedy) from error
    assert program is not None
    return _without_remarks(program.model_proto)


def _innermost(error: BaseException) -> str:
    """What went wrong first, in one line: the exporter wraps it in sentences about itself."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip().rstrip(".") for line in _TERMINAL_COLOUR.sub("", str(error)).splitlines() if line.strip()]
    return f"{type(error).__name__}{f': {lines[0][:300]}' if lines else ''}"


def _without_remarks(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Remove the exporter's stack traces, which contain paths of the machine that exported."""
    for part in (graph.graph, *graph.graph.node, *graph.graph.value_info, *graph.functions):
        del part.metadata_props[:]
        part.ClearField("doc_string")
    return graph


def _portable(loaded: LoadedNetwork) -> tuple[nn.Module, dict[str, Tensor], dict[str, Any]]:
    height, width = _traced_sides(loaded.spec)
    return (PortableForm(loaded.network, loaded.spec.value_range),
            {"rgb": torch.zeros(TRACED_BATCH, 3, height, width)},
            {"rgb": {0: "batch", 2: "height", 3: "width"}})


def _deploy(loaded: LoadedNetwork, spec: ModelSpec) -> tuple[nn.Module, dict[str, Tensor], dict[str, Any]]:
    dtype = torch.uint8 if spec.pixel_type is PixelType.UINT8 else torch.float32
    inputs = {"pixels": torch.zeros(TRACED_BATCH, *_traced_sides(spec), 3, dtype=dtype)}
    shapes: dict[str, Any] = {"pixels": {0: "batch", 1: "height", 2: "width"}}
    return DeployForm(loaded.network, spec.value_range, spec.pixel_type), inputs, shapes


def _traced_sides(spec: ModelSpec) -> tuple[int, int]:
    """Of the traced batch: such that the network takes them, and unequal."""
    height, width = (rounded_up(max(side, spec.min_side_px), spec.size_multiple_px) for side in TRACED_SIDES_PX)
    return height, width if width != height else width + spec.size_multiple_px
