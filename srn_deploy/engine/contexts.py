"""Execution contexts of a loaded engine. Their memory comes from the caller; compiled kernels are kept on disk."""

from __future__ import annotations

import logging
from typing import Any

from srn_deploy.engine.caches import SharedFile, kernel_file
from srn_deploy.engine.library import Runtime
from srn_deploy.engine.load import LoadedEngine
from srn_deploy.errors import BackendError, OutOfMemory
from srn_deploy.system.cuda_driver import gpu_name

_log = logging.getLogger(__name__)


class ContextMaker:
    """Makes execution contexts; `close` keeps the kernels that TensorRT-RTX compiled for this GPU."""

    def __init__(self, loaded: LoadedEngine) -> None:
        self._loaded = loaded
        self._is_rtx = loaded.library.runtime is Runtime.TENSORRT_RTX
        self._runtime_config: Any = None
        self._runtime_cache: Any = None
        self._file: SharedFile | None = None
        if self._is_rtx:
            self._configure_rtx()

    def _configure_rtx(self) -> None:
        """Compile the kernels of a shape before its first run, so that a captured CUDA graph holds the final ones."""
        trt, engine = self._loaded.library.trt, self._loaded.engine
        runtime_config = engine.create_runtime_config()
        runtime_config.set_execution_context_allocation_strategy(trt.ExecutionContextAllocationStrategy.USER_MANAGED)
        runtime_config.dynamic_shapes_kernel_specialization_strategy = \
            trt.DynamicShapesKernelSpecializationStrategy.EAGER
        runtime_config.cuda_graph_strategy = trt.CudaGraphStrategy.DISABLED  # the backend captures its own
        runtime_cache = runtime_config.create_runtime_cache()
        self._file = kernel_file(self._loaded.stored.path, gpu_name())
        if (kept := self._file.read()) and not runtime_cache.deserialize(kept):
            _log.info("%s is of another driver or GPU: the kernels are compiled again.", self._file.path)
        runtime_config.set_runtime_cache(runtime_cache)
        self._runtime_config, self._runtime_cache = runtime_config, runtime_cache

    def make(self, profile: int, shapes: dict[str, tuple[int, ...]], stream_handle: int) -> Any:
        """A context without memory, on a profile, with the shapes of its inputs set; raises BackendError."""
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
        """Raise unless a call went well: OutOfMemory or another BackendError, with what the runtime logged."""
        if went_well:
            return
        library, reason = self._loaded.library, self._loaded.logger.summary()
        message = f"{library.runtime} {library.version} {otherwise}: {reason}."
        if "out of memory" in reason.lower() or "outofmemory" in reason.lower():
            raise OutOfMemory(message, remedy="Use a smaller --tile, or end other programs on the GPU.")
        raise BackendError(message, remedy="Build the engine again; report this text if it stays.")

    def close(self) -> None:
        """Write the compiled kernels to their file."""
        blob = None if self._file is None else self._runtime_cache.serialize()
        if self._file is not None and blob is not None:
            kernels = bytes(blob)
            # Every process starts from the file and only adds kernels: the longer content has more of them.
            self._file.update(lambda before: max(kernels, before, key=len))
        self._file = self._runtime_cache = self._runtime_config = None
