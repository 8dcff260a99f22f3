"""Every name that the code uses exists: of TensorRT 10.16, 11.4 and TensorRT-RTX 1.7, of PyCUDA, of cuda-bindings.

The bindings of TensorRT itself cannot be installed everywhere, and PyCUDA cannot be imported without a driver;
their public names are kept in data/. The code calls modules and objects by the names below, and this test walks
its syntax tree.
"""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from tests.fake_gpu import FakeEngine, FakeExecution, FakeGpu, fake_cuda

OBJECTS = {"builder": "Builder", "config": "IBuilderConfig", "network": "INetworkDefinition", "parser": "OnnxParser",
           "profile": "IOptimizationProfile", "layer": "ILayer", "refusal": "ParserError", "cache": "ITimingCache",
           "engine": "ICudaEngine", "runtime": "Runtime", "context": "IExecutionContext",
           "self._context": "IExecutionContext", "runtime_config": "IRuntimeConfig", "runtime_cache": "IRuntimeCache",
           "self._runtime_cache": "IRuntimeCache"}
"""What the code's variables are."""

RTX_ALONE = {"ComputeCapability", "num_compute_capabilities", "set_compute_capability", "EngineValidity",
             "EngineInvalidityDiagnostics", "get_engine_validity", "IRuntimeCache", "create_runtime_cache",
             "set_runtime_cache", "CudaGraphStrategy", "cuda_graph_strategy",
             "DynamicShapesKernelSpecializationStrategy", "dynamic_shapes_kernel_specialization_strategy"}
"""Names that are used behind a question for the flavour."""

OURS = {"__init__", "__version__", "__members__", "errors", "told", "add_note"}
"""Attributes of these variables that are no names of the library."""

SOURCES = ("engine/build.py", "engine/monitor.py", "engine/library.py", "engine/load.py", "engine/contexts.py",
           "engine/caches.py", "backends/tensor_rt.py")

PYCUDA_OBJECTS = {"driver": "driver", "self._driver": "driver", "self._context": "Context", "self._stream": "Stream",
                  "self._driver.Context": "Context", "driver.Device(0)": "Device", "before": "Event",
                  "after": "Event"}


def api(repository: Path) -> dict[str, dict[str, list[str]]]:
    kept = json.loads((repository / "tests/data/tensorrt_api.json").read_text(encoding="utf-8"))
    return {f"{name} {entry['version']}": entry["api"] for name, entry in kept.items()}


def parsed(repository: Path, name: str) -> ast.Module:
    return ast.parse((repository / "srn_deploy" / name).read_text(encoding="utf-8"))


