"""Which file of a model runs, and on what: an engine, CUDA or the CPU, always with the reason."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from srn_deploy.automatic import open_by_work
from srn_deploy.backends import (
    Backend,
    check_device,
    open_and_explain,
    open_backend,
    open_half,
    open_on,
    precision_named,
)
from srn_deploy.engine.store import EngineStore, StoredEngine
from srn_deploy.errors import OptionError, SrnDeployError, TilingError
from srn_deploy.external import with_spec
from srn_deploy.inference.setup import Fp32Fallback
from srn_deploy.quantized_graphs import int8_graph_of, is_int8, open_int8
from srn_deploy.registry.resolve import Model, ModelKind, ResolvedModel, resolve, resolve_shipped
from srn_deploy.registry.shipped import ShippedModel, shipped_with
from srn_deploy.spec import AS_RECOGNISED, Corrections, PixelType, Precision
from srn_deploy.system.cuda_driver import why_no_gpu
from srn_deploy.tiling.shapes import Limits
from srn_deploy.tiling.windows import TileOptions, planned_windows
from srn_deploy.tuning.choice import WayToRun
from srn_deploy.tuning.opening import open_engine_of, open_tuned
from srn_deploy.verification.cpu_precision import open_in_precision
from srn_deploy.verification.verify import ensure_certified

LARGE_PX = 10_000
"""A side that no engine takes whole."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class OpenRequest:
    """How a model is to be opened; see `open_model`."""

    device: str = "auto"
    precision: str = "auto"
    corrections: Corrections = AS_RECOGNISED
    pixels: Iterable[int] | None = None


@dataclass(frozen=True, kw_only=True)
class Opened:
    """A model that was opened, and the same in FP32; whoever asked for them closes both."""

    backend: Backend
    fallback: Fp32Fallback
    tuned: WayToRun | None
    """Where it was taken because it was measured to be the fastest here."""


def open_with_fallback(model: Model, request: OpenRequest) -> Opened:
    """Open a model, as `srn-deploy tune` found it to be the fastest or else as `open_model` does.

    Raises what `open_model` raises.
    """
    resolved = with_spec(resolve(model, request.corrections))
    fallback = fp32_fallback_of(resolved, request.device, precision=request.precision)
    backend, way = _tuned_or_default(resolved, request)
    if not fallback and backend.spec.precision is Precision.BF16:  # which auto took: the graph itself runs in FP32 too
        fallback = Fp32Fallback(lambda: _opened_in_fp32(resolved, request.device))
    return Opened(backend=backend, fallback=fallback, tuned=way)


def _tuned_or_default(model: ResolvedModel, request: OpenRequest) -> tuple[Backend, WayToRun | None]:
    """The way that was tuned, where the device is left to this machine, else that of `open_model`."""
    if request.device == "auto" and model.kind is not ModelKind.ENGINE:
        tuned = open_tuned(model, precision_named(request.precision), request.pixels)
        if tuned is not None:
            _log.info("%s.", tuned.what)
            return tuned.backend, tuned.way
    return open_model(model, request.device, precision=request.precision, pixels=request.pixels), None


def open_model(model: Model = None, device: str = "auto", *, precision: str = "auto",
               corrections: Corrections = AS_RECOGNISED, pixels: Iterable[int] | None = None) -> Backend:
    """Open a shipped or downloaded model by name, any artefact by path, a resolved model, or the default model.

    device: "cpu" and "cuda" take the artefact as it is, "openvino" runs a graph on the CPU. "auto" takes an engine that
    was built from it and is in the cache, otherwise CUDA (ONNX Runtime, then PyTorch in FP16), otherwise the CPU. An
    engine is certified before its first use. precision: "fp32" refuses artefacts in FP16 and ways in FP16; "bf16" is
    computed by OpenVINO, which "auto" then takes as the device; "int8" takes the INT8 graph of a shipped model
    that has one, and any other INT8 graph by its path. "auto" leaves it to the device: on OpenVINO BF16 where the CPU
    computes in it and the model is certified in it, otherwise FP32. corrections: what you know better than a
    checkpoint. pixels: of each image that will be upscaled, where that is known; "auto" for both device and precision
    then takes OpenVINO in BF16 on a CPU where that saves time. What is opened, and why, is logged.

    The caller closes the backend. Raises what `resolve` raises, OptionError for a precision that the device or the
    artefact does not have, and a CheckpointError, GraphError, EngineError, BackendError or NotCertified where the model
    cannot be opened.
    """
    check_device(device)
    wanted = precision_named(precision)
    resolved = with_spec(resolve(model, corrections))
    if wanted is Precision.INT8:
        resolved = int8_graph_of(resolved)
    if wanted in (None, Precision.INT8) and _runs_int8_on_cpu(resolved, device):
        backend, what = open_int8(resolved, device)
        _log.info("%s.", what)
        return backend
    if _runs_on_openvino(device, wanted):
        backend, what = open_in_precision(resolved, wanted)
        _log.info("%s.", what)
        return _in(wanted, backend, resolved)
    if wanted is Precision.BF16:
        raise OptionError(f"BF16 is not computed with --device {device}.",
                          remedy="Use --device openvino, which computes graphs in BF16, or --precision fp32.")
    if resolved.kind is ModelKind.ENGINE:
        return _certified_by_name(_in(wanted, open_backend(resolved, device), resolved), resolved)
    if device == "auto" and wanted is None and pixels is not None and (no_gpu := why_no_gpu()):
        return _on_cpu_by_work(resolved, pixels, no_gpu)
    if device != "auto" or why_no_gpu():
        return _in(wanted, open_backend(resolved, device), resolved)
    return _in(wanted, _on_gpu_or_cpu(resolved, wanted), resolved)


