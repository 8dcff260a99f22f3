"""Findings about the GPU and about engines, and the verdict on a device."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from srn_deploy.doctor import examination, fixes, probe
from srn_deploy.doctor.engines import library_finding, pycuda_finding
from srn_deploy.doctor.findings import Status
from srn_deploy.doctor.gpu import cpu_finding, driver_findings, runtime_findings, torch_findings
from srn_deploy.doctor.probe import needed_by_onnx_runtime
from srn_deploy.doctor.probe_reports import DriverReport, GpuReport
from srn_deploy.doctor.subprocesses import ProbeResult
from srn_deploy.doctor.verdict import judge
from tests.fake_libcuda import FakeLibcuda
from tests.probe_results import (
    A_GPU,
    ABSENT,
    ALL_THERE,
    CRASHED,
    GIB,
    NO_CUDNN,
    NO_GPU,
    RAN,
    REFUSED,
    RUNTIME,
    TORCH,
    package,
    torch_result,
)


def test_the_probe_reports_the_gpus_of_a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    class Driver(FakeLibcuda):
        def cuDriverGetVersion(self, version: Any) -> int:  # noqa: N802  # the driver's own name
            version._obj.value = 13010
            return 0

        def cuDevicePrimaryCtxRetain(self, context: Any, device: Any) -> int:  # noqa: N802
            return 2  # out of memory

    def load(name: str) -> Driver:
        if "ml" in name:
            raise OSError("no management library")
        return Driver(count=2)

    monkeypatch.setattr(ctypes, "CDLL", load)
    assert probe.driver() == DriverReport(reason="", version="", cuda="13.1",
                                          gpus=2 * [GpuReport(name="Fake GPU 8.9", free_bytes=0)])


@pytest.mark.parametrize(("result", "states"), [
    (NO_GPU, {"driver": Status.OPTIONAL}),
    (ProbeResult(reported={"reason": "the NVIDIA driver does not start (cuInit gave 803)"}), {"driver": Status.BROKEN}),
    (CRASHED, {"driver": Status.BROKEN}),
    (A_GPU, {"driver": Status.OK, "GPU 0": Status.OK}),
    (replace(A_GPU, reported={**A_GPU.reported, "gpus": [{"name": "Fake GPU 8.9", "free_bytes": GIB // 2}]}),
     {"driver": Status.OK, "GPU 0": Status.WARNING}),
])
def test_a_driver_is_absent_broken_or_there_with_its_gpus(result: ProbeResult, states: dict[str, Status]) -> None:
    assert {found.name: found.state for found in driver_findings(result)} == states


@pytest.mark.parametrize(("graph", "libraries", "driver", "states", "fix"), [
    (RAN, ALL_THERE, A_GPU, (Status.OK, Status.OK), ""),
    (REFUSED, ALL_THERE, NO_GPU, (Status.OK, Status.UNTRIED), ""),
    (REFUSED, NO_CUDNN, NO_GPU, (Status.OPTIONAL, Status.UNTRIED), ""),
    (REFUSED, NO_CUDNN, A_GPU, (Status.BROKEN, Status.BROKEN), "install 'onnxruntime-gpu[cuda,cudnn]>=1.27'"),
    (REFUSED, ALL_THERE, A_GPU, (Status.OK, Status.BROKEN), "Use --device cpu."),
    (CRASHED, ALL_THERE, A_GPU, (Status.OK, Status.BROKEN), "--no-deps 'onnxruntime-gpu>=1.27'"),
    (REFUSED, NO_CUDNN, replace(A_GPU, reported={**A_GPU.reported, "cuda": "12.8"}), (Status.BROKEN, Status.BROKEN),
     "Update the NVIDIA driver: it supports CUDA up to 12.8, but this ONNX Runtime is built for 13.0."),
    (REFUSED, ProbeResult(reported={"cuda": "", "names": [], "missing": []}), A_GPU, (Status.OPTIONAL, Status.BROKEN),
     "--force-reinstall --no-deps 'onnxruntime-gpu>=1.27'"),
])
def test_onnx_runtime_on_a_gpu_is_judged_by_the_graph_and_fixed_by_what_is_missing(
        graph: ProbeResult, libraries: ProbeResult, driver: ProbeResult, states: tuple[Status, Status],
        fix: str) -> None:
    found = runtime_findings(graph, libraries, driver, RUNTIME)
    assert tuple(finding.state for finding in found) == states
    assert found[1].fix.endswith(fix)


def test_a_library_that_is_not_found_is_named() -> None:
    found, _ = runtime_findings(REFUSED, NO_CUDNN, A_GPU, RUNTIME)
    assert "not found: libcudnn.so.9" in found.detail


def test_the_libraries_checked_include_all_that_the_installed_provider_loads() -> None:
    ort = pytest.importorskip("onnxruntime.capi.build_and_package_info")
    provider = Path(ort.__file__).with_name("libonnxruntime_providers_cuda.so")
    if not provider.is_file():
        pytest.skip("this ONNX Runtime has no CUDA provider for Linux")
    if shutil.which("ldd") is None:
        pytest.skip("needs ldd")
    printed = subprocess.run(["ldd", provider], capture_output=True, text=True, check=True).stdout
    needed = {line.split()[0] for line in printed.splitlines() if line.strip().startswith(("libcu", "libnvrtc"))}
    needed -= {"libcuda.so.1"}  # the driver
    assert needed
    assert needed <= set(needed_by_onnx_runtime(ort.cuda_version.partition(".")[0]))


def test_a_graph_that_fails_on_the_cpu_is_broken() -> None:
    assert cpu_finding(CRASHED, RUNTIME).state is Status.BROKEN


@pytest.mark.parametrize(("result", "driver", "states", "fix"), [
    (torch_result(), A_GPU, [Status.OK, Status.OK], ""),
    (torch_result(reason="no kernel image"), A_GPU, [Status.OK, Status.BROKEN], "or update the driver."),
    (torch_result(cuda=""), A_GPU, [Status.OK, Status.OPTIONAL], "install --force-reinstall 'torch>=2.11,<2.14'"),
    (torch_result(cuda=""), NO_GPU, [Status.OK], ""),
    (CRASHED, A_GPU, [Status.BROKEN], "'torch>=2.11,<2.14' --force-reinstall"),
])
def test_pytorch_is_judged_by_its_build_and_by_a_convolution(
        result: ProbeResult, driver: ProbeResult, states: list[Status], fix: str) -> None:
    found = torch_findings(result, driver, TORCH, "the extra")
    assert [finding.state for finding in found] == states
    assert found[-1].fix.endswith(fix)


def test_a_pytorch_of_an_unsupported_version_is_broken() -> None:
    (found,) = torch_findings(torch_result("2.4.0"), NO_GPU, replace(TORCH, installed="2.4.0", fits=False), "the extra")
    assert found.state is Status.BROKEN
    assert "torch>=2.11,<2.14 is required" in found.detail


def test_an_absent_pytorch_is_optional_and_fixed_by_its_extra() -> None:
    (found,) = torch_findings(ABSENT, NO_GPU, replace(TORCH, installed=""), "the extra")
    assert (found.state, found.fix) == (Status.OPTIONAL, "the extra")


@pytest.mark.parametrize(("driver", "first"), [(NO_GPU, True), (A_GPU, False)])
def test_without_a_gpu_the_extra_of_pytorch_starts_with_its_cpu_build(
        monkeypatch: pytest.MonkeyPatch, driver: ProbeResult, first: bool) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    fix = examination._extra_fix("torch", [replace(TORCH, installed="")], driver)
    assert ("install --index-url https://download.pytorch.org/whl/cpu 'torch>=2.11,<2.14' && " in fix) is first
    assert fix.endswith("[torch]'")


TENSORRT = package("tensorrt", "tensorrt>=10.15,<12", extra="tensorrt")
NO_DRIVER = ProbeResult(error="DeviceUnavailable", text="no NVIDIA driver", remedy="Build there.")


@pytest.mark.parametrize(("result", "installed", "fits", "state"), [
    (ProbeResult(reported={"version": "10.16.0"}), "10.16.0", True, Status.OK),
    (NO_DRIVER, "10.16.0", True, Status.UNTRIED),
    (NO_DRIVER, "8.6.1", False, Status.BROKEN),
    (NO_DRIVER, "", False, Status.OPTIONAL),
    (ProbeResult(error="MissingPackage", text="not installed", remedy="pip"), "", False, Status.OPTIONAL),
    (ProbeResult(error="EngineNotBuilt", text="tensorrt 9.0 is not supported", remedy="pip"), "9.0", False,
     Status.BROKEN),
    (CRASHED, "10.16.0", True, Status.BROKEN),
])
def test_tensorrt_is_not_loaded_without_a_driver_and_judged_by_its_version(
        result: ProbeResult, installed: str, fits: bool, state: Status) -> None:
    found = library_finding(replace(TENSORRT, installed=installed, fits=fits), result,
                            "pip install 'tensorrt>=10.15,<12'")
    assert found.state is state
    assert "tensorrt>=10.15,<12" in found.fix or state in (Status.OK, Status.UNTRIED)


PYCUDA = package("pycuda", "pycuda>=2025.1", extra="tensorrt")


@pytest.mark.parametrize(("there", "begins"), [
    ((), "apt-get install -y g++ nvidia-cuda-toolkit && "),
    (("g++",), "apt-get install -y nvidia-cuda-toolkit && "),
])
def test_pycuda_is_fixed_with_the_compiler_and_headers_that_are_not_there(
        monkeypatch: pytest.MonkeyPatch, there: tuple[str, ...], begins: str) -> None:
    monkeypatch.setattr(fixes, "cuda_toolkit", lambda: None)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}" if name in (*there, "apt-get") else None)
    found = pycuda_finding(PYCUDA, ABSENT)
    assert found.state is Status.OPTIONAL
    assert found.fix.removeprefix("sudo ").startswith(begins)
    assert found.fix.endswith("install 'pycuda>=2025.1'")


def test_pycuda_is_built_with_the_toolkit_that_has_the_headers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "cuda.h").touch()
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    monkeypatch.setattr(shutil, "which", lambda name: "/elsewhere/bin/nvcc" if name == "nvcc" else f"/usr/bin/{name}")
    assert pycuda_finding(PYCUDA, ABSENT).fix.startswith(f"PATH={tmp_path}/bin:$PATH ")


def test_a_pycuda_of_another_toolkit_is_built_again() -> None:
    broken = ProbeResult(error="DeviceUnavailable", text="PyCUDA cannot be loaded: libcurand.so.9",
                         remedy="Build it again")
    found = pycuda_finding(replace(PYCUDA, installed="2025.1"), broken)
    assert found.state is Status.BROKEN
    assert "libcurand.so.9" in found.detail
    assert "--force-reinstall --no-deps --no-cache-dir 'pycuda>=2025.1'" in found.fix


ON_CPU = "ONNX Runtime on the CPU"
ON_GPU = "ONNX Runtime on the GPU"
BROKEN_IMPORT = ProbeResult(error="ImportError", text="libcudart.so.12")


@pytest.mark.parametrize(("device", "driver", "cuda", "torch", "works", "begins"), [
    ("cpu", NO_GPU, REFUSED, ABSENT, True, ON_CPU),
    ("cuda", NO_GPU, REFUSED, ABSENT, False, f"{ON_GPU}: CUDAExecutionProvider"),
    ("cuda", A_GPU, RAN, ABSENT, True, ON_GPU),
    ("cuda", A_GPU, REFUSED, torch_result(), False, f"{ON_GPU}: CUDAExecutionProvider"),
    ("auto", NO_GPU, REFUSED, CRASHED, True, f"{ON_CPU} (no NVIDIA driver"),
    ("auto", A_GPU, RAN, CRASHED, True, ON_GPU),
    ("auto", A_GPU, REFUSED, torch_result(), True, "PyTorch on the GPU ("),
    ("auto", A_GPU, REFUSED, ABSENT, True, f"{ON_CPU} ("),
    ("auto", A_GPU, REFUSED, torch_result(cuda=""), True, f"{ON_CPU} ("),
    ("auto", A_GPU, CRASHED, torch_result(), False, f"{ON_GPU}: it ends in signal 11"),
    ("auto", A_GPU, REFUSED, CRASHED, False, "PyTorch on the GPU: it ends in signal 11"),
    ("auto", A_GPU, REFUSED, BROKEN_IMPORT, False, "PyTorch on the GPU: libcudart.so.12"),
    ("auto", CRASHED, REFUSED, ABSENT, False, "the NVIDIA driver: it ends in signal 11"),
])
def test_a_device_works_where_upscale_would_run_on_it(
        device: str, driver: ProbeResult, cuda: ProbeResult, torch: ProbeResult, works: bool, begins: str) -> None:
    results = {"driver": driver, "graph on the CPU": RAN, "graph on the GPU": cuda, "torch": torch,
               "import safetensors": ProbeResult(reported={"version": "0.5"})}
    found, verdict = judge(device, results, image_problem="", model_is_whole=True)
    assert found is works
    assert verdict.startswith(begins)


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda"])
def test_without_images_or_the_default_model_nothing_works(device: str) -> None:
    results = {"driver": A_GPU, "graph on the CPU": RAN, "graph on the GPU": RAN, "torch": torch_result()}
    assert not judge(device, results, image_problem="cv2", model_is_whole=True)[0]
    assert not judge(device, results, image_problem="", model_is_whole=False)[0]
