"""How many threads: the quota of a container, the affinity mask, OMP_NUM_THREADS and what the user asks for."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import srn_deploy
from srn_deploy.errors import OptionError
from srn_deploy.inference import jobs
from srn_deploy.inference.plan import Job
from srn_deploy.registry.resolve import resolve
from srn_deploy.system import control_groups
from srn_deploy.system.threads import (
    cpu_quota,
    cpu_threads,
    fitting_threads,
    thread_limit,
    threads_in_use,
    usable_cores,
)
from tests.fakes import NearestBackend
from tests.optional import TORCH, needs_openvino

CORES = 64


class Groups:
    """A made-up tree of control groups, on a machine of 64 cores."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self._table = folder / "cgroup", folder / "table"
        self.root.mkdir()
        self._table.write_text("", encoding="utf-8")
        monkeypatch.setattr(control_groups, "ROOT", self.root)
        monkeypatch.setattr(control_groups, "TABLE", self._table)
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(CORES)))
        monkeypatch.setattr(os, "cpu_count", lambda: CORES)
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)

    def process(self, *lines: str) -> None:
        self._table.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def file(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(f"{text}\n", encoding="utf-8")


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Groups:
    return Groups(tmp_path, monkeypatch)


@pytest.mark.parametrize(("limit", "threads"), [("200000 100000", 2), ("150000 100000", 2), ("50000 100000", 1),
                                                ("1000 100000", 1), ("max 100000", CORES), ("9900000 100000", CORES)])
def test_a_quota_of_version_2_is_rounded_up(groups: Groups, limit: str, threads: int) -> None:
    groups.process("0::/docker/abc")
    groups.file("docker/abc/cpu.max", limit)
    assert usable_cores() == threads_in_use() == threads


@pytest.mark.parametrize("mount", ["cpu,cpuacct", "cpuacct,cpu", "cpu"])
def test_a_quota_of_version_1_is_read(groups: Groups, mount: str) -> None:
    groups.process("4:memory:/", "3:cpu,cpuacct:/kubepods/pod1", "1:name=systemd:/")
    groups.file(f"{mount}/kubepods/pod1/cpu.cfs_quota_us", "250000")
    groups.file(f"{mount}/kubepods/pod1/cpu.cfs_period_us", "100000")
    assert cpu_quota() == 2.5
    groups.file(f"{mount}/kubepods/pod1/cpu.cfs_quota_us", "-1")
    assert cpu_quota() is None


@pytest.mark.parametrize(("outer", "inner", "quota"), [("300000 100000", "max 100000", 3),
                                                       ("max 100000", "50000 50000", 1),
                                                       ("200000 100000", "700000 100000", 2),
                                                       ("700000 100000", "200000 100000", 2)])
def test_of_nested_groups_the_smallest_quota_holds(groups: Groups, outer: str, inner: str, quota: float) -> None:
    groups.process("0::/slice/service/leaf")
    groups.file("slice/cpu.max", outer)
    groups.file("slice/service/cpu.max", inner)
    assert cpu_quota() == quota


def test_a_container_that_sees_its_own_group_as_the_outermost_is_limited_by_it(groups: Groups) -> None:
    groups.process("0::/path/on/the/host")
    groups.file("cpu.max", "400000 100000")
    assert cpu_quota() == 4


def test_quotas_of_other_groups_do_not_count(groups: Groups) -> None:
    groups.process("0::/mine")
    groups.file("other/cpu.max", "100000 100000")
    groups.file("mine/child/cpu.max", "100000 100000")
    assert cpu_quota() is None


@pytest.mark.parametrize("text", ["", "many", "1 2 3", "-1 100000", "100000 0"])
def test_a_file_that_is_no_quota_is_none(groups: Groups, text: str) -> None:
    groups.process("0::/", "nonsense")
    groups.file("cpu.max", text)
    assert cpu_quota() is None


def test_an_affinity_below_the_quota_holds(groups: Groups, monkeypatch: pytest.MonkeyPatch) -> None:
    groups.process("0::/")
    groups.file("cpu.max", "800000 100000")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 5, 7})
    assert threads_in_use() == thread_limit() == 3


def test_the_environment_counts_before_the_quota_and_what_is_asked_for_before_both(
        groups: Groups, monkeypatch: pytest.MonkeyPatch) -> None:
    groups.process("0::/")
    groups.file("cpu.max", "200000 100000")
    monkeypatch.setenv("OMP_NUM_THREADS", "5,2")
    assert threads_in_use() == thread_limit() == 5
    with cpu_threads(7):
        assert threads_in_use() == thread_limit() == 7
        with cpu_threads(None):
            assert threads_in_use() == 7
    assert threads_in_use() == 5


def test_without_a_limit_a_library_keeps_its_own_choice(groups: Groups) -> None:
    assert thread_limit() == 0
    assert fitting_threads(9) == 9


def test_a_number_that_a_program_has_set_is_only_made_smaller_unless_one_is_asked_for(groups: Groups) -> None:
    groups.process("0::/")
    groups.file("cpu.max", "400000 100000")
    assert (fitting_threads(2), fitting_threads(9)) == (2, 4)
    with cpu_threads(6):
        assert (fitting_threads(2), fitting_threads(9)) == (6, 6)


@pytest.mark.parametrize("count", [0, -1, 1.5, "2", True])
def test_what_is_no_number_of_threads_is_refused(count: Any) -> None:
    with pytest.raises(OptionError, match="threads are not possible"), cpu_threads(count):
        pytest.fail("the block must not be entered")


@pytest.fixture
def two_cores_of_time(groups: Groups) -> None:
    groups.process("0::/")
    groups.file("cpu.max", "200000 100000")


