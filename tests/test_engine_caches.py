"""The caches of the runtimes are files that processes share; a damaged one never ends the work."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from srn_deploy.engine.caches import SharedFile, begin_timing, keep_timing, kernel_file, timing_file
from srn_deploy.engine.contexts import ContextMaker
from srn_deploy.engine.library import Library, Runtime
from srn_deploy.engine.load import LoadedEngine
from srn_deploy.engine.monitor import message_collector
from srn_deploy.engine.store import EngineStore
from tests.optional import TENSORRT_RTX


def add_line(path: Path, line: bytes) -> None:
    SharedFile(path).update(lambda before: before + line)


def test_additions_of_several_processes_are_all_kept(tmp_path: Path) -> None:
    path = tmp_path / "timing.cache"
    adding = multiprocessing.get_context("spawn")
    processes = [adding.Process(target=add_line, args=(path, bytes([65 + index]) * 3)) for index in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert sorted(path.read_bytes()) == sorted(b"AAABBBCCCDDD")


def test_a_cache_that_cannot_be_used_is_logged_and_ignored(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    SharedFile(tmp_path / "file" / "timing.cache").update(lambda before: b"new")
    (tmp_path / "folder.cache").mkdir()
    assert SharedFile(tmp_path / "folder.cache").read() == b""
    assert [record.message.partition(" cannot be ")[2][:7] for record in caplog.records] == ["written", "read an"]


class FakeTimings:
    """ITimingCache: a set of letters, of one device."""

    def __init__(self, entries: bytes) -> None:
        self.entries = set(entries.decode())

    def combine(self, other: FakeTimings, ignore_mismatch: bool) -> bool:
        self.entries |= other.entries
        return not ignore_mismatch

    def serialize(self) -> bytes:
        return "".join(sorted(self.entries)).encode()


class FakeConfig:
    """IBuilderConfig: refuses timings of another device, which hold an x."""

    def __init__(self) -> None:
        self.timings: FakeTimings | None = None

    def create_timing_cache(self, kept: bytes) -> FakeTimings:
        return FakeTimings(kept)

    def set_timing_cache(self, timings: FakeTimings, ignore_mismatch: bool) -> bool:
        if "x" in timings.entries and not ignore_mismatch:
            return False
        self.timings = timings
        return True

    def get_timing_cache(self) -> FakeTimings | None:
        return self.timings


def test_a_build_starts_from_the_kept_timings_and_adds_its_own(tmp_path: Path) -> None:
    file, config = SharedFile(tmp_path / "timing.cache"), FakeConfig()
    file.path.write_bytes(b"ab")
    begin_timing(config, file)
    assert config.timings is not None
    assert config.timings.entries == {"a", "b"}
    config.timings.entries.add("c")
    file.path.write_bytes(b"abd")  # written by another build in the meantime
    keep_timing(config, file)
    assert file.path.read_bytes() == b"abcd"


def test_timings_of_another_device_are_not_used(tmp_path: Path) -> None:
    file, config = SharedFile(tmp_path / "timing.cache"), FakeConfig()
    file.path.write_bytes(b"xa")
    begin_timing(config, file)
    assert config.timings is not None
    assert config.timings.entries == set()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # TensorRT-RTX accepts a timing cache and does nothing
def test_the_calls_are_those_of_the_real_library(tmp_path: Path) -> None:
    trt = pytest.importorskip("tensorrt_rtx", reason=TENSORRT_RTX)

    logger = message_collector(trt)
    builder = trt.Builder(logger)
    config = builder.create_builder_config()
    file = SharedFile(tmp_path / "timing.cache")
    begin_timing(config, file)
    keep_timing(config, file)
    assert file.path.is_file() == (config.get_timing_cache() is not None)


def test_each_version_of_tensorrt_has_its_timing_file_and_tensorrt_rtx_has_none(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srn_deploy.engine.library.gpu_name", lambda: "Fake GPU 8.9")
    names = []
    for runtime, version in ((Runtime.TENSORRT, "10.16.1"), (Runtime.TENSORRT, "11.4.0"), (Runtime.TENSORRT_RTX, "1")):
        file = timing_file(tmp_path, Library(runtime=runtime, trt=SimpleNamespace(__version__=version)))
        names.append(file and file.path.name)
    assert names[0] != names[1]
    assert names[2] is None


class FakeRuntimeCache:
    """IRuntimeCache."""

    def __init__(self) -> None:
        self.kernels = b""

    def deserialize(self, blob: bytes) -> bool:
        self.kernels = blob
        return True

    def serialize(self) -> bytes:
        return self.kernels + b"+"


@pytest.fixture
def loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoadedEngine]:
    """An engine of TensorRT-RTX that can make execution contexts and nothing else."""
    trt = pytest.importorskip("tensorrt_rtx", reason=TENSORRT_RTX)
    monkeypatch.setattr("srn_deploy.engine.contexts.gpu_name", lambda: "Fake GPU 8.9")
    config = SimpleNamespace(set_execution_context_allocation_strategy=lambda strategy: None,
                             create_runtime_cache=FakeRuntimeCache, set_runtime_cache=lambda cache: True)
    yield LoadedEngine(stored=SimpleNamespace(path=tmp_path / "a.engine"),  # type: ignore[arg-type]
                       library=Library(runtime=Runtime.TENSORRT_RTX, trt=trt), trt_runtime=None, logger=None,
                       engine=SimpleNamespace(create_runtime_config=lambda: config))
    assert config.dynamic_shapes_kernel_specialization_strategy == trt.DynamicShapesKernelSpecializationStrategy.EAGER
    assert config.cuda_graph_strategy == trt.CudaGraphStrategy.DISABLED


def test_compiled_kernels_of_tensorrt_rtx_are_kept_and_found_again(loaded: LoadedEngine) -> None:
    for _ in range(2):
        ContextMaker(loaded).close()
    assert kernel_file(loaded.stored.path, "Fake GPU 8.9").read() == b"++"


def test_pruning_everything_removes_the_caches_too(tmp_path: Path) -> None:
    path = tmp_path / "timing-0123456789abcdef.cache"
    add_line(path, b"a")
    assert EngineStore(tmp_path).prune() == []
    assert EngineStore(tmp_path).prune(everything=True) == [path]
