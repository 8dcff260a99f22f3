"""The deploy graph or the engine of a model as it is, for clients that tile themselves, where the server can run it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from srn_deploy.engine.library import Runtime
from srn_deploy.engine.store import EngineStore
from srn_deploy.errors import OptionError, UnsuitableServer
from srn_deploy.open_model import engines_of
from srn_deploy.registry.resolve import ModelKind, ResolvedModel
from srn_deploy.serving.options import parsed_version
from srn_deploy.system.installed import installed_versions

READS_IR_10 = (1, 18)
"""The first ONNX Runtime that reads files of IR version 10, with opset 21 at most (its table of versions)."""

LATEST_IR, LATEST_OPSET = 10, 21

_SAME_NUMBERS = 3
"""Of the version of TensorRT: a plan runs on the release that built it."""


@dataclass(frozen=True, kw_only=True)
class BareModel:
    """A file that a backend of the server runs as it is."""

    suffix: str
    """Of the name under which it is served, after that of the model."""
    platform: str
    """As Triton calls the backend for it."""
    source: Path
    file: str
    """As the backend wants the file to be called."""
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    """Name, data type and dims of each tensor; none where the server reads them from the file."""


def bare_graph(model: ResolvedModel, server: str) -> BareModel:
    """The deploy graph for ONNX Runtime in this version.

    Raises OptionError for a model that is no graph, UnsuitableServer where that version cannot read it.
    """
    if model.kind is not ModelKind.GRAPH:
        raise OptionError(f"{model.path.name} is no graph, which ONNX Runtime would run.",
                          remedy="Export it first with `srn-deploy export`, or leave out --onnxruntime.")
    graph = onnx.load(str(model.path), load_external_data=False)
    opset = max(entry.version for entry in graph.opset_import if entry.domain in ("", "ai.onnx"))
    is_plain = graph.ir_version <= LATEST_IR and opset <= LATEST_OPSET
    # A later file was read by the ONNX Runtime that is installed here, so that one suffices.
    needed = READS_IR_10 if is_plain else parsed_version(installed_versions(["onnxruntime"])["onnxruntime"])
    if parsed_version(server) < needed:
        least = ".".join(map(str, needed))
        raise UnsuitableServer(f"{model.path.name} needs ONNX Runtime {least}, and the server has {server}: the file "
                               f"is of IR version {graph.ir_version} and opset {opset}.",
                               remedy="Use a later server, or leave out --onnxruntime: the Python model needs none.")
    return BareModel(suffix="-graph", platform="onnxruntime_onnx", source=model.path, file="model.onnx",
                     inputs=[_described(each) for each in graph.graph.input],
                     outputs=[_described(each) for each in graph.graph.output])


def bare_engine(model: ResolvedModel, server: str, store: EngineStore | None = None) -> BareModel:
    """The engine of a model for TensorRT in this version: the model itself, or one that is in the cache.

    Raises UnsuitableServer where there is none that was built by this version of TensorRT.
    """
    if model.kind is ModelKind.ENGINE:
        engines = [EngineStore(model.path.parent).open(model.path)]
    else:
        engines = engines_of(model, store or EngineStore())
    wanted, others = parsed_version(server)[:_SAME_NUMBERS], []
    for engine in engines:
        built = engine.manifest.identity
        if built.runtime is Runtime.TENSORRT and parsed_version(built.version)[:_SAME_NUMBERS] == wanted:
            return BareModel(suffix="-engine", platform="tensorrt_plan", source=engine.path, file="model.plan",
                             inputs=[], outputs=[])
        others.append(f"{engine.path.name} was built by {built.runtime} {built.version}")
    found = "; ".join(others) or f"there is no engine of {model.path.name} in the cache"
    raise UnsuitableServer(f"The server has TensorRT {server}, and {found}.",
                           remedy=f"Build one with TensorRT {server}: srn-deploy build-engine --runtime tensorrt")


def _described(tensor: Any) -> dict[str, Any]:
    given = tensor.type.tensor_type
    kind = onnx.TensorProto.DataType.Name(given.elem_type)
    return {"name": tensor.name, "data_type": f"TYPE_{'FP32' if kind == 'FLOAT' else kind}",
            "dims": [dim.dim_value or -1 for dim in given.shape.dim]}
