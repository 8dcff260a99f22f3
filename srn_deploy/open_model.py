"""Which artefact of a model runs, and on what: engine, CUDA or CPU, always with the reason."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable
from pathlib import Path

from srn_deploy.backends import Backend, check_device, open_backend, open_half, open_on
from srn_deploy.engine.store import EngineStore, StoredEngine
from srn_deploy.errors import OptionError, SrnDeployError, TilingError
from srn_deploy.inference.setup import Fp32Fallback
from srn_deploy.registry.shipped import corrections_for, find_graph, shipped_with
from srn_deploy.spec import AS_RECOGNISED, Corrections, PixelType, Precision, is_engine, is_graph
from srn_deploy.system.cuda_driver import why_no_gpu
from srn_deploy.system.hashing import sha256_of_file
from srn_deploy.tiling.shapes import Limits
from srn_deploy.tiling.windows import TileOptions, planned_windows
from srn_deploy.verification.verify import checkpoint_of, ensure_certified, reference_of

Tell = Callable[[str], None]

LARGE_PX = 10_000
"""A side that no engine takes whole."""

_log = logging.getLogger(__name__)


def open_model(model: str | Path | None = None, device: str = "auto", *, corrections: Corrections = AS_RECOGNISED,
               tell: Tell = _log.info) -> Backend:
    """Open a shipped model by name, any artefact by path, or the default model.

    device: "cpu" and "cuda" take the artefact as it is. "auto" takes an engine that was built from it and is in
    the cache, else CUDA (ONNX Runtime, then PyTorch in FP16), else the CPU. An engine is certified before its
    first use. corrections: of what a checkpoint's keys cannot tell. tell: receives sentences on what was taken and why.
    """
    check_device(device)
    path = find_graph(model)
    corrections = corrections_for(model, corrections)
    if is_engine(path):
        backend = open_backend(path, device, tell=tell)
        return _certified_by_name(backend, path, tell)
    if device != "auto" or why_no_gpu():
        return open_backend(path, device, corrections=corrections, tell=tell)
    return _on_gpu_or_cpu(path, corrections, tell)


def fp32_fallback_of(model: str | Path | None = None, device: str = "auto", *,
                     corrections: Corrections = AS_RECOGNISED, tell: Tell = _log.info) -> Fp32Fallback:
    """The same model in FP32 with float pixels, opened when it is wanted: a shipped one's float graph, or a checkpoint.

    Empty for a graph or an engine that was made of no shipped model.
    """
    def told(line: str) -> None:
        tell(f"In FP32 with float pixels: {line}")

    path = find_graph(model)
    if not (is_graph(path) or is_engine(path)):
        corrected = corrections_for(model, corrections)
        return Fp32Fallback(lambda: open_backend(path, device, corrections=corrected, tell=told))
    shipped = shipped_with(_graph_sha256(path))
    if shipped is None:
        return Fp32Fallback()
    return Fp32Fallback(lambda: open_backend(shipped.float_graph.checked_path(), device, tell=told))


def _graph_sha256(path: Path) -> str:
    """Of a graph, or of what an engine was built from."""
    if is_engine(path):
        return EngineStore(path.parent).open(path).manifest.identity.graph_sha256
    return sha256_of_file(path)


def _on_gpu_or_cpu(path: Path, corrections: Corrections, tell: Tell) -> Backend:
    """The first of the GPU's ways that works; what stood in the way of those before is told."""
    obstacles: list[str] = []
    engines = engines_of(path, EngineStore(), corrections)
    for engine in engines:
        try:
            backend, title = open_on(engine.path, "cuda")
            backend = _certified(backend, engine.path, title, path, tell)
        except SrnDeployError as error:
            obstacles.append(error.message.rstrip("."))
        else:
            tell(f"{title} on the GPU (an engine of it is in the cache)")
            return backend
    if not engines:
        obstacles.append("no engine of it is in the cache")
    for opened in _ways_without_engine(path, corrections):
        try:
            backend, title = opened()
        except SrnDeployError as error:
            obstacles.append(error.message.rstrip("."))
        else:
            tell(f"{title} on the GPU ({'; '.join(obstacles)})")
            return backend
    backend, title = open_on(path, "cpu", corrections)
    tell(f"{title} on the CPU ({'; '.join(obstacles)})")
    return backend


def _ways_without_engine(path: Path, corrections: Corrections) -> list[Callable[[], tuple[Backend, str]]]:
    """ONNX Runtime for a graph, then PyTorch for its checkpoint; without PyTorch there is only the first."""
    ways: list[Callable[[], tuple[Backend, str]]] = []
    if is_graph(path):
        ways.append(lambda: open_on(path, "cuda"))
    checkpoint = checkpoint_of(path)
    if checkpoint is not None and importlib.util.find_spec("torch") is not None:
        ways.append(lambda: open_half(checkpoint, corrections))
    return ways


def _certified(backend: Backend, path: Path, title: str, made_from: Path, tell: Tell) -> Backend:
    """The same backend; closed again where it is not certified."""
    try:
        ensure_certified(backend, path, title, against=reference_of(made_from), tell=tell)
    except BaseException:
        backend.close()
        raise
    return backend


def _certified_by_name(backend: Backend, path: Path, tell: Tell) -> Backend:
    """An engine that the user named runs without a certificate where there is no reference, and that is told."""
    try:
        ensure_certified(backend, path, path.name, tell=tell)
    except OptionError as error:
        tell(f"{path.name} stays without a certificate: {error.message.rstrip('.')}")
    except BaseException:
        backend.close()
        raise
    return backend


def engines_of(path: Path, store: EngineStore, corrections: Corrections = AS_RECOGNISED) -> list[StoredEngine]:
    """The engines of a graph or a checkpoint that take any picture, in FP16 first, then those that were built last."""
    sha256 = sha256_of_file(path)
    found = [engine for engine in store.engines()
             if _is_made_from(engine, path, sha256, corrections) and _serves_all(engine)]
    return sorted(found, key=lambda engine: (engine.spec.precision is not Precision.FP16,
                                             -engine.path.stat().st_mtime))


def _serves_all(engine: StoredEngine) -> bool:
    """Whether a large picture can be tiled into it, and one of 16 bits run where its graph could."""
    shapes = engine.manifest.identity.options.shapes
    if engine.spec.precision is Precision.FP16 and engine.spec.pixel_type is PixelType.FLOAT32:
        return False
    try:
        planned_windows(engine.spec, Limits(shapes=shapes), LARGE_PX, LARGE_PX, None, TileOptions())
    except TilingError:
        return False
    return True


def _is_made_from(engine: StoredEngine, path: Path, sha256: str, corrections: Corrections) -> bool:
    """By the graph's bytes, which cannot be corrected; of a checkpoint also that its options are those it has here."""
    if is_graph(path):
        return not corrections and engine.manifest.identity.graph_sha256 == sha256
    spec = engine.spec
    if spec.source_sha256 != sha256 or importlib.util.find_spec("torch") is None:
        return False
    from srn_deploy.architectures.checkpoint import load_checkpoint

    ours = load_checkpoint(path, corrections).spec
    return (spec.architecture, dict(spec.options), spec.value_range) == (
        ours.architecture, dict(ours.options), ours.value_range)
