"""ONNX graphs on OpenVINO, on the CPU in FP32, BF16 or INT8: the only file that imports OpenVINO."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srn_deploy.backends.batch import (
    black_pixels,
    check_batch,
    check_shape,
    fixed_limits,
    from_portable,
    is_large_run,
    matrices_of,
    output_shape,
    to_portable,
)
from srn_deploy.backends.compiled_models import CompiledFile, CompiledIdentity, CompiledModel
from srn_deploy.backends.first_run import cannot_be_read, ensure_runs
from srn_deploy.backends.protocol import Batch
from srn_deploy.errors import BackendError, DeviceUnavailable, GraphError, OptionError, OutOfMemory, SrnDeployError
from srn_deploy.spec import SPEC_KEY, Form, ModelSpec, Precision, spec_in
from srn_deploy.system.hashing import sha256_of_file
from srn_deploy.system.telemetry import without_telemetry
from srn_deploy.system.threads import thread_limit
from srn_deploy.tiling.interpolation import Geometry
from srn_deploy.tiling.shapes import Limits

with without_telemetry():
    import openvino as ov

_CPU = "CPU"
_TYPES = {Precision.FP32: "f32", Precision.BF16: "bf16", Precision.INT8: "f32"}
"""What OpenVINO calls them. One is always asked for: left alone it computes in BF16 where the CPU can. INT8 is in the
graph, and what is left of it stays in FP32."""

_OPTIONS = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1", "CPU_RUNTIME_CACHE_CAPACITY": "0"}
"""The last because by default the kernels of every shape that was ever run stay in memory, 2 MB for each."""

_ERRORS = (RuntimeError, ValueError, TypeError, MemoryError)  # the first nearly always, its bindings the others


class OpenVinoBackend:
    """A compiled graph. A deploy graph takes the pixel type it was exported for, a portable one both.

    precision: FP32 or BF16 for an FP32 graph; INT8 for an INT8 graph, which runs in nothing else. A graph in FP16 runs
    in FP32 between its roundings. sha256: of the file, where it is known.
    Threads take turns. Raises GraphError, OptionError, and DeviceUnavailable for BF16 on a CPU without it.
    """

    def __init__(self, path: Path, precision: Precision = Precision.FP32, sha256: str | None = None) -> None:
        self._path, self._closed, self._lock, self._threads = path, False, Lock(), thread_limit()
        self.identity = identity_of(path, precision, sha256)
        """Of the compiled model; a certificate of it holds for equal ones."""
        self._spec, self._model = _opened(path, self.identity, self._threads)
        self._request: Any = self._model.create_infer_request()
        self._large_shape: tuple[int, ...] | None = None
        sides = [side.get_length() if side.is_static else None for side in self._model.inputs[0].partial_shape]
        self._limits = fixed_limits(sides, self._spec)

    @property
    def spec(self) -> ModelSpec:
        """The spec in the metadata of the graph, with the precision that it runs in."""
        return self._spec

    @property
    def limits(self) -> Limits:
        """Any size, or the one that the graph is for."""
        return self._limits

    def run(self, batch: Batch, geometry: Geometry | None = None) -> Batch:
        """Upscale (N, H, W, 3) to (N, scale*H, scale*W, 3); a new array of the same dtype."""
        portable = self._spec.form is Form.PORTABLE
        check_batch(batch, geometry, self._spec, self._limits)
        pixels = to_portable(batch) if portable else batch
        with self._working():
            self._keep_memory_for(pixels)
            upscaled = _Pass(self._request, pixels, matrices_of(batch, geometry, self._spec), self._spec).run()
        return from_portable(upscaled, batch.dtype) if portable else upscaled

    def prepare(self, shape: tuple[int, int, int]) -> Callable[[], None]:
        """A step that runs one batch of black images in buffers of its own."""
        check_shape(shape, self._spec, self._limits)
        pixels = black_pixels(shape, self._spec)
        with self._working():
            one = _Pass(self._model.create_infer_request(), pixels, matrices_of(pixels, None, self._spec), self._spec)

        def step() -> None:
            with self._working():
                one.run()

        return step

    def _keep_memory_for(self, pixels: Batch) -> None:
        """Give back the memory of a large run unless this one has its shape: the tiles of an image share theirs."""
        if self._large_shape not in (None, pixels.shape):
            self._model.release_memory()
        self._large_shape = pixels.shape if is_large_run(pixels, self._spec) else None

    def close(self) -> None:
        """Free the model; calling it twice is harmless."""
        self._closed = True
        self._request = self._model = None

    @contextmanager
    def _working(self) -> Iterator[None]:
        """One thread at a time. After a failure the model is opened again: what is left of it computes nonsense."""
        with self._lock:
            if self._closed:
                raise BackendError("This backend has been closed.", remedy="Open the artefact again.")
            if self._model is None:
                _, self._model = _opened(self._path, self.identity, self._threads)
                self._request = self._model.create_infer_request()
            try:
                yield
            except BackendError:
                self._request = self._model = None
                raise


def why_no_bf16() -> str:
    """Why OpenVINO does not compute in BF16 on this CPU; empty where it does.

    The CPU needs instructions for BF16, and OpenVINO must use them: otherwise it simulates BF16, or refuses it.
    """
    if "BF16" in _property("OPTIMIZATION_CAPABILITIES") and "bfloat16" in _instruction_set():
        return ""
    return f"the CPU does not compute in BF16: {cpu_title()}"


def cpu_title() -> str:
    """The CPU and the instruction set that OpenVINO uses on it, for messages and identities."""
    return f"{_property('FULL_DEVICE_NAME')}, {_instruction_set() or 'instruction set unknown'}"


def library_title() -> str:
    """Name and version, as in `OpenVINO 2026.4.1`."""
    return f"OpenVINO {str(ov.__version__).partition('-')[0]}"


@functools.cache
def _core() -> Any:
    return ov.Core()


@functools.cache
def _property(name: str) -> Any:
    return _core().get_property(_CPU, name)


@functools.cache
def _instruction_set() -> str:
    """What compiled models require: the CPU's, or less where ONEDNN_MAX_CPU_ISA caps it; empty if it is not said."""
    values = ov.opset13.parameter([1], ov.Type.f32)
    smallest = ov.Model([ov.opset13.relu(values)], [values])
    try:
        required = str(_core().compile_model(smallest, _CPU, _settings(Precision.FP32, 1)).get_property(
            "RUNTIME_REQUIREMENTS"))
    except _ERRORS:  # a version or a processor that does not say
        return ""
    return next((part.partition("=")[2] for part in required.split(";") if part.startswith("isa=")), "")


