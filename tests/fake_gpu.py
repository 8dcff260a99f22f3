"""A GPU in host memory: PyCUDA's driver, a TensorRT engine and CUDA's graph API, as far as the backend uses them.

The engine repeats every pixel (nearest neighbour), or computes a given function. It refuses what a real one refuses:
shapes outside the active profile, addresses and memory that were not allocated, a context that is not current, work on
a stream that is being captured. Every call is counted. Public names are only those of the real classes.
"""

from __future__ import annotations

import ctypes
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srn_deploy.grid import ESA_GRID

SCRATCH_BYTES_PER_PX = 64


@dataclass
class FakeGpu:
    """The state behind the modules."""

    memory_bytes: int = 2**30
    used_bytes: int = 0
    stack: int = 0
    """Contexts pushed minus contexts popped: the backend must leave it at 0."""
    capturing: list[Callable[[], None]] | None = None
    captures_fail: bool = False
    calls: Counter[str] = field(default_factory=Counter)
    allocations: dict[int, FakeAllocation] = field(default_factory=dict)

    def need_context(self, what: str) -> None:
        if not self.stack:
            raise FakeLogicError(f"{what}: invalid device context")
        self.calls[what] += 1


class FakeCudaError(Exception):
    """pycuda.driver.Error."""


class FakeLogicError(FakeCudaError):
    """pycuda.driver.LogicError."""


class FakeMemoryError(FakeCudaError):
    """pycuda.driver.MemoryError."""


class FakeAllocation:
    def __init__(self, gpu: FakeGpu, size: int) -> None:
        if gpu.used_bytes + size > gpu.memory_bytes:
            raise FakeMemoryError("cuMemAlloc failed: out of memory")
        self._gpu, self._size, self._buffer = gpu, size, ctypes.create_string_buffer(size)
        gpu.used_bytes += size
        gpu.allocations[int(self)] = self

    def __int__(self) -> int:
        return ctypes.addressof(self._buffer)

    def free(self) -> None:
        del self._gpu.allocations[int(self)]
        self._gpu.used_bytes -= self._size

    def _array(self, shape: Sequence[int], dtype: str) -> NDArray[Any]:
        array: NDArray[Any] = np.frombuffer(memoryview(self._buffer), dtype, int(np.prod(shape)))
        return array.reshape(shape)


def fake_cuda(gpu: FakeGpu) -> Any:
    """The module pycuda.driver."""
    classes = _cuda_classes(gpu)

    def mem_alloc(size: int) -> FakeAllocation:
        gpu.need_context("mem_alloc")
        return FakeAllocation(gpu, size)

    def pagelocked_empty(shape: Sequence[int], dtype: Any) -> NDArray[Any]:
        gpu.need_context("pagelocked_empty")
        return np.empty(shape, dtype)

    def memcpy_htod_async(target: FakeAllocation, source: NDArray[Any], stream: Any) -> None:
        gpu.need_context("memcpy_htod_async")
        target._array(source.shape, str(source.dtype))[...] = source

    def memcpy_dtoh_async(target: NDArray[Any], source: FakeAllocation, stream: Any) -> None:
        gpu.need_context("memcpy_dtoh_async")
        target[...] = source._array(target.shape, str(target.dtype))

    return SimpleNamespace(
        **classes, init=lambda: None, mem_alloc=mem_alloc, pagelocked_empty=pagelocked_empty,
        Device=lambda index: SimpleNamespace(retain_primary_context=classes["Context"]),
        memcpy_htod_async=memcpy_htod_async, memcpy_dtoh_async=memcpy_dtoh_async,
        mem_get_info=lambda: (gpu.memory_bytes - gpu.used_bytes, gpu.memory_bytes),
        Error=FakeCudaError, LogicError=FakeLogicError, MemoryError=FakeMemoryError)


def _cuda_classes(gpu: FakeGpu) -> dict[str, Any]:
    class Context:
        """Without detach(), because PyCUDA's pushes the context and does not pop it."""

        def push(self) -> None:
            gpu.stack += 1

        @staticmethod
        def pop() -> None:
            gpu.stack -= 1


    class Stream:
        def __init__(self, flags: int = 0) -> None:
            gpu.need_context("Stream")
            assert flags == 1, "the default stream's rules would hold"
            self.handle = 77

        def synchronize(self) -> None:
            gpu.need_context("synchronize")
            if gpu.capturing is not None:
                raise FakeLogicError("cuStreamSynchronize failed: operation not permitted when stream is capturing")

    class Event:
        def record(self, stream: Stream) -> None:
            gpu.need_context("Event.record")

        def synchronize(self) -> None:
            gpu.need_context("Event.synchronize")

        def time_till(self, event: Event) -> float:
            return 0.25

    return {"Context": Context, "Event": Event, "Stream": Stream}


def fake_graph_driver(gpu: FakeGpu) -> Any:
    """The module cuda.bindings.driver."""
    class CUresult(IntEnum):
        CUDA_SUCCESS = 0
        CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED = 900

    def begin(stream: int, mode: str) -> tuple[CUresult]:
        assert (stream, mode) == (77, "thread local")
        gpu.capturing = []
        return (CUresult.CUDA_SUCCESS,)

    def end(stream: int) -> tuple[CUresult, Any]:
        captured, gpu.capturing = gpu.capturing, None
        if gpu.captures_fail:
            return CUresult.CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, None
        return CUresult.CUDA_SUCCESS, captured

    def launch(executable: list[Callable[[], None]], stream: int) -> tuple[CUresult]:
        gpu.need_context("cuGraphLaunch")
        for work in executable:
            work()
        return (CUresult.CUDA_SUCCESS,)

    def destroy(graph: Any) -> tuple[CUresult]:
        gpu.calls["destroyed"] += 1
        return (CUresult.CUDA_SUCCESS,)

    return SimpleNamespace(
        CUresult=CUresult, CUstream=int, cuStreamBeginCapture=begin, cuStreamEndCapture=end, cuGraphLaunch=launch,
        CUstreamCaptureMode=SimpleNamespace(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL="thread local"),
        cuGraphInstantiate=lambda graph, flags: (CUresult.CUDA_SUCCESS, graph), cuGraphExecDestroy=destroy,
        cuGraphDestroy=destroy)


