"""The TensorRT backend on a real GPU: build, certificate, exact tiling, CUDA graphs, lack of memory, use with torch.

tests/test_tensor_rt.py has the same claims for a GPU made of host memory.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from srn_deploy.backends.cuda_session import open_session
from srn_deploy.backends.tensor_rt import TensorRtBackend, open_engine
from srn_deploy.engine.library import Runtime
from srn_deploy.engine.store import EngineStore, StoredEngine
from srn_deploy.engine_request import EngineRequest, request_engine
from srn_deploy.errors import OutOfMemory
from srn_deploy.image import read_image
from srn_deploy.inference.upscale import upscale_rgb
from srn_deploy.open_model import open_model
from srn_deploy.spec import Precision
from srn_deploy.tiling.windows import TileOptions
from tests.optional import TORCH

HALF_PRECISION_LEVELS = 4
"""FP16 has ten bits of fraction, and two tiles may be run by different kernels."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> EngineStore:
    return EngineStore(tmp_path_factory.mktemp("engines"))


@pytest.fixture(scope="module", params=list(Runtime), ids=str)
def engine(request: pytest.FixtureRequest, store: EngineStore) -> StoredEngine:
    """The default model in FP16, built here by each library that is installed."""
    for package in (str(request.param).replace("-", "_"), "pycuda", "onnx"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    wanted = EngineRequest(precision=Precision.FP16, shapes=("15x15..512x512@339x510",), runtime=str(request.param))
    built = request_engine(None, wanted, store)
    if built.manifest.certificate is None:
        pytest.skip("the library builds no engines for this GPU")
    return built


@pytest.fixture
def backend(engine: StoredEngine) -> Iterator[TensorRtBackend]:
    with closing(open_engine(engine.path)) as opened:
        yield opened


@pytest.fixture(scope="module")
def picture(repository: Path) -> NDArray[np.uint8]:
    return read_image(repository / "benchmarks/pictures/demo.png").as_rgb8()


def test_the_engine_was_certified_when_it_was_built(engine: StoredEngine) -> None:
    certificate = engine.manifest.certificate
    assert certificate is not None
    assert certificate.passed, certificate


def test_tiles_of_an_engine_are_those_of_the_whole_image(
        backend: TensorRtBackend, picture: NDArray[np.uint8]) -> None:
    whole = upscale_rgb(picture[:339, :510], backend)
    tiled = upscale_rgb(picture[:339, :510], backend, TileOptions(tile=96))
    difference = np.abs(tiled.astype(int) - whole)
    assert difference.max() <= HALF_PRECISION_LEVELS
    assert (difference > 1).mean() < 1e-4


def test_a_graph_gives_what_the_plain_pass_gave(backend: TensorRtBackend, picture: NDArray[np.uint8]) -> None:
    batches = [np.ascontiguousarray(picture[None, top:top + 96, :128]) for top in (0, 40, 80, 120)]
    plain = [TensorRtBackend.run(backend, batches[0])]
    plain += [backend.run(batch) for batch in batches]
    assert backend._graphs is not None, "the capture failed"
    assert next(iter(backend._slots.values())).graph is not None
    np.testing.assert_array_equal(plain[0], plain[1])
    assert not np.array_equal(plain[1], plain[2])


def test_a_shortage_of_memory_makes_tiles_smaller(backend: TensorRtBackend, picture: NDArray[np.uint8]) -> None:
    expected = upscale_rgb(picture, backend, TileOptions(tile=64))
    with backend._session.current():
        backend._drop_slots()
    hog = open_session()
    with hog.current():
        taken = []
        for size in (2**30, 2**26, 2**22):  # until almost nothing is free
            try:
                while True:
                    taken.append(hog.allocate(size))
            except OutOfMemory:
                continue
        for _ in range(min(12, len(taken))):  # 48 MiB: some tile fits, the whole does not
            taken.pop().free()
    try:
        result = upscale_rgb(picture, backend, TileOptions(tile=None))
    finally:
        with hog.current():
            for allocation in taken:
                allocation.free()
        hog.close()
    assert np.abs(result.astype(int) - expected).max() <= HALF_PRECISION_LEVELS


def test_torch_in_the_same_process_goes_on_working(backend: TensorRtBackend, picture: NDArray[np.uint8]) -> None:
    torch = pytest.importorskip("torch", reason=TORCH)
    if not torch.cuda.is_available():
        pytest.skip("this PyTorch finds no GPU")
    batch = np.ascontiguousarray(picture[None, :64, :64])
    before = torch.arange(1000, device="cuda").sum()
    first = backend.run(batch)
    between = torch.arange(1000, device="cuda").sum()
    np.testing.assert_array_equal(backend.run(batch), first)
    assert int(before) == int(between) == 499_500


def test_auto_takes_the_engine(engine: StoredEngine, monkeypatch: pytest.MonkeyPatch,
                               caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("SRN_CACHE", str(engine.path.parent))
    caplog.set_level("INFO", "srn_deploy")
    open_model().close()
    assert caplog.messages[-1].endswith("on the GPU (an engine of it is in the cache).")
