"""From a stored plan to an engine in memory; everything that would make the runtime crash is checked before."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from srn_deploy.engine.identity import Identity
from srn_deploy.engine.library import Library, Runtime, open_library
from srn_deploy.engine.monitor import message_collector
from srn_deploy.engine.options import HardwareCompatibility
from srn_deploy.engine.store import EngineStore, StoredEngine
from srn_deploy.errors import DeviceUnavailable, EngineError, ForeignEngine
from srn_deploy.spec import ModelSpec, PixelType
from srn_deploy.system.cuda_driver import compute_capability, gpu_name, why_no_gpu
from srn_deploy.tiling.shapes import ShapeRange

_DTYPES = {"UINT8": PixelType.UINT8.value, "FLOAT": PixelType.FLOAT32.value}
"""numpy's names of the types that graphs of this package exchange, by TensorRT's names."""

_BUILD_HERE = "Build one here with `srn-deploy build-engine`."


@dataclass(frozen=True, kw_only=True)
class EngineTensor:
    """One input or output of an engine."""

    name: str
    dtype: str
    is_input: bool


@dataclass(kw_only=True)
class LoadedEngine:
    """A deserialised engine, and the objects that must live as long as it does."""

    stored: StoredEngine
    library: Library
    engine: Any
    trt_runtime: Any
    """The `Runtime` object that deserialised the engine."""
    logger: Any

    @property
    def spec(self) -> ModelSpec:
        """Of the graph that was built."""
        return self.stored.spec

    def release(self) -> None:
        """Destroy engine and runtime, in this order, while the CUDA context is current."""
        self.engine = None
        self.trt_runtime = None

    def tensors(self) -> list[EngineTensor]:
        """Inputs and outputs; raises EngineError for a type that graphs of this package do not have."""
        engine, trt = self.engine, self.library.trt
        found = []
        for index in range(engine.num_io_tensors):
            name = engine.get_tensor_name(index)
            kind = engine.get_tensor_dtype(name).name
            if kind not in _DTYPES:
                raise EngineError(f"{self.stored.path} exchanges {name} as {kind}.", remedy=_BUILD_HERE)
            found.append(EngineTensor(name=name, dtype=_DTYPES[kind],
                                      is_input=engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT))
        return found

    def profiles(self, pixels: str, *, channels_first: bool) -> list[tuple[ShapeRange, int]]:
        """For each profile the sizes of images that it takes, and the largest batch."""
        engine = self.engine
        corners = [engine.get_tensor_profile_shape(pixels, index) for index in range(engine.num_optimization_profiles)]
        first = 2 if channels_first else 1
        ranges = [ShapeRange(**{corner: (int(shape[first]), int(shape[first + 1])) for corner, shape in
                                zip(("smallest", "optimum", "largest"), shapes, strict=True)}) for shapes in corners]
        return [(shapes, int(corner[2][0])) for shapes, corner in zip(ranges, corners, strict=True)]


@dataclass(frozen=True, kw_only=True)
class FoundPlan:
    """A plan that matches its manifest and the runtime it was built with; nothing is loaded yet."""

    stored: StoredEngine
    library: Library
    data: bytes


def find_plan(path: Path) -> FoundPlan:
    """Read a plan and check that it is whole and was built for this machine.

    Raises DamagedEngine, DeviceUnavailable, MissingPackage and ForeignEngine.
    """
    stored = EngineStore(path.parent).open(path)
    data = stored.plan()
    if reason := why_no_gpu():
        raise DeviceUnavailable(f"An engine runs on a GPU only: {reason}.",
                                remedy="Give the graph or the checkpoint instead: both run on the CPU too.")
    identity = stored.manifest.identity
    library = open_library(identity.runtime, "Running an engine")
    if identity.version != library.version:
        raise ForeignEngine(f"{path} was built by {library.runtime} {identity.version}; here is {library.version}.",
                            remedy=_BUILD_HERE)
    if library.runtime is Runtime.TENSORRT and not _runs_here(identity):
        raise ForeignEngine(f"{path} was built for {identity.target}; here is {library.target(())}.",
                            remedy=_BUILD_HERE)
    return FoundPlan(stored=stored, library=library, data=data)


def _runs_here(identity: Identity) -> bool:
    """Whether a plan of TensorRT was built for this GPU and system, or for more GPUs."""
    gpu, _, system = identity.target.partition("; ")
    level = identity.options.hardware_compatibility
    here = gpu_name()
    if system != Library.system():
        return False
    if level is HardwareCompatibility.AMPERE_PLUS:
        return compute_capability() >= (8, 0)
    if level is HardwareCompatibility.SAME_COMPUTE_CAPABILITY:
        return gpu.rpartition(" ")[2] == here.rpartition(" ")[2]
    return gpu == here


def load_engine(found: FoundPlan) -> LoadedEngine:
    """Deserialise a plan in the current CUDA context; raises ForeignEngine and EngineError."""
    stored, library, plan = found.stored, found.library, found.data
    trt = library.trt
    logger = message_collector(trt)
    trt_runtime = trt.Runtime(logger)
    if library.runtime is Runtime.TENSORRT_RTX:
        _check_validity(trt, trt_runtime, plan, stored)
    engine = trt_runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise EngineError(f"{library.runtime} {library.version} cannot load {stored.path}: {logger.summary()}.",
                          remedy=_BUILD_HERE)
    return LoadedEngine(stored=stored, library=library, engine=engine, trt_runtime=trt_runtime, logger=logger)


def _check_validity(trt: Any, trt_runtime: Any, plan: bytes, stored: StoredEngine) -> None:
    """Raise ForeignEngine, with the reasons, for a plan that TensorRT-RTX cannot run on this GPU."""
    validity, diagnostics = trt_runtime.get_engine_validity(plan)
    if validity != trt.EngineValidity.INVALID:
        return
    reasons = [name for name, value in trt.EngineInvalidityDiagnostics.__members__.items()
               if int(value) & int(diagnostics)]
    raise ForeignEngine(f"{stored.path} cannot run on {gpu_name()}: {', '.join(reasons) or 'no reason given'}.",
                        remedy="Build one with --compute-capability of this GPU, and check that the driver is new "
                               "enough.")
