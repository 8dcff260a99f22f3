"""Every name that the code uses exists in TensorRT 10.16 and 11.4, TensorRT-RTX 1.7, PyCUDA and cuda-bindings.

TensorRT cannot be installed everywhere, and PyCUDA cannot be imported without a driver; their public names are
recorded in data/. Building, loading and running are run on stand-ins that have those names and no others.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from srn_deploy.backends.cuda_session import CudaSession
from srn_deploy.backends.tensor_rt import TensorRtBackend
from srn_deploy.engine.build import GraphToBuild, build_engine, read_graph
from srn_deploy.engine.library import Library, Runtime
from srn_deploy.engine.load import FoundPlan, load_engine
from srn_deploy.engine.options import BuildOptions, HardwareCompatibility
from srn_deploy.engine.store import EngineStore, StoredEngine
from srn_deploy.errors import EngineNotBuilt, ForeignEngine
from srn_deploy.tiling.shapes import ShapeRange
from tests.fake_gpu import (
    FakeAllocation,
    FakeEngine,
    FakeExecution,
    FakeGpu,
    fake_cuda,
    fake_graph_driver,
    fake_tensorrt,
    profile,
)
from tests.optional import CUDA_BINDINGS, TENSORRT_RTX
from tests.recorded_api import Instance, Recorded

LIBRARIES = {"tensorrt 10.16": Runtime.TENSORRT, "tensorrt 11.4": Runtime.TENSORRT,
             "tensorrt_rtx 1.7": Runtime.TENSORRT_RTX}

MODULES = ("engine/build.py", "engine/monitor.py", "engine/library.py", "engine/load.py", "engine/contexts.py",
           "engine/caches.py", "backends/tensor_rt.py")
"""The files that use the libraries."""

OF_A_REFUSAL = {"num_errors", "get_error", "desc", "node_name", "node_operator"}
"""Names that are used after a graph was refused."""

PYTHON_NAMES = {"allocate", "append", "clear", "close", "data", "dtype", "engine", "errors", "log", "logger", "message",
                "name", "nbytes", "node", "pop", "precision", "read", "shape", "update"}
"""Names of this package, Python and NumPy that are also names somewhere in the libraries."""

SHAPES = (ShapeRange.parse("30x30"),)


@pytest.fixture(autouse=True, scope="module")
def gpu_name() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for module in ("library", "contexts", "load"):
            patch.setattr(f"srn_deploy.engine.{module}.gpu_name", lambda: "Fake GPU 8.9")
        yield


@pytest.fixture(scope="module")
def graph(repository: Path) -> GraphToBuild:
    """A shipped x2 graph of a network with ESA."""
    return read_graph(repository / "models/srn-s-b6-x2.onnx")


def built(name: str, graph: GraphToBuild, folder: Path, trt: Recorded, **options: Any) -> StoredEngine:
    library = Library(runtime=LIBRARIES[name], trt=trt)
    return build_engine(graph, BuildOptions(shapes=SHAPES, **options), library,
                        EngineStore(folder))


def option_sets(runtime: Runtime) -> Iterator[dict[str, Any]]:
    """Options that take each way through the build."""
    yield {"tf32": True}
    yield {}
    if runtime is Runtime.TENSORRT_RTX:
        yield {"compute_capabilities": ("8.9", "12.0")}
    else:
        yield from ({"hardware_compatibility": level} for level in HardwareCompatibility)


def run_on(stored: StoredEngine, trt: Recorded, runtime: Runtime) -> None:
    """Load an engine twice, the second time with the kernels of the first, and run it."""
    for _ in range(2):
        gpu = FakeGpu()
        session = CudaSession(fake_cuda(gpu))
        library = Library(runtime=runtime, trt=trt)
        with session.current():
            loaded = load_engine(FoundPlan(stored=stored, library=library, data=stored.plan()))
        with closing(TensorRtBackend(loaded, session, fake_graph_driver(gpu))) as backend:
            backend.prepare((1, 30, 30))()
            assert backend.limits.shapes == SHAPES


@pytest.fixture(scope="module")
def used(graph: GraphToBuild, tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """By library: everything built, loaded and run on its stand-in, which has no other names than the library."""
    found = {}
    for name, runtime in LIBRARIES.items():
        trt, folder = Recorded(name), tmp_path_factory.mktemp("engines")
        for options in option_sets(runtime):
            run_on(built(name, graph, folder, trt, **options), trt, runtime)
        found[name] = trt.used
    return found


@pytest.mark.parametrize("name", LIBRARIES)
def test_building_loading_and_running_use_only_names_of_the_library(used: dict[str, set[str]], name: str) -> None:
    assert {"Builder.build_serialized_network", "IBuilderConfig.progress_monitor", "Runtime.deserialize_cuda_engine",
            "IOptimizationProfile.set_shape", "IExecutionContext.execute_async_v3"} <= used[name]
    assert ("IRuntimeCache.deserialize" in used[name]) == (LIBRARIES[name] is Runtime.TENSORRT_RTX)
    assert ("ITimingCache.combine" in used[name]) == (LIBRARIES[name] is Runtime.TENSORRT)


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_refusal_uses_only_names_of_the_library(name: str, graph: GraphToBuild, tmp_path: Path) -> None:
    with pytest.raises(EngineNotBuilt, match="cannot read the graph"):
        built(name, graph, tmp_path, Recorded(name, **{"OnnxParser.parse": False}))
    with pytest.raises(EngineNotBuilt, match="built nothing"):
        built(name, graph, tmp_path, Recorded(name, **{"Builder.build_serialized_network": None}))
    with pytest.raises(EngineNotBuilt, match="make no profile"):
        built(name, graph, tmp_path, Recorded(name, **{"IBuilderConfig.add_optimization_profile": -1}))


def test_a_plan_that_is_not_valid_uses_only_names_of_the_library(graph: GraphToBuild, tmp_path: Path) -> None:
    name = "tensorrt_rtx 1.7"
    trt = Recorded(name)
    stored = built(name, graph, tmp_path, trt)
    validity = trt.EngineValidity.INVALID, int(trt.EngineInvalidityDiagnostics.UNSUPPORTED_CC)
    refusing = Recorded(name, **{"Runtime.get_engine_validity": validity})
    with pytest.raises(ForeignEngine, match="UNSUPPORTED_CC"):
        run_on(stored, refusing, Runtime.TENSORRT_RTX)


def test_the_runs_use_every_name_of_the_libraries_that_the_code_has(
        repository: Path, used: dict[str, set[str]]) -> None:
    """So that no line that uses a library is left out above."""
    run = {name.partition(".")[2] for names in used.values() for name in names}
    members = {member for name in LIBRARIES for members in Recorded(name).members() for member in members
               if not member.isupper()}
    written = {node.attr for module in MODULES
               for node in ast.walk(ast.parse((repository / "srn_deploy" / module).read_text(encoding="utf-8")))
               if isinstance(node, ast.Attribute)}
    assert (written & members) - run - OF_A_REFUSAL - PYTHON_NAMES == set()


def test_a_name_that_tensorrt_11_dropped_is_refused() -> None:
    ten, eleven = Recorded("tensorrt 10.16"), Recorded("tensorrt 11.4")
    assert ten.BuilderFlag.FP16
    with pytest.raises(AttributeError):
        _ = eleven.BuilderFlag.FP16
    Instance(ten, "ILayer").precision = 1
    with pytest.raises(AttributeError, match="ILayer has no precision"):
        Instance(eleven, "ILayer").precision = 1
    with pytest.raises(AttributeError, match="the library has no IAlgorithmSelector2"):
        _ = eleven.IAlgorithmSelector2


def test_the_recorded_names_are_those_of_the_installed_library() -> None:
    trt = pytest.importorskip("tensorrt_rtx", reason=TENSORRT_RTX)
    recorded = Recorded("tensorrt_rtx 1.7")
    for owner in ("Builder", "IBuilderConfig", "INetworkDefinition", "OnnxParser", "IOptimizationProfile",
                  "ParserError", "ITimingCache", "ICudaEngine", "Runtime", "IExecutionContext", "IRuntimeConfig",
                  "IRuntimeCache", "BuilderFlag", "EngineValidity", "TensorIOMode"):
        assert {name for name in recorded.names_of(owner) if not hasattr(getattr(trt, owner), name)} == set()


def public(thing: object) -> set[str]:
    return {name for name in dir(thing) if not name.startswith("_")}


def test_the_gpu_of_host_memory_has_only_names_of_pycuda(repository: Path) -> None:
    """Everything that `cuda_session` does is run on it, so `cuda_session` uses no other names either."""
    recorded = json.loads((repository / "tests/data/pycuda_api.json").read_text(encoding="utf-8"))["api"]
    gpu = FakeGpu(stack=1)
    driver = fake_cuda(gpu)
    things = {"driver": driver, "Context": driver.Context(), "Stream": driver.Stream(1), "Event": driver.Event(),
              "Device": driver.Device(0), "DeviceAllocation": FakeAllocation(gpu, 1)}
    assert {owner: sorted(public(thing) - set(recorded[owner])) for owner, thing in things.items()} == {
        owner: [] for owner in things}


@pytest.mark.parametrize("name", [name for name, runtime in LIBRARIES.items() if runtime is Runtime.TENSORRT])
def test_the_engine_of_host_memory_has_only_names_of_tensorrt(name: str) -> None:
    recorded, engine = Recorded(name), FakeEngine(FakeGpu(), [profile((8, 8), (64, 64))], 2)
    assert sorted(public(engine) - set(recorded.names_of("ICudaEngine"))) == []
    assert sorted(public(FakeExecution(engine)) - set(recorded.names_of("IExecutionContext"))) == []
    assert [hasattr(recorded, attribute) for attribute in public(fake_tensorrt(engine))] == [True] * 4


def test_the_fake_graph_driver_has_only_names_of_cuda_bindings() -> None:
    driver = pytest.importorskip("cuda.bindings.driver", reason=CUDA_BINDINGS)
    fake = fake_graph_driver(FakeGpu())
    assert sorted(name for name in public(fake) if not hasattr(driver, name)) == []
    for enumeration in ("CUresult", "CUstreamCaptureMode"):
        names = [name for name in public(getattr(fake, enumeration)) if name.startswith("CU")]
        assert names
        assert [name for name in names if not hasattr(getattr(driver, enumeration), name)] == []