def _settings(precision: Precision, threads: int) -> dict[str, str]:
    """How a model is compiled and run. threads: 0 leaves the number to OpenVINO, one for each physical core.

    They stay unpinned, or two processes would share the first cores.
    """
    chosen = {"INFERENCE_NUM_THREADS": str(threads), "ENABLE_HYPER_THREADING": "YES"} if threads else {}
    return {**_OPTIONS, "INFERENCE_PRECISION_HINT": _TYPES[precision], "ENABLE_CPU_PINNING": "NO", **chosen}


def identity_of(path: Path, precision: Precision, sha256: str | None) -> CompiledIdentity:
    """What a compiled model depends on. sha256: of the graph; None to compute it."""
    if precision not in _TYPES:
        raise OptionError(f"OpenVINO is not used in {precision}.", remedy=f"Use {' or '.join(_TYPES)}.")
    if precision is Precision.BF16 and (reason := why_no_bf16()):
        raise DeviceUnavailable(f"BF16 is not possible here: {reason}.",
                                remedy="Use --precision fp32, or auto, which chooses by the CPU.")
    try:
        known = sha256 or sha256_of_file(path)
    except OSError as error:
        raise cannot_be_read(path, error) from error
    return CompiledIdentity(graph_sha256=known, precision=precision, library=library_title(), cpu=cpu_title(),
                            options=_OPTIONS)