Compute = Callable[[dict[str, NDArray[Any]]], NDArray[Any]]
"""Inputs by name to the output."""

Profile = dict[str, tuple[tuple[int, ...], ...]]
"""Input to its smallest, optimal and largest shape."""


def profile(smallest: tuple[int, int], largest: tuple[int, int], *, batch: int = 1, esa: bool = False) -> Profile:
    corners = [(1, *smallest), (batch, *largest), (batch, *largest)]
    shapes: Profile = {"pixels": tuple((*corner, 3) for corner in corners)}
    if esa:
        shapes["rows"] = tuple((count, height, ESA_GRID.cells(height)) for count, height, _ in corners)
        shapes["cols"] = tuple((count, width, ESA_GRID.cells(width)) for count, _, width in corners)
    return shapes


class FakeEngine:
    """ICudaEngine."""

    def __init__(self, gpu: FakeGpu, profiles: list[Profile], scale: int, compute: Compute | None = None) -> None:
        self._gpu, self._profiles, self._scale = gpu, profiles, scale
        self._compute = compute or self._enlarged
        self._names = [*profiles[0], "upscaled"]
        self.num_io_tensors, self.num_optimization_profiles = len(self._names), len(profiles)

    def _enlarged(self, inputs: dict[str, NDArray[Any]]) -> NDArray[Any]:
        return inputs[self._names[0]].repeat(self._scale, axis=1).repeat(self._scale, axis=2)

    def get_tensor_name(self, index: int) -> str:
        return self._names[index]

    def get_tensor_mode(self, name: str) -> str:
        return "output" if name == "upscaled" else "input"

    def get_tensor_dtype(self, name: str) -> Any:
        return SimpleNamespace(name="FLOAT" if name in ("rows", "cols", "rgb") else "UINT8")

    def get_tensor_profile_shape(self, name: str, profile: int) -> tuple[tuple[int, ...], ...]:
        return self._profiles[profile][name]

    def create_execution_context(self, strategy: object) -> FakeExecution:
        self._gpu.need_context("create_execution_context")
        assert strategy == "user managed"
        return FakeExecution(self)


class FakeExecution:
    """IExecutionContext."""

    def __init__(self, engine: FakeEngine) -> None:
        self.engine, self._profile = engine, -1
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}
        self._scratch = 0

    def set_optimization_profile_async(self, index: int, stream: int) -> bool:
        self._profile = index
        return index < len(self.engine._profiles)

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        smallest, _, largest = self.engine._profiles[self._profile][name]
        self._shapes[name] = shape
        return all(low <= side <= high for low, side, high in zip(smallest, shape, largest, strict=True))

    def infer_shapes(self) -> list[str]:
        return [name for name in self.engine._names[:-1] if name not in self._shapes]

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        if name != "upscaled":
            return self._shapes[name]
        batch, height, width, channels = self._shapes[self.engine._names[0]]
        return batch, height * self.engine._scale, width * self.engine._scale, channels

    def update_device_memory_size_for_shapes(self) -> int:
        return SCRATCH_BYTES_PER_PX * int(np.prod(self._shapes[self.engine._names[0]][:3]))

    def set_device_memory(self, memory: int, size: int) -> None:
        assert self.engine._gpu.allocations[memory]._size >= size >= self.update_device_memory_size_for_shapes()
        self._scratch = memory

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self._addresses[name] = memory
        return memory in self.engine._gpu.allocations

    def execute_async_v3(self, stream: int) -> bool:
        gpu = self.engine._gpu
        gpu.need_context("execute_async_v3")
        assert stream == 77
        if set(self._addresses) != set(self.engine._names) or self._scratch not in gpu.allocations:
            return False
        if gpu.capturing is not None:
            gpu.capturing.append(self._compute)
        else:
            self._compute()
        return True

    def _compute(self) -> None:
        arrays = {name: self.engine._gpu.allocations[self._addresses[name]]._array(
            self.get_tensor_shape(name), "float32" if name in ("rows", "cols") else "uint8")
            for name in self.engine._names}
        target = arrays.pop("upscaled")
        target[...] = self.engine._compute(arrays)


class FakeLogger:
    """ILogger."""

    ERROR, INTERNAL_ERROR = "error", "internal error"


def fake_tensorrt(engine: FakeEngine | None = None) -> Any:
    """The part of the module `tensorrt` that loads and runs engines; without an engine every plan is refused."""
    class Runtime:
        def __init__(self, logger: Any) -> None:
            self.logger = logger

        def deserialize_cuda_engine(self, plan: bytes) -> FakeEngine | None:
            if engine is None:
                self.logger.log(FakeLogger.ERROR, "magic tag does not match")
            return engine

    return SimpleNamespace(TensorIOMode=SimpleNamespace(INPUT="input", OUTPUT="output"), __version__="11.4.0",
                           ILogger=FakeLogger, Runtime=Runtime,
                           ExecutionContextAllocationStrategy=SimpleNamespace(USER_MANAGED="user managed"))
