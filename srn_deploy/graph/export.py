"""Exports networks to ONNX graphs, in the portable or the deploy form."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from srn_deploy.architectures.checkpoint import LoadedNetwork
from srn_deploy.architectures.forms import DeployForm, PortableForm
from srn_deploy.errors import GraphError, OptionError
from srn_deploy.graph.onnx_file import half_precision_copy, stamped
from srn_deploy.spec import Form, ModelSpec, PixelType, Precision
from srn_deploy.tiling.interpolation import whole_geometry

OPSET = 18
"""Half-pixel Resize imports cleanly into TensorRT from 17 on; the exporter supports 18 and later."""

TRACED_SHAPE = (2, 48, 57)
"""(N, H, W) of the traced batch: unequal sides, none of them 1 or a multiple of the other."""


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
        if self.precision not in (Precision.FP32, Precision.FP16):
            raise OptionError(f"No graph is made in {self.precision}.", remedy="Use FP32 or FP16.")
        if self.precision is Precision.FP16 and self.pixel_type is PixelType.FLOAT32 and self.form is Form.DEPLOY:
            raise OptionError("Float pixels are for 16-bit images, and FP16 cannot represent 16 bits.",
                              remedy="Leave out --fp16 or --io float32.")


def export_graph(loaded: LoadedNetwork, options: ExportOptions) -> onnx.ModelProto:
    """Trace a network into a graph with dynamic batch, height and width, with its spec in the metadata.

    Raises GraphError if PyTorch cannot export the network.
    """
    portable = options.form is Form.PORTABLE
    pixel_type = PixelType.FLOAT32 if portable else options.pixel_type
    spec = replace(loaded.spec, form=options.form, pixel_type=pixel_type)
    graph = stamped(_traced(loaded, spec), spec)
    return half_precision_copy(graph) if options.precision is Precision.FP16 else graph


def _traced(loaded: LoadedNetwork, spec: ModelSpec) -> onnx.ModelProto:
    form, inputs, shapes = _portable(loaded) if spec.form is Form.PORTABLE else _deploy(loaded, spec)
    try:
        with _quiet_exporter():
            program = torch.onnx.export(
                form.eval(), tuple(inputs.values()), dynamo=True, opset_version=OPSET, external_data=False,
                input_names=list(inputs), output_names=["upscaled"], dynamic_shapes=shapes, verbose=False)
    except torch.onnx.OnnxExporterError as error:
        raise GraphError(f"PyTorch cannot export this network: {str(error).splitlines()[0]}",
                         remedy="Report this with the checkpoint's `srn-deploy info`.") from error
    assert program is not None
    return _without_remarks(program.model_proto)


def _without_remarks(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Remove the exporter's stack traces, which contain paths of the machine that exported."""
    for part in (graph.graph, *graph.graph.node, *graph.graph.value_info, *graph.functions):
        del part.metadata_props[:]
        part.ClearField("doc_string")
    return graph


def _portable(loaded: LoadedNetwork) -> tuple[nn.Module, dict[str, Tensor], dict[str, Any]]:
    batch, height, width = TRACED_SHAPE
    return (PortableForm(loaded.network, loaded.spec.value_range),
            {"rgb": torch.zeros(batch, 3, height, width)},
            {"rgb": {0: "batch", 2: "height", 3: "width"}})


def _deploy(loaded: LoadedNetwork, spec: ModelSpec) -> tuple[nn.Module, dict[str, Tensor], dict[str, Any]]:
    dtype = torch.uint8 if spec.pixel_type is PixelType.UINT8 else torch.float32
    inputs = {"pixels": torch.zeros(*TRACED_SHAPE, 3, dtype=dtype)}
    shapes: dict[str, Any] = {"pixels": {0: "batch", 1: "height", 2: "width"}}
    if spec.has_esa:
        geometry = whole_geometry(*TRACED_SHAPE)
        inputs |= {"rows": torch.from_numpy(geometry.rows), "cols": torch.from_numpy(geometry.cols)}
        shapes |= {"rows": {0: "batch", 1: "height", 2: "row_cells"}, "cols": {0: "batch", 1: "width", 2: "col_cells"}}
    return DeployForm(loaded.network, spec.value_range, spec.pixel_type), inputs, shapes


@contextlib.contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Suppress the exporter's progress and its messages about its own internals."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