def attributes(tree: ast.AST, objects: dict[str, str]) -> set[tuple[str, str]]:
    """(what it is of, attribute) for every attribute of these objects."""
    owned = ((ast.unparse(node.value), node.attr) for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    return {(objects[owner], name) for owner, name in owned if owner in objects}


def used_names(tree: ast.AST) -> set[tuple[str, str]]:
    """(class or `trt`, attribute) for every attribute of the module and of its objects; (enum, member) too."""
    found = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or node.attr in OURS:
            continue
        owner = ast.unparse(node.value)
        if owner == "trt":
            found.add(("trt", node.attr))
        elif owner.startswith("trt.") and owner.count(".") == 1:
            found.add((owner.removeprefix("trt."), node.attr))
        elif owner in OBJECTS:
            found.add((OBJECTS[owner], node.attr))
    return found


@pytest.fixture(scope="module")
def used(repository: Path) -> set[tuple[str, str]]:
    return set().union(*(used_names(parsed(repository, name)) for name in SOURCES))


def test_every_name_exists_in_every_supported_library(repository: Path, used: set[tuple[str, str]]) -> None:
    missing = [f"{library}: {owner}.{name}"
               for library, names in api(repository).items() for owner, name in sorted(used)
               if (library.startswith("tensorrt_rtx") or not {owner, name} & RTX_ALONE)
               and name not in (names if owner == "trt" else names.get(owner, ()))]
    assert missing == []


def test_the_walk_sees_what_the_build_is_made_of(used: set[tuple[str, str]]) -> None:
    for name in (("trt", "Builder"), ("Builder", "build_serialized_network"), ("BuilderFlag", "TF32"),
                 ("IBuilderConfig", "progress_monitor"), ("NetworkDefinitionCreationFlag", "STRONGLY_TYPED"),
                 ("Runtime", "deserialize_cuda_engine"), ("IExecutionContext", "execute_async_v3"),
                 ("ICudaEngine", "create_execution_context"), ("IRuntimeCache", "serialize"),
                 ("ITimingCache", "combine"), ("LayerType", "CONVOLUTION"),
                 ("IOptimizationProfile", "set_shape"), ("ParserError", "desc")):
        assert name in used


def test_a_name_that_tensorrt_11_dropped_would_be_found(repository: Path) -> None:
    tree = ast.parse("config.set_flag(trt.BuilderFlag.FP16)\nlayer.precision = 1")
    assert used_names(tree) == {("IBuilderConfig", "set_flag"), ("trt", "BuilderFlag"), ("BuilderFlag", "FP16"),
                                ("ILayer", "precision")}
    eleven = next(names for library, names in api(repository).items() if library.startswith("tensorrt 11"))
    assert "FP16" not in eleven["BuilderFlag"]
    assert "precision" not in eleven["ILayer"]


def test_the_kept_names_are_those_of_the_installed_library(repository: Path) -> None:
    trt = pytest.importorskip("tensorrt_rtx")
    kept = next(names for library, names in api(repository).items() if library.startswith("tensorrt_rtx"))
    for owner in {*OBJECTS.values(), "BuilderFlag", "EngineValidity", "TensorIOMode"} - {"ILayer"}:
        assert {name for name in kept[owner] if not hasattr(getattr(trt, owner), name)} == set()


def test_every_name_of_pycuda_exists(repository: Path) -> None:
    kept = json.loads((repository / "tests/data/pycuda_api.json").read_text(encoding="utf-8"))["api"]
    used = attributes(parsed(repository, "backends/cuda_session.py"), PYCUDA_OBJECTS)
    assert [f"{owner}.{name}" for owner, name in sorted(used) if name not in kept[owner]] == []
    for name in (("driver", "pagelocked_empty"), ("driver", "memcpy_htod_async"), ("Event", "time_till"),
                 ("Device", "retain_primary_context"), ("Stream", "synchronize"), ("Context", "pop")):
        assert name in used


def test_every_name_of_cuda_bindings_exists(repository: Path) -> None:
    driver = pytest.importorskip("cuda.bindings.driver")
    tree = parsed(repository, "backends/cuda_graph.py")
    used = attributes(tree, {"driver": "", "self._driver": "", "self._driver.CUresult": "CUresult",
                             "self._driver.CUstreamCaptureMode": "CUstreamCaptureMode"})
    missing = [name for owner, name in used if not hasattr(getattr(driver, owner) if owner else driver, name)]
    assert missing == []
    assert {("", "cuStreamBeginCapture"), ("", "cuGraphLaunch"), ("CUresult", "CUDA_SUCCESS")} <= used


def test_the_gpu_of_host_memory_has_no_name_that_the_real_one_lacks(repository: Path) -> None:
    kept = json.loads((repository / "tests/data/pycuda_api.json").read_text(encoding="utf-8"))["api"]["driver"]
    assert sorted(set(vars(fake_cuda(FakeGpu()))) - set(kept)) == []
    for library, names in api(repository).items():
        for fake, real in ((FakeEngine, "ICudaEngine"), (FakeExecution, "IExecutionContext")):
            public = {name for name in vars(fake) if not name.startswith("_")}
            assert sorted(public - set(names[real])) == [], library
