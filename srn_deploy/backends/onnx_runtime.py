"""ONNX graphs on ONNX Runtime: its CPU and its CUDA provider."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

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
from srn_deploy.backends.first_run import cannot_be_read, ensure_runs
from srn_deploy.backends.protocol import Batch
from srn_deploy.errors import BackendError, DeviceUnavailable, GraphError, OutOfMemory
from srn_deploy.spec import Form, ModelSpec, spec_in
from srn_deploy.system.cuda_driver import free_gpu_bytes, why_no_gpu
from srn_deploy.system.threads import thread_limit
from srn_deploy.tiling.interpolation import Geometry
from srn_deploy.tiling.shapes import Limits

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_PROVIDER_OPTIONS: dict[str, dict[str, str]] = {"cpu": {}, "cuda": {"use_tf32": "0"}}
_ERRORS = tuple(kind for kind in vars(ort_errors).values() if isinstance(kind, type) and issubclass(kind, Exception))
_RUN_ERRORS: tuple[type[Exception], ...] = (MemoryError, RuntimeError, *_ERRORS)  # RuntimeError: from the bindings
_FILE_ERRORS = (ort_errors.InvalidProtobuf, ort_errors.InvalidGraph, ort_errors.NoSuchFile)

_FATAL_ONLY = 4
"""ONNX Runtime's log severity: failures are reported by the errors that are raised."""


class OnnxRuntimeBackend:
    """One inference session. A deploy graph takes the pixel type it was exported for, a portable one both.

    sha256: of the file, where it is known. int8_products: False multiplies the 8-bit values of an INT8 graph in FP32,
    which no CPU lets overflow. Raises GraphError and DeviceUnavailable.
    """

    def __init__(self, path: Path, device: str = "cpu", *, threads: int | None = None,
                 sha256: str | None = None, int8_products: bool = True) -> None:
        self._session: ort.InferenceSession | None = _open_session(path, device, threads, sha256,
                                                                              int8_products=int8_products)
        self._spec = _read_spec(self._session, path)
        self._device = device
        self._fixed = fixed_limits(self._session.get_inputs()[0].shape, self._spec)

    @property
    def spec(self) -> ModelSpec:
        """The spec in the metadata of the graph."""
        return self._spec

    @property
    def limits(self) -> Limits:
        """Any size, or the one that the graph is for; on a GPU half of the free memory."""
        free_bytes = free_gpu_bytes() if self._device == "cuda" else 0
        return replace(self._fixed, activation_bytes=free_bytes // 2) if free_bytes else self._fixed

    def run(self, batch: Batch, geometry: Geometry | None = None) -> Batch:
        """Upscale (N, H, W, 3) to (N, scale*H, scale*W, 3); a new array of the same dtype."""
        portable = self._spec.form is Form.PORTABLE
        check_batch(batch, geometry, self._spec, self._fixed)
        if portable:
            return from_portable(self._infer(to_portable(batch), {}), batch.dtype)
        return self._infer(batch, matrices_of(batch, geometry, self._spec))

    def prepare(self, shape: tuple[int, int, int]) -> Callable[[], None]:
        """A step that runs one batch of black images; input and output stay on the device."""
        session, binding = self._open(), self._open().io_binding()
        check_shape(shape, self._spec, self._fixed)
        pixels = black_pixels(shape, self._spec)
        feeds = {self._pixels_name(): pixels, **matrices_of(pixels, None, self._spec)}
        with _translated_errors(shape):
            for name, array in feeds.items():
                binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(array, self._device, 0))
            binding.bind_output(session.get_outputs()[0].name, self._device, 0)

        def step() -> None:
            with _translated_errors(shape):
                session.run_with_iobinding(binding)
                binding.synchronize_outputs()

        return step

    def close(self) -> None:
        """Free the session."""
        self._session = None

    def _open(self) -> ort.InferenceSession:
        if self._session is None:
            raise BackendError("This backend has been closed.", remedy="Open the artefact again.")
        return self._session

    def _pixels_name(self) -> str:
        return str(self._open().get_inputs()[0].name)

    def _infer(self, pixels: Batch, matrices: dict[str, NDArray[np.float32]]) -> Batch:
        """Run into a NumPy array: one that ONNX Runtime allocated would keep its arena from shrinking."""
        session, shape = self._open(), output_shape(pixels.shape, self._spec)
        upscaled = np.empty(shape, pixels.dtype)
        feeds = {self._pixels_name(): np.ascontiguousarray(pixels), **matrices}
        with _translated_errors(pixels.shape):
            binding = session.io_binding()
            for name, array in feeds.items():
                binding.bind_cpu_input(name, array)
            binding.bind_output(session.get_outputs()[0].name, "cpu", 0, upscaled.dtype.type, shape,
                                upscaled.ctypes.data)
            session.run_with_iobinding(binding, self._run_options(pixels))
            binding.synchronize_outputs()
        return upscaled

    def _run_options(self, pixels: Batch) -> ort.RunOptions | None:
        """Release the memory after a large run on the CPU."""
        if self._device != "cpu" or not is_large_run(pixels, self._spec):
            return None
        options = ort.RunOptions()
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        return options


