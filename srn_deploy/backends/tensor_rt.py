"""Engines on TensorRT and TensorRT-RTX: pixels go through pinned memory, each shape has its CUDA graph."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srn_deploy.backends.batch import check_batch, check_shape, from_portable, matrices_of, to_portable
from srn_deploy.backends.cuda_graph import CudaGraph, NotCaptured, graph_driver
from srn_deploy.backends.cuda_session import CudaSession, open_session
from srn_deploy.backends.protocol import Batch
from srn_deploy.engine.contexts import ContextMaker
from srn_deploy.engine.load import EngineTensor, LoadedEngine, find_plan, load_engine
from srn_deploy.errors import BackendError, OutOfMemory, UnsuitableBatch
from srn_deploy.grid import matrix_names
from srn_deploy.spec import Form, ModelSpec
from srn_deploy.tiling.interpolation import Geometry
from srn_deploy.tiling.shapes import Limits

BatchShape = tuple[int, int, int]
"""(N, H, W) in LR pixels."""

MOST_SLOTS = 4
"""How many shapes are kept ready: the windows of a tiled image have at most two heights times two widths."""

_log = logging.getLogger(__name__)


def open_engine(path: Path) -> TensorRtBackend:
    """Load an engine by the path of its plan, ready to run on the first GPU.

    Raises DamagedEngine, DeviceUnavailable, MissingPackage, ForeignEngine and EngineError.
    """
    found = find_plan(path)
    session = open_session()
    try:
        with session.current():
            loaded = load_engine(found)
        return TensorRtBackend(loaded, session, _graphs())
    except BaseException:
        session.close()
        raise


def _graphs() -> Any | None:
    """The driver API that captures CUDA graphs; None, with a warning in the log, where it is not installed."""
    try:
        return graph_driver()
    except NotCaptured as error:
        _log.warning("CUDA graphs are not used: %s", error)
        return None


class TensorRtBackend:
    """One engine; the shapes used last are kept ready. Not thread-safe."""

    def __init__(self, loaded: LoadedEngine, session: CudaSession, graphs: Any | None) -> None:
        self._spec, self._session, self._graphs = loaded.spec, session, graphs
        self._loaded: LoadedEngine | None = loaded
        self._title = f"{loaded.library.title} in {self._spec.precision.upper()} ({loaded.stored.path.name})"
        self._slots: OrderedDict[BatchShape, _ContextSlot] = OrderedDict()
        with session.current():
            self._contexts = ContextMaker(loaded)
            self._tensors = loaded.tensors()
            self._profiles = loaded.profiles(self._pixels.name, channels_first=self._spec.form is Form.PORTABLE)

    @property
    def spec(self) -> ModelSpec:
        """Of the graph that the engine was built from."""
        return self._spec

    @property
    def title(self) -> str:
        """Runtime, precision and file name, for messages."""
        return self._title

    @property
    def limits(self) -> Limits:
        """The shapes of its profiles, and half of the GPU memory that is free or held by context slots."""
        with self._session.current():
            free_bytes = self._session.free_bytes() + sum(slot.size_bytes for slot in self._slots.values())
        return Limits(shapes=tuple(shapes for shapes, _ in self._profiles), activation_bytes=max(free_bytes // 2, 1),
                      largest_batch=min(batch for _, batch in self._profiles))

    def run(self, batch: Batch, geometry: Geometry | None = None) -> Batch:
        """Upscale (N, H, W, 3) to (N, scale*H, scale*W, 3) of the same dtype; the result belongs to the caller."""
        portable = self._spec.form is Form.PORTABLE
        check_batch(batch, geometry, self._spec)
        feeds = self._feeds(to_portable(batch) if portable else batch, batch, geometry)
        with self._session.current():
            slot = self._slot((batch.shape[0], batch.shape[1], batch.shape[2]))
            slot.fill(feeds)
            self._advance(slot)
            upscaled = slot.result()
        return from_portable(upscaled, batch.dtype) if portable else upscaled

    def measure(self, shape: BatchShape) -> Callable[[], float]:
        """A step like that of `prepare` that returns its duration in milliseconds, measured by events on the GPU."""
        self.prepare(shape)()

        def step() -> float:
            with self._session.current():
                return self._session.elapsed_ms(self._resident(shape))

        return step

    def prepare(self, shape: BatchShape) -> Callable[[], None]:
        """A step that runs one batch of black images, which are on the GPU already, and waits for the GPU."""
        check_shape(shape, self._spec)

        def step() -> None:
            with self._session.current():
                self._resident(shape)()
                self._session.wait()

        step()
        return step

    def _resident(self, shape: BatchShape) -> Callable[[], None]:
        """A function that begins one pass over a batch of black images on the GPU."""
        slot = self._slots.get(shape)
        if slot is None:  # the first time, and after other shapes have taken its place
            slot = self._slot(shape)
            pixels = np.zeros((*shape, 3), self._spec.pixel_type)
            portable = self._spec.form is Form.PORTABLE
            slot.fill(self._feeds(to_portable(pixels) if portable else pixels, pixels, None))
        return partial(self._advance, slot)

    def close(self) -> None:
        """Free everything and write compiled kernels to their file; calling it twice is harmless."""
        if self._loaded is None:
            return
        loaded, self._loaded = self._loaded, None
        try:
            with self._session.current():
                try:
                    self._session.wait()
                finally:  # in this order: nothing may outlive what it was made from
                    self._drop_slots()
                    self._contexts.close()
                    loaded.release()
        except BackendError as error:
            _log.warning("The GPU was not left in order: %s", error.message)
        self._session.close()

    @property
    def _pixels(self) -> EngineTensor:
        return next(tensor for tensor in self._tensors if tensor.is_input
                    and tensor.name not in matrix_names(len(self._spec.grids)))

    def _feeds(self, pixels: Batch, batch: Batch, geometry: Geometry | None) -> dict[str, NDArray[Any]]:
        """Every input of the engine by its name."""
        return {self._pixels.name: pixels, **matrices_of(batch, geometry, self._spec)}

    def _slot(self, shape: BatchShape) -> _ContextSlot:
        """The context slot of a shape, made if there is none; where memory is short all others are closed first."""
        if shape in self._slots:
            self._slots.move_to_end(shape)
            return self._slots[shape]
        while len(self._slots) >= MOST_SLOTS:
            self._slots.popitem(last=False)[1].close()
        try:
            slot = self._new_slot(shape)
        except OutOfMemory:
            if not self._slots:
                raise
            self._drop_slots()
            slot = self._new_slot(shape)
        self._slots[shape] = slot
        return slot

    def _new_slot(self, shape: BatchShape) -> _ContextSlot:
        if self._loaded is None:
            raise BackendError("This backend has been closed.", remedy="Open the artefact again.")
        return _ContextSlot(self._contexts, self._profile_of(shape), self._input_shapes(shape), self._tensors,
                            self._session)

    def _input_shapes(self, shape: BatchShape) -> dict[str, tuple[int, ...]]:
        blank = np.empty((*shape, 3), np.uint8)
        pixels = (shape[0], 3, *shape[1:]) if self._spec.form is Form.PORTABLE else (*shape, 3)
        return {**{name: feed.shape for name, feed in self._feeds(blank, blank, None).items()},
                self._pixels.name: pixels}

    def _profile_of(self, shape: BatchShape) -> int:
        """The index of the profile that takes a shape and is tuned nearest to it; raises UnsuitableBatch."""
        fitting = [(abs(shapes.optimum[0] * shapes.optimum[1] - shape[1] * shape[2]), index)
                   for index, (shapes, batch) in enumerate(self._profiles)
                   if shapes.takes(*shape[1:]) and shape[0] <= batch]
        if not fitting:
            takes = ", ".join(f"{shapes} (up to {batch} at once)" for shapes, batch in self._profiles)
            raise UnsuitableBatch(f"The engine takes images of {takes}, not {shape[0]} of {shape[1]}x{shape[2]}.",
                                  remedy="Build one with other --shapes; srn_deploy.Upscaler tiles larger images.")
        return min(fitting)[1]

    def _advance(self, slot: _ContextSlot) -> None:
        """Begin one pass; from the second of a shape on it is the launch of a CUDA graph."""
        if slot.graph is None and slot.warm and self._graphs is not None:
            try:
                slot.capture(self._graphs)
            except NotCaptured as error:
                _log.warning("CUDA graphs are not used: %s", error)
                self._graphs = None
        slot.launch()

    def _drop_slots(self) -> None:
        while self._slots:
            self._slots.popitem()[1].close()


class _ContextSlot:
    """What one shape keeps: an execution context, its memory on the host and on the GPU, and a CUDA graph."""

    def __init__(self, contexts: ContextMaker, profile: int, shapes: Mapping[str, tuple[int, ...]],
                 tensors: list[EngineTensor], session: CudaSession) -> None:
        self._contexts, self._session = contexts, session
        self._allocations: list[Any] = []
        self.size_bytes = 0
        self.graph: CudaGraph | None = None
        self.warm = False
        try:
            self._context = contexts.make(profile, dict(shapes), session.stream_handle)
            scratch_bytes = int(self._context.update_device_memory_size_for_shapes())
            self._context.set_device_memory(int(self._allocated(scratch_bytes)), scratch_bytes)
            self._host = {tensor.name: session.pinned(tuple(self._context.get_tensor_shape(tensor.name)), tensor.dtype)
                          for tensor in tensors}
            self._device = {name: self._allocated(array.nbytes) for name, array in self._host.items()}
            for name, allocation in self._device.items():
                contexts.check(self._context.set_tensor_address(name, int(allocation)),
                               f"did not take the memory of {name}")
        except BaseException:
            self.close()
            raise
        self._output = next(tensor.name for tensor in tensors if not tensor.is_input)

    def _allocated(self, size_bytes: int) -> Any:
        self._allocations.append(self._session.allocate(size_bytes))
        self.size_bytes += size_bytes
        return self._allocations[-1]

    def fill(self, feeds: Mapping[str, NDArray[Any]]) -> None:
        """Begin to copy the inputs to the GPU."""
        for name, array in feeds.items():
            self._host[name][...] = array
            self._session.to_device(self._device[name], self._host[name])

    def launch(self) -> None:
        """Begin one pass."""
        if self.graph is not None:
            self.graph.launch()
        else:
            self._enqueue()
        self.warm = True

    def capture(self, driver: Any) -> None:
        """Record a pass. One must have run before, or the graph would hold what happens only in the first."""
        self._session.wait()
        self.graph = CudaGraph(driver, self._session.stream_handle, self._enqueue)

    def _enqueue(self) -> None:
        self._contexts.check(self._context.execute_async_v3(self._session.stream_handle), "did not run")

    def result(self) -> NDArray[Any]:
        """Wait for the GPU; a copy of the output, which belongs to the caller."""
        self._session.to_host(self._host[self._output], self._device[self._output])
        self._session.wait()
        return self._host[self._output].copy()

    def close(self) -> None:
        """Free graph, context and memory, in this order."""
        if self.graph is not None:
            self.graph.close()
            self.graph = None
        self._context = None
        for allocation in self._allocations:
            allocation.free()
        self._allocations.clear()
        self._host = {}
