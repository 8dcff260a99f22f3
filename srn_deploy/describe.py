"""What an artefact is, as rows for people and programs."""

from __future__ import annotations

import importlib.util
from dataclasses import asdict
from pathlib import Path
from typing import Any

from srn_deploy.engine.store import EngineStore
from srn_deploy.errors import missing_package, not_correctable
from srn_deploy.registry.shipped import corrections_for, find_checkpoint, find_graph
from srn_deploy.spec import AS_RECOGNISED, Corrections, ModelSpec, is_engine, is_graph


def described(name_or_path: str | None, corrections: Corrections = AS_RECOGNISED) -> dict[str, Any]:
    """The spec of a checkpoint or graph, and where PyTorch is installed its cost at 256 x 256.

    A model's name means its checkpoint where PyTorch is installed, else, where it is shipped, its graph. corrections
    apply to a checkpoint; a graph carries what it was exported with.
    """
    has_torch = importlib.util.find_spec("torch") is not None
    path = (find_checkpoint if has_torch else find_graph)(name_or_path)
    if is_graph(path) or is_engine(path):
        if corrections:
            raise not_correctable(path.name)
        return {"file": str(path), **(_engine_rows(path) if is_engine(path) else _graph_rows(path, has_torch))}
    if not has_torch:
        raise missing_package("torch", f"Reading a checkpoint ({path.name})")
    return {"file": str(path), **_checkpoint_rows(path, corrections_for(name_or_path, corrections))}


def _engine_rows(path: Path) -> dict[str, Any]:
    """By its manifest alone; nothing is loaded."""
    engine = EngineStore(path.parent).open(path)
    identity = engine.manifest.identity
    return {**_rows(engine.spec), "library": f"{identity.runtime} {identity.version}",
            "target": identity.target, "convolution_types": engine.manifest.convolutions,
            "certificate": engine.certification}


def _graph_rows(path: Path, has_torch: bool) -> dict[str, Any]:
    from srn_deploy.backends.onnx_runtime import read_spec

    spec = read_spec(path)
    if not has_torch:
        return _rows(spec)
    from srn_deploy.architectures import build_from
    from srn_deploy.architectures.complexity import count

    return {**_rows(spec), **asdict(count(build_from(spec)))}


def _checkpoint_rows(path: Path, corrections: Corrections) -> dict[str, Any]:
    from srn_deploy.architectures.checkpoint import load_checkpoint
    from srn_deploy.architectures.complexity import count

    loaded = load_checkpoint(path, corrections)
    return {**_rows(loaded.spec), **asdict(count(loaded.network))}


def _rows(spec: ModelSpec) -> dict[str, Any]:
    return {name: value for name, value in asdict(spec).items() if value != ""}