class PlainGraph:
    """A graph as it is, without a spec: one array in, one out. Whoever opens it is in a process that may end."""

    def __init__(self, graph: bytes, name: str) -> None:
        self._session, self._name = _session_of(graph, Path(name), "cpu", None, int8_products=True), name

    def run(self, values: NDArray[Any]) -> NDArray[Any]:
        """The first output for an array of the type that the graph takes; raises OutOfMemory and BackendError."""
        with _translated_errors(values.shape):
            result: NDArray[Any] = self._session.run(None, {self._session.get_inputs()[0].name: values})[0]
        return result


def read_spec(path: Path, sha256: str | None = None) -> ModelSpec:
    """The spec in the metadata of an ONNX file; raises GraphError or GraphWithoutSpec. sha256: as of the backend."""
    return _read_spec(_open_session(path, "cpu", 1, sha256, int8_products=True), path)


def _read_spec(session: ort.InferenceSession, path: Path) -> ModelSpec:
    return spec_in(session.get_modelmeta().custom_metadata_map, str(path))


def _open_session(path: Path, device: str, threads: int | None, sha256: str | None, *,
                  int8_products: bool) -> ort.InferenceSession:
    try:
        graph = path.read_bytes()  # ONNX Runtime cannot open paths that are not UTF-8
    except OSError as error:
        raise cannot_be_read(path, error) from error
    if not (device == "cuda" and why_no_gpu()):
        ensure_runs(path, "onnxruntime", ort.__version__, sha256)
    return _session_of(graph, path, device, threads, int8_products=int8_products)


def _session_of(graph: bytes, path: Path, device: str, threads: int | None, *,
                int8_products: bool) -> ort.InferenceSession:
    options = ort.SessionOptions()
    if not int8_products:
        options.add_session_config_entry("session.disable_quant_qdq", "1")
    options.log_severity_level = _FATAL_ONLY
    options.intra_op_num_threads = threads or thread_limit()
    provider = _PROVIDERS[device]
    if device == "cuda":
        if reason := why_no_gpu():  # checked first: ONNX Runtime writes to stderr when it finds none
            raise _no_cuda(reason)
        ort.preload_dlls()
    try:
        # Without enable_fallback=0 a failing GPU is replaced by the CPU, with a line on stdout.
        session = ort.InferenceSession(graph, options, providers=[(provider, _PROVIDER_OPTIONS[device])],
                                       enable_fallback=0)
    except _ERRORS as error:
        reason = str(error).splitlines()[0][:200]
        if device == "cuda" and not isinstance(error, _FILE_ERRORS):
            raise _no_cuda(reason) from error
        raise GraphError(f"{path} cannot be opened by ONNX Runtime ({reason}).",
                         remedy="The file is damaged or newer than ONNX Runtime: export it again.") from error
    if session.get_providers()[0] != provider:  # ONNX Runtime falls back silently
        raise _no_cuda(f"{provider} could not be loaded")
    return session


def _no_cuda(reason: str) -> DeviceUnavailable:
    return DeviceUnavailable(f"ONNX Runtime {ort.__version__} cannot use a GPU: {reason}.",
                             remedy="Use --device cpu, or install the NVIDIA driver and onnxruntime-gpu with its "
                                    "CUDA libraries.")


@contextmanager
def _translated_errors(shape: tuple[int, ...]) -> Iterator[None]:
    try:
        yield
    except _RUN_ERRORS as error:
        text = str(error) or "no reason given"
        if isinstance(error, MemoryError) or "alloc" in text.lower() or "out of memory" in text.lower():
            raise OutOfMemory(f"ONNX Runtime has no memory for a batch of shape {shape}.",
                              remedy="Use a smaller --tile.") from error
        raise BackendError(f"ONNX Runtime failed on a batch of shape {shape}: {text.splitlines()[0][:200]}",
                           remedy="Export the graph again; if it stays, report it with this text.") from error