def _opened(path: Path, identity: CompiledIdentity, threads: int) -> tuple[ModelSpec, Any]:
    """The spec and the compiled model of a graph, from the cache where it is there."""
    precision, file = identity.precision, CompiledFile(path.stem, identity)
    if (kept := file.read()) is not None:
        try:
            model = _core().import_model(io.BytesIO(kept.blob), _CPU, _settings(precision, threads))
        except _ERRORS as error:
            file.ignore(_reason(error))
        else:
            return _running_in(precision, kept.spec), model
    ensure_runs(path, "openvino", str(ov.__version__), identity.graph_sha256)
    own, model = _compiled(path, precision, threads)
    file.write(CompiledModel(spec=own, blob=model.export_model().getvalue()))
    return _running_in(precision, own), model


def _compiled(path: Path, precision: Precision, threads: int) -> tuple[ModelSpec, Any]:
    try:
        read = _core().read_model(path.read_bytes())
    except OSError as error:
        raise cannot_be_read(path, error) from error
    except _ERRORS as error:
        raise _refused(path, error) from error
    place = ["framework", SPEC_KEY]  # the metadata of an ONNX file
    spec = spec_in({SPEC_KEY: read.get_rt_info(place).astype(str)} if read.has_rt_info(place) else {}, str(path))
    if precision is not Precision.FP32 and spec.precision not in (Precision.FP32, precision):
        raise OptionError(f"{path} computes in {spec.precision.upper()}; {precision.upper()} cannot be made of it.",
                          remedy="Give the graph in FP32, or leave out --precision.")
    if precision is Precision.INT8 and spec.precision is not precision:
        raise OptionError(f"{path} is not an INT8 graph.", remedy=f"Make one: srn-deploy export {path} --int8")
    try:
        return spec, _core().compile_model(read, _CPU, _settings(precision, threads))
    except _ERRORS as error:
        raise _refused(path, error) from error


def _running_in(precision: Precision, spec: ModelSpec) -> ModelSpec:
    """The spec of a graph that runs in this precision; a graph in FP16 keeps what its roundings make of it."""
    return replace(spec, precision=precision) if spec.precision is Precision.FP32 else spec


def _refused(path: Path, error: Exception) -> SrnDeployError:
    if _is_memory(error):
        return OutOfMemory(f"OpenVINO has no memory to open {path}.", remedy="End other programs.")
    return GraphError(f"{path} cannot be opened by {library_title()} ({_reason(error)}).",
                      remedy="The file is damaged, or has operators that OpenVINO lacks: export it again, or use "
                             "--device cpu.")


class _Pass:
    """One batch on a request. The arrays are the memory that OpenVINO reads and writes, and are kept for that."""

    def __init__(self, request: Any, pixels: Batch, matrices: Mapping[str, NDArray[np.float32]],
                 spec: ModelSpec) -> None:
        self._request, self._shape = request, pixels.shape
        inputs = {request.model_inputs[0].any_name: pixels, **matrices}
        self._inputs = {name: np.require(array, requirements=("C", "W")) for name, array in inputs.items()}
        self._upscaled = np.empty(output_shape(pixels.shape, spec), pixels.dtype)
        with _translated_errors(pixels.shape):
            for name, array in self._inputs.items():
                request.set_tensor(name, ov.Tensor(array, shared_memory=True))
            request.set_output_tensor(0, ov.Tensor(self._upscaled, shared_memory=True))

    def run(self) -> Batch:
        """The output, whose memory is the caller's. `infer` would do, but it can lose an error and leave nonsense."""
        with _translated_errors(self._shape):
            self._request.start_async()
            self._request.wait()
        return self._upscaled


@contextmanager
def _translated_errors(shape: tuple[int, ...]) -> Iterator[None]:
    try:
        yield
    except _ERRORS as error:
        if _is_memory(error):
            raise OutOfMemory(f"OpenVINO has no memory for a batch of shape {shape}.",
                              remedy="Use a smaller --tile.") from error
        raise BackendError(f"OpenVINO failed on a batch of shape {shape}: {_reason(error)}",
                           remedy="Use --device cpu; if that fails too, report it with this text.") from error


def _is_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or "alloc" in str(error).lower()


def _reason(error: Exception) -> str:
    """The first line of a message that is not one of the places it passed through."""
    lines = [line for line in str(error).splitlines() if line.strip() and not line.startswith("Exception from")]
    return (lines or ["no reason given"])[0].rstrip(".")[:200]
