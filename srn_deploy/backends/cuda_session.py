"""GPU memory, copies and one stream through PyCUDA, in the primary context, which PyTorch and others share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srn_deploy.errors import BackendError, DeviceUnavailable, OutOfMemory, missing_package

_NON_BLOCKING = 1
"""CU_STREAM_NON_BLOCKING: no implicit synchronisation with the default stream."""


def open_session() -> CudaSession:
    """A session on the first GPU. The caller must have checked with `why_no_gpu` that there is one.

    Raises MissingPackage, with what the installation of PyCUDA needs, and DeviceUnavailable.
    """
    try:
        from pycuda import driver
    except ModuleNotFoundError as error:
        missing = missing_package("PyCUDA", "Running an engine", extra="tensorrt")
        missing.remedy = ("It is built from source, with g++ and the CUDA toolkit's headers installed: "
                          "pip install pycuda")
        raise missing from error
    except ImportError as error:
        raise DeviceUnavailable(f"PyCUDA cannot be loaded: {error}.",
                                remedy="Build it again for the driver and CUDA toolkit that are installed now: "
                                       "pip install --force-reinstall --no-binary pycuda pycuda") from error
    return CudaSession(driver)


class CudaSession:
    """The primary context of the first GPU and a stream of this session. All work happens inside `current()`."""

    def __init__(self, driver: Any) -> None:
        self._driver = driver
        try:
            driver.init()
            self._context: Any = _primary_context(driver)
        except driver.Error as error:
            raise DeviceUnavailable(f"PyCUDA cannot use the GPU: {error}.",
                                    remedy="Check that nvidia-smi lists it and that no program uses it exclusively."
                                    ) from error
        with self.current():
            self._stream = driver.Stream(_NON_BLOCKING)

    @property
    def stream_handle(self) -> int:
        """The CUstream as an integer, as TensorRT and cuda-bindings take it."""
        return int(self._stream.handle)

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make the context current in this thread while the block runs; errors of CUDA are raised as BackendError."""
        if self._context is None:
            raise BackendError("This backend has been closed.", remedy="Open the artefact again.")
        with self._translated_errors():
            self._context.push()
            try:
                yield
            finally:
                self._driver.Context.pop()

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        try:
            yield
        except (self._driver.Error, RuntimeError) as error:  # RuntimeError: from TensorRT's bindings
            raise BackendError(f"CUDA failed: {error}.",
                               remedy="Run it again; if it stays, build the engine again and report this text."
                               ) from error

    @contextmanager
    def _shortage(self, size_bytes: int) -> Iterator[None]:
        try:
            yield
        except self._driver.MemoryError as error:
            raise OutOfMemory(f"The GPU has no {size_bytes / 2**20:.0f} MiB for this batch.",
                              remedy="Use a smaller --tile, or end other programs on the GPU.") from error

    def allocate(self, size_bytes: int) -> Any:
        """Allocate GPU memory: int() of it is its address, free() releases it. Raises OutOfMemory."""
        with self._shortage(size_bytes):
            return self._driver.mem_alloc(max(size_bytes, 1))

    def pinned(self, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
        """An array in page-locked host memory, which is copied fastest. Raises OutOfMemory."""
        with self._shortage(math.prod(shape) * np.dtype(dtype).itemsize):
            array: NDArray[Any] = self._driver.pagelocked_empty(shape, np.dtype(dtype))
            return array

    def to_device(self, allocation: Any, host: NDArray[Any]) -> None:
        """Begin a copy from pinned memory."""
        self._driver.memcpy_htod_async(allocation, host, self._stream)

    def to_host(self, host: NDArray[Any], allocation: Any) -> None:
        """Begin a copy into pinned memory."""
        self._driver.memcpy_dtoh_async(host, allocation, self._stream)

    def wait(self) -> None:
        """Block until all work on the stream is done."""
        self._stream.synchronize()

    def elapsed_ms(self, work: Callable[[], None]) -> float:
        """Run `work` between two events on the stream and return the milliseconds between them by the GPU's clock."""
        before, after = self._driver.Event(), self._driver.Event()
        before.record(self._stream)
        work()
        after.record(self._stream)
        after.synchronize()
        return float(before.time_till(after))

    def free_bytes(self) -> int:
        """Free memory of the GPU."""
        free, _ = self._driver.mem_get_info()
        return int(free)

    def close(self) -> None:
        """Destroy the stream; calling it twice is harmless."""
        if self._context is not None:
            with self.current():
                self._stream = None
            self._context = None


_RETAINED: dict[int, tuple[Any, Any]] = {}
"""Driver module and primary context, kept until the process ends: PyCUDA's detach() pushes the context and does not pop
it, which would leave every other user in the process on a destroyed context."""


def _primary_context(driver: Any) -> Any:
    if id(driver) not in _RETAINED:
        _RETAINED[id(driver)] = driver, driver.Device(0).retain_primary_context()
    return _RETAINED[id(driver)][1]
