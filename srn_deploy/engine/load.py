"""From a stored plan to an engine in memory, each question asked before the library could crash on its answer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from srn_deploy.engine.library import Flavour, Library, open_library
from srn_deploy.engine.monitor import message_collector
from srn_deploy.engine.options import HardwareCompatibility
from srn_deploy.engine.store import EngineStore, StoredEngine
from srn_deploy.errors import DeviceUnavailable, EngineError, ForeignEngine
from srn_deploy.spec import ModelSpec, PixelType
from srn_deploy.system.cuda_driver import compute_capability, gpu_name, why_no_gpu
from srn_deploy.tiling.shapes import ShapeRange

_DTYPES = {"UINT8": PixelType.UINT8.value, "FLOAT": PixelType.FLOAT32.value}
"""The library's names of the types that our graphs exchange, as numpy has them."""

_BUILD_HERE = "Build one here with `srn-deploy build-engine`."


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """One input or output of an engine."""

    name: str
    dtype: str
    is_input: bool


@dataclass(kw_only=True)
class LoadedEngine:
    """A deserialised engine, and what must live as long as it does."""

    stored: StoredEngine
    library: Library
    engine: Any
    runtime: Any
    logger: Any

    @property
    def spec(self) -> ModelSpec:
        """Of the graph that was built."""
        return self.stored.spec

    def release(self) -> None:
        """Destroy engine and runtime, in this order, while the CUDA context is current."""
        self.engine = None
        self.runtime = None

    def tensors(self) -> list[Tensor]:
        """Its inputs and outputs; raises EngineError for a type that no graph of ours has."""
        engine, trt = self.engine, self.library.trt
        found = []
        for index in range(engine.num_io_tensors):
            name = engine.get_tensor_name(index)
            kind = engine.get_tensor_dtype(name).name
            if kind not in _DTYPES:
                raise EngineError(f"{self.stored.path} exchanges {name} as {kind}.", remedy=_BUILD_HERE)
            found.append(Tensor(name=name, dtype=_DTYPES[kind],
                                is_input=engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT))
        return found

    def profiles(self, pixels: str, *, channels_first: bool) -> list[tuple[ShapeRange, int]]:
        """Of each profile the pictures that it takes, and how many at once."""
        engine = self.engine
        corners = [engine.get_tensor_profile_shape(pixels, index) for index in range(engine.num_optimization_profiles)]
        first = 2 if channels_first else 1
        ranges = [ShapeRange(**{corner: (int(shape[first]), int(shape[first + 1])) for corner, shape in
                                zip(("smallest", "optimum", "largest"), shapes, strict=True)}) for shapes in corners]
        return [(shapes, int(corner[2][0])) for shapes, corner in zip(ranges, corners, strict=True)]


@dataclass(frozen=True, kw_only=True)
class FoundPlan:
    """A plan that is what its manifest says, and the library it was built with; nothing is loaded yet."""

    stored: StoredEngine
    library: Library
    data: bytes


def find_plan(path: Path) -> FoundPlan:
    """A whole plan that is fit for this machine.

    Raises DamagedEngine, DeviceUnavailable, MissingPackage and ForeignEngine.
    """
    stored = EngineStore(path.parent).open(path)
    data = stored.plan()
    if reason := why_no_gpu():
        raise DeviceUnavailable(f"An engine runs on a GPU only: {reason}.",
                                remedy="Give the graph or the checkpoint instead: both run on the CPU too.")
    identity = stored.manifest.identity
    library = open_library(identity["flavour"], "Running an engine")
    if identity["version"] != library.version:
        raise ForeignEngine(f"{path} was built by {library.flavour} {identity['version']}; here is {library.version}.",
                            remedy=_BUILD_HERE)
    if library.flavour is Flavour.TENSORRT and not _runs_here(identity):
        raise ForeignEngine(f"{path} was built for {identity['target']}; here is {library.target(())}.",
                            remedy=_BUILD_HERE)
    return FoundPlan(stored=stored, library=library, data=data)


def _runs_here(identity: dict[str, Any]) -> bool:
    """Whether a plan of TensorRT says that it runs on this GPU and system."""
    gpu, _, system = str(identity["target"]).partition("; ")
    level = HardwareCompatibility(identity["options"]["hardware_compatibility"])
    here = gpu_name()
    if system != Library.system():
        return False
    if level is HardwareCompatibility.AMPERE_PLUS:
        return compute_capability() >= (8, 0)
    if level is HardwareCompatibility.SAME_COMPUTE_CAPABILITY:
        return gpu.rpartition(" ")[2] == here.rpartition(" ")[2]
    return gpu == here


def load_engine(found: FoundPlan) -> LoadedEngine:
    """Deserialise a plan in the CUDA context that is current.

    Raises ForeignEngine, and EngineError where the library refuses it.
    """
    stored, library, plan = found.stored, found.library, found.data
    trt = library.trt
    logger = message_collector(trt)
    runtime = trt.Runtime(logger)
    if library.flavour is Flavour.TENSORRT_RTX:
        _check_validity(trt, runtime, plan, stored)
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise EngineError(f"{library.flavour} {library.version} cannot load {stored.path}: {logger.told()}.",
                          remedy=_BUILD_HERE)
    return LoadedEngine(stored=stored, library=library, engine=engine, runtime=runtime, logger=logger)


def _check_validity(trt: Any, runtime: Any, plan: bytes, stored: StoredEngine) -> None:
    """Raise ForeignEngine with what TensorRT-RTX has against a plan on this GPU."""
    validity, diagnostics = runtime.get_engine_validity(plan)
    if validity != trt.EngineValidity.INVALID:
        return
    reasons = [name for name, value in trt.EngineInvalidityDiagnostics.__members__.items()
               if int(value) & int(diagnostics)]
    raise ForeignEngine(f"{stored.path} cannot run on {gpu_name()}: {', '.join(reasons) or 'no reason given'}.",
                        remedy="Build one with --compute-capability of this GPU, and check that the driver is new "
                               "enough.")
