"""Which file of a model runs, and on what: an engine, CUDA or the CPU, always with the reason."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable

from srn_deploy.backends import Backend, check_device, open_and_explain, open_backend, open_half, open_on
from srn_deploy.engine.store import EngineStore, StoredEngine
from srn_deploy.errors import OptionError, SrnDeployError, TilingError
from srn_deploy.inference.setup import Fp32Fallback
from srn_deploy.registry.resolve import Model, ModelKind, ResolvedModel, resolve, resolve_file, resolve_shipped
from srn_deploy.registry.shipped import ShippedModel, shipped_with
from srn_deploy.spec import AS_RECOGNISED, Corrections, PixelType, Precision
from srn_deploy.system.cuda_driver import why_no_gpu
from srn_deploy.tiling.shapes import Limits
from srn_deploy.tiling.windows import TileOptions, planned_windows
from srn_deploy.verification.verify import ensure_certified, reference_of

LARGE_PX = 10_000
"""A side that no engine takes whole."""

_log = logging.getLogger(__name__)


def open_model(model: Model = None, device: str = "auto", *, corrections: Corrections = AS_RECOGNISED) -> Backend:
    """Open a shipped or downloaded model by name, any artefact by path, a resolved model, or the default model.

    device: "cpu" and "cuda" take the artefact as it is. "auto" takes an engine that was built from it and is in
    the cache, otherwise CUDA (ONNX Runtime, then PyTorch in FP16), otherwise the CPU. An engine is certified before its
    first use. corrections: what you know better than a checkpoint. What is opened, and why, is logged.

    The caller closes the backend. Raises what `resolve` raises, and a CheckpointError, GraphError, EngineError,
    BackendError or NotCertified where the model cannot be opened.
    """
    check_device(device)
    resolved = resolve(model, corrections)
    if resolved.kind is ModelKind.ENGINE:
        return _certified_by_name(open_backend(resolved, device), resolved)
    if device != "auto" or why_no_gpu():
        return open_backend(resolved, device)
    return _on_gpu_or_cpu(resolved)


def fp32_fallback_of(model: Model = None, device: str = "auto", *,
                     corrections: Corrections = AS_RECOGNISED) -> Fp32Fallback:
    """The same model in FP32 with float pixels, opened when it is first needed.

    It is the float graph of a shipped model, or the checkpoint itself; empty for a graph or an engine that was not
    made from a shipped model. Raises what `resolve` raises.
    """
    resolved = resolve(model, corrections)
    if resolved.kind is ModelKind.CHECKPOINT:
        return Fp32Fallback(lambda: _opened_in_fp32(resolved, device))
    shipped = _shipped_model_of(resolved)
    if shipped is None:
        return Fp32Fallback()
    return Fp32Fallback(lambda: _opened_in_fp32(resolve_shipped(shipped.float_graph), device))


def _opened_in_fp32(model: ResolvedModel, device: str) -> Backend:
    backend, what = open_and_explain(model, device)
    _log.info("In FP32 with float pixels: %s.", what)
    return backend


def _shipped_model_of(model: ResolvedModel) -> ShippedModel | None:
    """The shipped model that a graph belongs to, or that an engine was built from."""
    if model.kind is ModelKind.ENGINE:
        return shipped_with(EngineStore(model.path.parent).open(model.path).manifest.identity.graph_sha256)
    return model.shipped


def _on_gpu_or_cpu(model: ResolvedModel) -> Backend:
    """Open the first of the ways that works, and log why those before it did not."""
    obstacles: list[str] = []
    engines = engines_of(model, EngineStore())
    for engine in engines:
        try:
            backend, title = _opened_engine(engine, model)
        except SrnDeployError as error:
            obstacles.append(error.message.rstrip("."))
        else:
            _log.info("%s on the GPU (an engine of it is in the cache).", title)
            return backend
    if not engines:
        obstacles.append("no engine of it is in the cache")
    for opened in _ways_without_engine(model):
        try:
            backend, title = opened()
        except SrnDeployError as error:
            obstacles.append(error.message.rstrip("."))
        else:
            _log.info("%s on the GPU (%s).", title, "; ".join(obstacles))
            return backend
    backend, title = open_on(model, "cpu")
    _log.info("%s on the CPU (%s).", title, "; ".join(obstacles))
    return backend


def _opened_engine(engine: StoredEngine, made_from: ResolvedModel) -> tuple[Backend, str]:
    """An engine of the cache and its title; closed again where it is not certified."""
    model = resolve_file(engine.path)
    backend, title = open_on(model, "cuda")
    try:
        ensure_certified(backend, model, title, against=reference_of(made_from))
    except BaseException:
        backend.close()
        raise
    return backend, title


def _ways_without_engine(model: ResolvedModel) -> list[Callable[[], tuple[Backend, str]]]:
    """ONNX Runtime for a graph, then PyTorch for its checkpoint; without PyTorch there is only the first."""
    ways: list[Callable[[], tuple[Backend, str]]] = []
    if model.kind is ModelKind.GRAPH:
        ways.append(lambda: open_on(model, "cuda"))
    checkpoint = model.checkpoint
    if checkpoint is not None and importlib.util.find_spec("torch") is not None:
        ways.append(lambda: open_half(checkpoint))
    return ways


def _certified_by_name(backend: Backend, model: ResolvedModel) -> Backend:
    """Certify an engine that the user named; without a reference it runs all the same, and that is logged."""
    try:
        ensure_certified(backend, model, model.path.name)
    except OptionError as error:
        _log.warning("%s stays without a certificate: %s.", model.path.name, error.message.rstrip("."))
    except BaseException:
        backend.close()
        raise
    return backend


def engines_of(model: ResolvedModel, store: EngineStore) -> list[StoredEngine]:
    """The engines of a graph or a checkpoint that take images of any size: FP16 first, then the latest first."""
    found = [engine for engine in store.engines() if _is_made_from(engine, model) and _serves_all(engine)]
    return sorted(found, key=lambda engine: (engine.spec.precision is not Precision.FP16,
                                             -engine.path.stat().st_mtime))


def _serves_all(engine: StoredEngine) -> bool:
    """Whether it can run tiles of a large image, and does not cut 16-bit images to the precision of FP16."""
    if engine.spec.precision is Precision.FP16 and engine.spec.pixel_type is PixelType.FLOAT32:
        return False
    limits = Limits(shapes=engine.manifest.identity.options.shapes)
    try:
        planned_windows(engine.spec, limits, LARGE_PX, LARGE_PX, None, TileOptions())
    except TilingError:
        return False
    return True


def _is_made_from(engine: StoredEngine, model: ResolvedModel) -> bool:
    """Whether it was built from this graph, or exported from this checkpoint with the options that hold here."""
    if model.kind is ModelKind.GRAPH:
        return engine.manifest.identity.graph_sha256 == model.sha256
    spec = engine.spec
    if spec.source_sha256 != model.sha256 or importlib.util.find_spec("torch") is None:
        return False
    from srn_deploy.architectures import ARCHITECTURES
    from srn_deploy.architectures.recognition import load_resolved

    ours = load_resolved(model).spec
    if spec.architecture != ours.architecture:
        return False
    options = ARCHITECTURES[spec.architecture].describe(spec.options).options  # with those that are newer than its spec
    return (dict(options), spec.value_range) == (dict(ours.options), ours.value_range)