def _on_cpu_by_work(model: ResolvedModel, pixels: Iterable[int], no_gpu: str) -> Backend:
    """OpenVINO in BF16 where there is enough to do for it, else what the CPU runs without it."""
    found = open_by_work(model, pixels)
    if not isinstance(found, str):
        backend, what = found
        _log.info("%s.", what)
        return backend
    backend, title = open_on(model, "cpu")
    _log.info("%s on the CPU (%s).", title, "; ".join(filter(None, (no_gpu, found))))
    return backend


def _runs_int8_on_cpu(model: ResolvedModel, device: str) -> bool:
    return is_int8(model) and device != "cuda" and bool(device != "auto" or why_no_gpu())


def _runs_on_openvino(device: str, wanted: Precision | None) -> bool:
    """BF16 is OpenVINO's alone, so `auto` takes it where BF16 is asked for."""
    return device == "openvino" or (device == "auto" and wanted is Precision.BF16)


def _in(wanted: Precision | None, backend: Backend, model: ResolvedModel) -> Backend:
    """The backend; closed again, with an OptionError, where it computes in another precision than was asked for."""
    found = backend.spec.precision
    if wanted in (None, found):
        return backend
    backend.close()
    raise OptionError(f"{model.path.name} computes in {found.upper()}, not in {wanted.upper()}.",
                      remedy="Leave out --precision, or give the model in FP32.")


def fp32_fallback_of(model: Model = None, device: str = "auto", *, precision: str = "auto",
                     corrections: Corrections = AS_RECOGNISED) -> Fp32Fallback:
    """The same model in FP32 with float pixels, opened when it is first needed.

    It is the float graph of a shipped model, or the checkpoint itself. A graph that OpenVINO may run in BF16 has itself
    in FP32; any other graph or engine that was not made from a shipped model has none. Raises what `resolve` raises,
    and OptionError for an unknown device.
    """
    check_device(device)
    resolved = with_spec(resolve(model, corrections))
    on_openvino = _runs_on_openvino(device, precision_named(precision))
    chosen = "openvino" if on_openvino else device
    if resolved.kind is ModelKind.CHECKPOINT:
        return Fp32Fallback(lambda: _opened_in_fp32(resolved, device))
    shipped = _shipped_model_of(resolved)
    if shipped is not None:
        return Fp32Fallback(lambda: _opened_in_fp32(resolve_shipped(shipped.float_graph), chosen))
    return Fp32Fallback(lambda: _opened_in_fp32(resolved, chosen)) if on_openvino else Fp32Fallback()


def _opened_in_fp32(model: ResolvedModel, device: str) -> Backend:
    backend, what = open_and_explain(model, device)
    pixels = "float pixels" if backend.spec.pixel_type is PixelType.FLOAT32 else "8-bit pixels"
    _log.info("In FP32 with %s: %s.", pixels, what)
    return backend


def _shipped_model_of(model: ResolvedModel) -> ShippedModel | None:
    """The shipped model that a graph belongs to, or that an engine was built from."""
    if model.kind is ModelKind.ENGINE:
        return shipped_with(EngineStore(model.path.parent).open(model.path).manifest.identity.graph_sha256)
    return model.shipped


def _on_gpu_or_cpu(model: ResolvedModel, wanted: Precision | None) -> Backend:
    """Open the first of the ways that works, and log why those before it did not."""
    obstacles: list[str] = []
    engines = [engine for engine in engines_of(model, EngineStore()) if wanted in (None, engine.spec.precision)]
    for engine in engines:
        try:
            backend, title = open_engine_of(model, engine)
        except SrnDeployError as error:
            obstacles.append(error.message.rstrip("."))
        else:
            _log.info("%s on the GPU (an engine of it is in the cache).", title)
            return backend
    if not engines:
        obstacles.append("no engine of it is in the cache")
    for opened in _ways_without_engine(model, wanted):
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


def _ways_without_engine(model: ResolvedModel, wanted: Precision | None) -> list[Callable[[], tuple[Backend, str]]]:
    """ONNX Runtime for a graph, then PyTorch for its checkpoint; without PyTorch there is only the first."""
    ways: list[Callable[[], tuple[Backend, str]]] = []
    if model.kind is ModelKind.GRAPH:
        ways.append(lambda: open_on(model, "cuda"))
    checkpoint = model.checkpoint
    if checkpoint is not None and importlib.util.find_spec("torch") is not None:
        ways.append(lambda: open_half(checkpoint) if wanted is None else open_on(checkpoint, "cuda"))
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
    from srn_deploy.architectures.recognition.recognise import load_resolved

    ours = load_resolved(model).spec
    if spec.architecture != ours.architecture:
        return False
    options = ARCHITECTURES[spec.architecture].describe(spec.options).options  # with those that are newer than its spec
    return (dict(options), spec.value_range, spec.weights) == (dict(ours.options), ours.value_range, ours.weights)
