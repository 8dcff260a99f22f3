"""A machine with a GPU, TensorRT, PyCUDA and cuda-bindings, all made of host memory; engines of the default model."""

from __future__ import annotations

import ctypes
import dataclasses
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from srn_deploy.backends.onnx_runtime import OnnxRuntimeBackend
from srn_deploy.engine.identity import Identity
from srn_deploy.engine.library import Runtime
from srn_deploy.engine.options import BuildOptions
from srn_deploy.engine.store import EngineStore, StoredEngine
from srn_deploy.spec import ModelSpec, Precision
from srn_deploy.system import cuda_driver
from srn_deploy.system.hashing import sha256_of_file
from srn_deploy.tiling.interpolation import Geometry
from srn_deploy.tiling.shapes import ShapeRange
from tests.fake_gpu import FakeEngine, FakeGpu, fake_cuda, fake_graph_driver, fake_tensorrt, profile
from tests.fake_libcuda import FakeLibcuda

SHAPES = ShapeRange(smallest=(15, 15), largest=(320, 320), optimum=(320, 320))
HERE = "Fake GPU 8.9; Linux x86_64"


class Machine:
    """In place until the test ends."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        self.libcuda, self.gpu = FakeLibcuda(), FakeGpu()
        driver = SimpleNamespace(**{name: getattr(ctypes, name) for name in dir(ctypes) if not name.startswith("__")})
        driver.CDLL = lambda name: self.libcuda
        monkeypatch.setattr(cuda_driver, "ctypes", driver)
        monkeypatch.setattr("platform.system", lambda: "Linux")
        monkeypatch.setattr("platform.machine", lambda: "x86_64")
        self.module("pycuda", driver=fake_cuda(self.gpu))
        self.module("cuda", bindings=None)
        self.module("cuda.bindings", driver=fake_graph_driver(self.gpu))
        self.runs(None)

    def module(self, name: str, **members: Any) -> None:
        module = ModuleType(name)
        vars(module).update(members)
        self.monkeypatch.setitem(sys.modules, name, module)

    def runs(self, engine: FakeEngine | None, library: str = "tensorrt", **members: Any) -> None:
        """Make TensorRT deserialise every plan to this engine."""
        self.module(library, **{**vars(fake_tensorrt(engine)), **members})


def stored(store: EngineStore, graph: Path, spec: ModelSpec, *, version: str = "11.4.0", target: str = HERE,
           runtime: Runtime = Runtime.TENSORRT, **options: Any) -> StoredEngine:
    """A stored engine of the default model; its plan is not a real one."""
    chosen = BuildOptions(**{"precision": Precision.FP16, "shapes": (SHAPES,), **options})
    identity = Identity(graph_sha256=sha256_of_file(graph), options=chosen, runtime=runtime, version=version,
                        srn_deploy="0", target=target)
    return store.save("model", identity, b"a plan", spec=dataclasses.replace(spec, precision=Precision.FP16),
                      build_seconds=1, convolutions={"HALF": 26})


def computing(gpu: FakeGpu, graph: Path, change: int = 0) -> FakeEngine:
    """An engine that computes the graph with ONNX Runtime and adds `change` to every value."""
    backend = OnnxRuntimeBackend(graph)

    def compute(inputs: dict[str, NDArray[Any]]) -> NDArray[Any]:
        geometry = Geometry(rows=(inputs["rows"],), cols=(inputs["cols"],))
        return backend.run(inputs["pixels"], geometry) + np.uint8(change)

    return FakeEngine(gpu, [profile(SHAPES.smallest, SHAPES.largest, esa=True)], backend.spec.scale, compute)
