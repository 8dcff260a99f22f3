"""The TensorRT backend on a GPU made of host memory (tests/fake_gpu.py): what it allocates, keeps and releases.

tests/gpu/ has the same claims for a real GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from srn_deploy.backends.cuda_graph import CudaGraph, NotCaptured
from srn_deploy.backends.cuda_session import CudaSession
from srn_deploy.backends.tensor_rt import MOST_SLOTS, TensorRtBackend
from srn_deploy.engine.identity import Identity
from srn_deploy.engine.library import Library, Runtime
from srn_deploy.engine.load import LoadedEngine
from srn_deploy.engine.manifest import Manifest
from srn_deploy.engine.monitor import message_collector
from srn_deploy.engine.options import BuildOptions
from srn_deploy.engine.store import StoredEngine
from srn_deploy.errors import BackendError, OutOfMemory, UnsuitableBatch
from srn_deploy.grid import ESA_GRID
from srn_deploy.inference.upscale import upscale_rgb
from srn_deploy.spec import ModelSpec
from srn_deploy.tiling.shapes import ShapeRange
from srn_deploy.tiling.windows import TileOptions
from tests.fake_gpu import (
    SCRATCH_BYTES_PER_PX,
    FakeEngine,
    FakeExecution,
    FakeGpu,
    Profile,
    fake_cuda,
    fake_graph_driver,
    fake_tensorrt,
    profile,
)
from tests.fakes import NEAREST

IDENTITY = Identity(graph_sha256="", options=BuildOptions(shapes=(ShapeRange.parse("8x8"),)), runtime=Runtime.TENSORRT,
                    version="11.4.0", srn_deploy="0", target="")

ESA = replace(NEAREST, grids=(ESA_GRID,), min_side_px=15, alignment_px=6, halo_px=12)


@dataclass
class Bench:
    gpu: FakeGpu
    backend: TensorRtBackend


Opened = Callable[..., Bench]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    """Opens engines, and checks at the end that each has released everything."""
    benches: list[Bench] = []

    def opening(*profiles: Profile, spec: ModelSpec = NEAREST, graphs: bool = True, **state: Any) -> Bench:
        gpu = FakeGpu(**state)
        manifest = Manifest(name="nearest", identity=IDENTITY, spec=spec, engine_sha256="", engine_bytes=0,
                            build_seconds=0, convolutions={})
        trt = fake_tensorrt()
        loaded = LoadedEngine(stored=StoredEngine(path=tmp_path / "nearest.engine", manifest=manifest),
                              library=Library(runtime=Runtime.TENSORRT, trt=trt), trt_runtime=None,
                              engine=FakeEngine(gpu, list(profiles), spec.scale), logger=message_collector(trt))
        backend = TensorRtBackend(loaded, CudaSession(fake_cuda(gpu)), fake_graph_driver(gpu) if graphs else None)
        benches.append(Bench(gpu, backend))
        return benches[-1]

    yield opening
    for bench in benches:
        bench.backend.close()
        bench.backend.close()
        assert (bench.gpu.used_bytes, bench.gpu.stack) == (0, 0)


def drawn(*shape: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def enlarged(batch: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return batch.repeat(2, axis=1).repeat(2, axis=2)


def test_the_result_of_a_batch_belongs_to_the_caller(opened: Opened) -> None:
    bench = opened(profile((8, 8), (64, 64), batch=2))
    first = drawn(2, 20, 30, 3)
    results = [bench.backend.run(batch) for batch in (first, drawn(2, 20, 30, 3, seed=1))]
    np.testing.assert_array_equal(results[0], enlarged(first))
    assert results[0].dtype == np.uint8
    assert results[0].flags.owndata
    assert bench.gpu.stack == 0


def test_a_shape_is_run_once_then_captured_and_launched_from_then_on(opened: Opened) -> None:
    bench = opened(profile((8, 8), (64, 64)))
    for seed in range(4):
        batch = drawn(1, 20, 30, 3, seed=seed)
        np.testing.assert_array_equal(bench.backend.run(batch), enlarged(batch))
    assert bench.gpu.calls["execute_async_v3"] == 2
    assert bench.gpu.calls["cuGraphLaunch"] == 3
    assert bench.gpu.calls["create_execution_context"] == 1


def test_pinned_memory_is_used_again_for_a_shape(opened: Opened) -> None:
    bench = opened(profile((8, 8), (64, 64)))
    for seed in range(3):
        bench.backend.run(drawn(1, 20, 30, 3, seed=seed))
    assert bench.gpu.calls["pagelocked_empty"] == 2


def test_memory_is_sized_for_the_shape_not_for_the_profile(opened: Opened) -> None:
    bench = opened(profile((8, 8), (2000, 2000)))
    bench.backend.run(drawn(1, 20, 30, 3))
    assert bench.gpu.used_bytes == 20 * 30 * (SCRATCH_BYTES_PER_PX + 3 + 4 * 3)


def test_only_the_last_shapes_stay_ready(opened: Opened) -> None:
    bench = opened(profile((8, 8), (64, 64)))
    for side in range(20, 20 + 2 * MOST_SLOTS):
        bench.backend.run(drawn(1, side, side, 3))
    kept = sum(side**2 * (SCRATCH_BYTES_PER_PX + 15) for side in range(20 + MOST_SLOTS, 20 + 2 * MOST_SLOTS))
    assert bench.gpu.used_bytes == kept


def test_a_failed_capture_is_logged_once_and_the_work_goes_on(
        opened: Opened, caplog: pytest.LogCaptureFixture) -> None:
    bench = opened(profile((8, 8), (64, 64)), captures_fail=True)
    for seed in range(4):
        batch = drawn(1, 20, 30, 3, seed=seed)
        np.testing.assert_array_equal(bench.backend.run(batch), enlarged(batch))
    assert [record.message for record in caplog.records] == [
        "CUDA graphs are not used: CUDA reported CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"]
    assert bench.gpu.calls["cuGraphLaunch"] == 0


def test_a_capture_that_raises_is_ended() -> None:
    gpu = FakeGpu()

    def enqueue() -> None:
        raise BackendError("did not run", remedy="none")

    with pytest.raises(NotCaptured, match="did not run"):
        CudaGraph(fake_graph_driver(gpu), 77, enqueue)
    assert gpu.capturing is None


def test_the_profile_tuned_nearest_to_the_shape_is_taken(opened: Opened) -> None:
    bench = opened(profile((8, 8), (200, 200)), profile((8, 8), (40, 40)), profile((100, 100), (120, 120)))
    for side in (40, 110, 150):
        bench.backend.run(drawn(1, side, side, 3))
    assert [slot._context._profile for slot in bench.backend._slots.values()] == [1, 2, 0]


def test_a_shape_that_no_profile_takes_is_refused_with_what_they_take(opened: Opened) -> None:
    bench = opened(profile((16, 16), (64, 64), batch=2))
    with pytest.raises(UnsuitableBatch, match=r"16x16\.\.64x64@64x64 \(up to 2 at once\), not 1 of 65x20"):
        bench.backend.run(drawn(1, 65, 20, 3))
    with pytest.raises(UnsuitableBatch, match="not 3 of 20x20"):
        bench.backend.run(drawn(3, 20, 20, 3))


@pytest.mark.parametrize("size", [(150, 170), (64, 300), (20, 20), (5, 200)])
def test_an_image_outside_the_profiles_is_tiled_into_them(opened: Opened, size: tuple[int, int]) -> None:
    bench = opened(profile((15, 15), (60, 72), esa=True), spec=ESA)
    picture = drawn(*size, 3)
    np.testing.assert_array_equal(upscale_rgb(picture, bench.backend), enlarged(picture[None])[0])
    assert len(bench.backend._slots) <= MOST_SLOTS


def test_windows_are_run_with_their_own_matrices(opened: Opened) -> None:
    bench = opened(profile((15, 15), (60, 72), batch=2, esa=True), spec=ESA)
    upscale_rgb(drawn(100, 100, 3), bench.backend, TileOptions(tiles_per_batch=2))
    (slot, *_) = bench.backend._slots.values()
    rows = slot._device["rows"]._array(slot._host["rows"].shape, "float32")
    np.testing.assert_allclose(rows.sum(axis=2), 1, rtol=1e-6)


def test_when_memory_runs_out_the_slots_of_other_shapes_are_closed(opened: Opened) -> None:
    one_picture = 64 * 64 * (SCRATCH_BYTES_PER_PX + 15)
    bench = opened(profile((8, 8), (64, 65)), memory_bytes=one_picture * 3 // 2)
    bench.backend.run(drawn(1, 64, 64, 3))
    batch = drawn(1, 64, 63, 3)
    np.testing.assert_array_equal(bench.backend.run(batch), enlarged(batch))
    assert list(bench.backend._slots) == [(1, 64, 63)]


def test_an_image_that_does_not_fit_is_tiled_smaller_and_leaves_no_memory_behind(
        opened: Opened, caplog: pytest.LogCaptureFixture) -> None:
    bench = opened(profile((15, 15), (600, 600), esa=True), spec=ESA, memory_bytes=3_000_000)
    picture = drawn(290, 300, 3)
    with pytest.raises(OutOfMemory, match="has no 5 MiB"):
        bench.backend.run(picture[None])
    assert bench.gpu.used_bytes == 0
    upscaled = upscale_rgb(picture, bench.backend, TileOptions(tile=None))
    np.testing.assert_array_equal(upscaled, enlarged(picture[None])[0])
    assert "continuing with tiles of 150 px" in caplog.text


def test_the_limits_are_those_of_the_profiles_and_of_the_free_memory(opened: Opened) -> None:
    bench = opened(profile((16, 16), (64, 80), batch=3), profile((16, 16), (99, 99)), memory_bytes=10_000)
    limits = bench.backend.limits
    assert [str(shapes) for shapes in limits.shapes] == ["16x16..64x80@64x80", "16x16..99x99@99x99"]
    assert (limits.largest_batch, limits.activation_bytes) == (1, 5_000)


def test_a_prepared_step_works_after_other_shapes_took_its_slot(opened: Opened) -> None:
    bench = opened(profile((8, 8), (64, 64)))
    step = bench.backend.prepare((1, 30, 30))
    for side in range(20, 20 + MOST_SLOTS):
        bench.backend.run(drawn(1, side, side, 3))
    step()
    assert (1, 30, 30) in bench.backend._slots


def test_a_measured_step_returns_milliseconds_of_the_gpus_clock(opened: Opened) -> None:
    bench = opened(profile((8, 8), (64, 64)))
    step = bench.backend.measure((1, 30, 30))
    assert [step(), step()] == [0.25, 0.25]
    assert bench.gpu.calls["cuGraphLaunch"] == 3
    assert bench.gpu.calls["pagelocked_empty"] == 2


def test_memory_held_by_slots_counts_as_free(opened: Opened) -> None:
    bench = opened(profile((8, 8), (64, 64)))
    before = bench.backend.limits
    bench.backend.run(drawn(1, 64, 64, 3))
    assert bench.backend.limits == before


def test_an_error_of_the_bindings_is_a_backend_error_and_closing_still_frees_everything(
        opened: Opened, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    bench = opened(profile((8, 8), (64, 64)))
    bench.backend.run(drawn(1, 20, 20, 3))

    def raising(*arguments: object) -> None:
        raise RuntimeError("an illegal memory access was encountered")

    monkeypatch.setattr(FakeExecution, "infer_shapes", raising)
    with pytest.raises(BackendError, match="illegal memory access"):
        bench.backend.run(drawn(1, 30, 30, 3))
    monkeypatch.setattr(bench.backend._session, "wait", raising)
    bench.backend.close()
    assert "The GPU was not left in order" in caplog.text
    assert bench.gpu.used_bytes == 0


def test_a_closed_backend_says_so(opened: Opened) -> None:
    bench = opened(profile((8, 8), (64, 64)))
    with closing(bench.backend):
        pass
    with pytest.raises(BackendError, match="has been closed"):
        bench.backend.run(drawn(1, 20, 20, 3))


def test_an_error_of_cuda_is_a_backend_error_and_leaves_the_context_stack_as_it_was(opened: Opened) -> None:
    bench = opened(profile((8, 8), (64, 64)))
    bench.gpu.capturing = []  # whatever waits for the stream fails now
    with pytest.raises(BackendError, match="CUDA failed: cuStreamSynchronize failed"):
        bench.backend.run(drawn(1, 20, 20, 3))
    bench.gpu.capturing = None
    assert bench.gpu.stack == 0
