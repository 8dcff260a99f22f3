"""INT8 graphs: which one belongs to a model, and what runs it."""

from __future__ import annotations

import importlib.util

from srn_deploy.backends import Backend, open_on, open_on_openvino
from srn_deploy.backends.onnx_runtime import read_spec
from srn_deploy.errors import OptionError
from srn_deploy.registry.file_content import holds
from srn_deploy.registry.resolve import ModelKind, ResolvedModel, resolve_shipped
from srn_deploy.spec import Precision

_OPERATOR = b"DequantizeLinear"
"""Every INT8 graph has it, and hardly another one."""


def is_int8(model: ResolvedModel) -> bool:
    """Whether a model is an INT8 graph of ours; raises GraphError for a file that cannot be read."""
    return (model.kind is ModelKind.GRAPH and holds(model.path, _OPERATOR)
            and read_spec(model.path, model.sha256).precision is Precision.INT8)


def int8_graph_of(model: ResolvedModel) -> ResolvedModel:
    """The INT8 graph of a model: itself, or that of the shipped model; raises OptionError where there is none."""
    if model.kind is ModelKind.ENGINE or is_int8(model):
        return model
    if (found := shipped_int8_graph(model)) is not None:
        return found
    raise OptionError(f"{model.path.name} has no INT8 graph.",
                      remedy=f"Make one, and give it as the model: srn-deploy export {model.path} --int8")


def shipped_int8_graph(model: ResolvedModel) -> ResolvedModel | None:
    """The INT8 graph that is shipped with a graph or checkpoint, if there is one."""
    shipped = model.shipped
    if shipped is None or shipped.int8_graph is None:
        return None
    return resolve_shipped(shipped.int8_graph)


def open_int8(model: ResolvedModel, device: str) -> tuple[Backend, str]:
    """Open an INT8 graph on the CPU; also returns what runs it, where and why, without a full stop.

    device: "openvino", "cpu", which is ONNX Runtime, or "auto", which is OpenVINO where that is installed. Raises
    MissingPackage, OptionError and GraphError.
    """
    has_openvino = importlib.util.find_spec("openvino") is not None
    if device == "openvino" or (device == "auto" and has_openvino):
        backend, title = open_on_openvino(model, Precision.INT8)
        return backend, f"{title} on the CPU (its graph is in INT8)"
    own, title = open_on(model, "cpu")
    slow = "asked for" if device == "cpu" else "slower in INT8 than in FP32: OpenVINO is not installed"
    return own, f"{title} in INT8 on the CPU ({slow})"