@pytest.mark.usefixtures("two_cores_of_time")
def test_onnx_runtime_follows_the_quota_and_what_is_asked_for() -> None:
    def threads_of(upscaler: srn_deploy.Upscaler) -> int:
        session: Any = upscaler._setup.backend
        return int(session._session.get_session_options().intra_op_num_threads)

    with srn_deploy.load("srn-s-b6-x2", device="cpu") as upscaler:
        assert threads_of(upscaler) == 2
    with cpu_threads(3), srn_deploy.load("srn-s-b6-x2", device="cpu") as upscaler:
        assert threads_of(upscaler) == 3


@pytest.mark.usefixtures("two_cores_of_time")
def test_the_fallback_that_is_opened_later_keeps_the_threads_that_were_asked_for() -> None:
    with cpu_threads(3):
        upscaler = srn_deploy.load("srn-s-b6-x2", device="cpu")
    with upscaler:
        fallback: Any = upscaler._setup.fallback.opened()
        assert fallback._session.get_session_options().intra_op_num_threads == 3


@needs_openvino
@pytest.mark.parametrize("files", [{"cpu.max": "200000 100000"},
                                   {"cpu/cpu.cfs_quota_us": "150000", "cpu/cpu.cfs_period_us": "100000"}])
def test_openvino_follows_the_quota_of_either_version_and_what_is_asked_for(
        groups: Groups, files: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from srn_deploy.backends.open_vino import OpenVinoBackend

    def threads_of(backend: OpenVinoBackend) -> str:
        return str(backend._model.get_property("INFERENCE_NUM_THREADS"))

    monkeypatch.setenv("SRN_CACHE", str(tmp_path / "cache"))
    groups.process("0::/", "3:cpu,cpuacct:/")
    for name, text in files.items():
        groups.file(name, text)
    graph = resolve("srn-s-b6-x2").path
    assert threads_of(OpenVinoBackend(graph)) == "2"
    with cpu_threads(1):
        assert threads_of(OpenVinoBackend(graph)) == "1"


@needs_openvino
def test_openvino_follows_the_affinity(groups: Groups, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from srn_deploy.backends.open_vino import OpenVinoBackend

    monkeypatch.setenv("SRN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0})
    model: Any = OpenVinoBackend(resolve("srn-s-b6-x2").path)._model
    assert str(model.get_property("INFERENCE_NUM_THREADS")) == "1"


@pytest.mark.usefixtures("two_cores_of_time")
def test_pytorch_follows_the_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch", reason=TORCH)
    from srn_deploy.backends.pytorch import PyTorchBackend
    from tests.networks import seeded_network

    chosen: list[int] = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: CORES)
    monkeypatch.setattr(torch, "set_num_threads", chosen.append)
    network = seeded_network(scale=2, channels=8, esa_channels=4, blocks=1)
    PyTorchBackend(network)
    with cpu_threads(5):
        PyTorchBackend(network)
    assert chosen == [2, 5]


@pytest.mark.usefixtures("two_cores_of_time")
def test_training_follows_the_quota(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason=TORCH)
    from srn_deploy.training import RunOptions, train

    chosen: list[int] = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: CORES)
    monkeypatch.setattr(torch, "set_num_threads", chosen.append)
    for options in (RunOptions(device="cpu"), RunOptions(device="cpu", threads=7)):
        with pytest.raises(srn_deploy.SrnDeployError, match="nothing"):
            train("compact-x4", tmp_path / "nothing", tmp_path / "run", options)
    assert chosen == [2, 7]


def test_the_codecs_use_no_more_threads_than_are_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: set[str] = set()
    barrier = threading.Event()

    def read(source: Path, **options: object) -> None:
        seen.add(threading.current_thread().name)
        barrier.wait(0.05)
        raise OptionError("Not read.", remedy="None.")

    monkeypatch.setattr(jobs, "open_image", read)
    work = [Job(source=tmp_path / f"{number}.png", target=tmp_path / "out" / f"{number}.png") for number in range(3)]
    with cpu_threads(1):
        upscaler = srn_deploy.Upscaler(NearestBackend())
    assert len(list(upscaler.upscale_jobs(work))) == 3
    assert len(seen) == 1


@pytest.mark.usefixtures("two_cores_of_time")
def test_records_say_how_many_threads_a_quota_leaves() -> None:
    from srn_deploy.benchmark.environment import current_environment

    assert current_environment(threads=threads_in_use()).threads == 2
    assert current_environment(threads=threads_in_use()).logical_cores == 2


@pytest.mark.usefixtures("two_cores_of_time")
def test_opencv_follows_the_quota(monkeypatch: pytest.MonkeyPatch) -> None:
    import cv2

    from srn_deploy.image.opencv_codec import reversed_colour

    chosen: list[int] = []
    monkeypatch.setattr(cv2, "getNumThreads", lambda: CORES)
    monkeypatch.setattr(cv2, "setNumThreads", chosen.append)
    reversed_colour(np.zeros((2, 2, 3), np.uint8))
    assert chosen == [2]


def test_more_threads_than_a_process_gains_from_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OptionError, match="100000 threads are too many"), cpu_threads(100_000):
        pass
    monkeypatch.setenv("OMP_NUM_THREADS", "100000")
    with pytest.raises(OptionError, match="OMP_NUM_THREADS asks for 100000 threads"):
        threads_in_use()


@pytest.mark.parametrize("setting", ["-1", "1e3", "all"])
def test_a_setting_that_is_not_a_number_is_named_once(
        monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, setting: str) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", setting)
    assert threads_in_use() == threads_in_use() == usable_cores()
    assert caplog.messages == [f"OMP_NUM_THREADS={setting} is not a number of threads and is ignored."]
