"""Execution contexts of a loaded engine: memory from us, sized for the shape; finished kernels kept on disk."""

from __future__ import annotations

import logging
from typing import Any

from srn_deploy.engine.caches import SharedFile, runtime_file
from srn_deploy.engine.library import Flavour
from srn_deploy.engine.load import LoadedEngine
from srn_deploy.errors import BackendError, OutOfMemory
from srn_deploy.system.cuda_driver import gpu_name

_log = logging.getLogger(__name__)


class ContextMaker:
    """Makes execution contexts; `close` keeps the kernels that TensorRT-RTX finished for this GPU."""

    def __init__(self, loaded: LoadedEngine) -> None:
        self._loaded = loaded
        self._is_rtx = loaded.library.flavour is Flavour.TENSORRT_RTX
        self._runtime_config: Any = None
        self._runtime_cache: Any = None
        self._file: SharedFile | None = None
        if self._is_rtx:
            self._configure_rtx()

    def _configure_rtx(self) -> None:
        """Kernels for a shape are finished before its first run, so that a captured graph holds the final ones."""
        trt, engine = self._loaded.library.trt, self._loaded.engine
        runtime_config = engine.create_runtime_config()
        runtime_config.set_execution_context_allocation_strategy(trt.ExecutionContextAllocationStrategy.USER_MANAGED)
        runtime_config.dynamic_shapes_kernel_specialization_strategy = \
            trt.DynamicShapesKernelSpecializationStrategy.EAGER
        runtime_config.cuda_graph_strategy = trt.CudaGraphStrategy.DISABLED  # we capture ourselves
        runtime_cache = runtime_config.create_runtime_cache()
        self._file = runtime_file(self._loaded.stored.path, gpu_name())
        if (kept := self._file.read()) and not runtime_cache.deserialize(kept):
            _log.info("%s is of another driver or GPU: kernels are finished anew", self._file.path)
        runtime_config.set_runtime_cache(runtime_cache)
        self._runtime_config, self._runtime_cache = runtime_config, runtime_cache

    def make(self, profile: int, shapes: dict[str, tuple[int, ...]], stream_handle: int) -> Any:
        """A context without memory, on a profile, with the shapes of its inputs; raises a BackendError."""
        trt, engine = self._loaded.library.trt, self._loaded.engine
        self._loaded.logger.errors.clear()
        context = engine.create_execution_context(
            self._runtime_config if self._is_rtx else trt.ExecutionContextAllocationStrategy.USER_MANAGED)
        self.check(context is not None, "made no execution context")
        self.check(context.set_optimization_profile_async(profile, stream_handle), f"did not take profile {profile}")
        for name, shape in shapes.items():
            self.check(context.set_input_shape(name, shape), f"did not take {name} of shape {shape}")
        missing = context.infer_shapes()
        self.check(not missing, f"does not know the shapes of {', '.join(missing)}")
        return context

    def check(self, went_well: bool, otherwise: str) -> None:
        """Raise, for a call that did not, with what the library logged: OutOfMemory where that was the reason."""
        if went_well:
            return
        library, told = self._loaded.library, self._loaded.logger.told()
        message = f"{library.flavour} {library.version} {otherwise}: {told}."
        if "out of memory" in told.lower() or "outofmemory" in told.lower():
            raise OutOfMemory(message, remedy="Use a smaller --tile, or end other programs on the GPU.")
        raise BackendError(message, remedy="Build the engine again; report this text if it stays.")

    def close(self) -> None:
        """Keep the finished kernels."""
        blob = None if self._file is None else self._runtime_cache.serialize()
        if self._file is not None and blob is not None:
            kernels = bytes(blob)
            # Every process begins with what is in the file and only adds: the longer one knows more.
            self._file.update(lambda before: max(kernels, before, key=len))
        self._file = self._runtime_cache = self._runtime_config = None
