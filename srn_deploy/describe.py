"""What a model file is, as rows for `srn-deploy info`."""

from __future__ import annotations

import importlib.util
from dataclasses import asdict
from pathlib import Path
from typing import Any

from srn_deploy.engine.store import EngineStore
from srn_deploy.external import with_spec
from srn_deploy.registry.resolve import ModelKind, ResolvedModel, resolve
from srn_deploy.spec import AS_RECOGNISED, Corrections, ModelSpec
from srn_deploy.system.documents import to_builtins
from srn_deploy.system.installed import need_packages


def described(model: str | None, corrections: Corrections = AS_RECOGNISED) -> dict[str, Any]:
    """The spec of a checkpoint, graph or engine, and where PyTorch is installed the cost of one pass at 256 x 256.

    The name of a shipped model means its checkpoint where PyTorch is installed, otherwise its graph. corrections apply
    to a checkpoint. Raises what `resolve` and reading the file raise, and MissingPackage for a checkpoint without
    PyTorch.
    """
    has_torch = importlib.util.find_spec("torch") is not None
    resolved = with_spec(resolve(model, corrections, wanted=ModelKind.CHECKPOINT if has_torch else ModelKind.GRAPH))
    return {"file": str(resolved.path), "spec_from": resolved.spec_origin.value, **_rows_of(resolved, has_torch)}


def _rows_of(model: ResolvedModel, has_torch: bool) -> dict[str, Any]:
    if model.kind is ModelKind.ENGINE:
        return _engine_rows(model.path)
    if model.kind is ModelKind.GRAPH:
        return _graph_rows(model, has_torch)
    need_packages(("torch",), f"Reading a checkpoint ({model.path.name})")
    return _checkpoint_rows(model)


def _engine_rows(path: Path) -> dict[str, Any]:
    """From the manifest; the engine itself is not loaded."""
    engine = EngineStore(path.parent).open(path)
    identity = engine.manifest.identity
    return {**_rows(engine.spec), "library": f"{identity.runtime} {identity.version}",
            "target": identity.target, "convolution_types": engine.manifest.convolutions,
            "certificate": engine.certification}


def _graph_rows(model: ResolvedModel, has_torch: bool) -> dict[str, Any]:
    from srn_deploy.backends.onnx_runtime import read_spec

    spec = read_spec(model.path, model.sha256)
    if not has_torch:
        return _rows(spec)
    from srn_deploy.architectures import build_from
    from srn_deploy.architectures.complexity import count

    if spec.origin:  # its network is not known here
        return _rows(spec)
    return {**_rows(spec), **asdict(count(build_from(spec)))}


def _checkpoint_rows(model: ResolvedModel) -> dict[str, Any]:
    from srn_deploy.architectures.complexity import count
    from srn_deploy.architectures.recognition.recognise import load_resolved

    loaded = load_resolved(model)
    weights = {"weights": loaded.weights} if loaded.weights else {}
    return {**_rows(loaded.spec), **weights, **asdict(count(loaded.network))}


def _rows(spec: ModelSpec) -> dict[str, Any]:
    return {name: value for name, value in to_builtins(spec).items() if value not in ("", [], ())}
