"""What the doctor makes of a GPU, of what engines take, and whether a device works."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from srn_deploy import doctor
from srn_deploy.doctor import cures, probe
from srn_deploy.doctor.children import Answer
from srn_deploy.doctor.engines import library_finding, pycuda_finding
from srn_deploy.doctor.findings import State
from srn_deploy.doctor.gpu import cpu_finding, driver_findings, runtime_findings, torch_findings
from srn_deploy.doctor.probe import needed_by_onnx_runtime
from srn_deploy.doctor.verdict import judge
from srn_deploy.system import cuda_driver
from tests.doctor_answers import (
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
    torch_told,
)
from tests.fake_libcuda import FakeLibcuda


def test_the_probe_asks_a_driver_for_its_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
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

    monkeypatch.setattr(cuda_driver.ctypes, "CDLL", load)
    assert probe.driver() == {"reason": "", "version": "", "cuda": "13.1",
                              "gpus": 2 * [{"name": "Fake GPU 8.9", "free_bytes": 0}]}


@pytest.mark.parametrize(("answer", "states"), [
    (NO_GPU, {"driver": State.OPTIONAL}),
    (Answer(told={"reason": "the NVIDIA driver does not start (cuInit gave 803)"}), {"driver": State.BROKEN}),
    (CRASHED, {"driver": State.BROKEN}),
    (A_GPU, {"driver": State.OK, "GPU 0": State.OK}),
    (replace(A_GPU, told={**A_GPU.told, "gpus": [{"name": "Fake GPU 8.9", "free_bytes": GIB // 2}]}),
     {"driver": State.OK, "GPU 0": State.WARNING}),
])
def test_a_driver_is_absent_broken_or_there_with_its_gpus(answer: Answer, states: dict[str, State]) -> None:
    assert {found.name: found.state for found in driver_findings(answer)} == states


@pytest.mark.parametrize(("graph", "libraries", "driver", "states", "cure"), [
    (RAN, ALL_THERE, A_GPU, (State.OK, State.OK), ""),
    (REFUSED, ALL_THERE, NO_GPU, (State.OK, State.UNTRIED), ""),
    (REFUSED, NO_CUDNN, NO_GPU, (State.OPTIONAL, State.UNTRIED), ""),
    (REFUSED, NO_CUDNN, A_GPU, (State.BROKEN, State.BROKEN), "install 'onnxruntime-gpu[cuda,cudnn]>=1.27'"),
    (REFUSED, ALL_THERE, A_GPU, (State.OK, State.BROKEN), "Use --device cpu."),
    (CRASHED, ALL_THERE, A_GPU, (State.OK, State.BROKEN), "--no-deps 'onnxruntime-gpu>=1.27'"),
    (REFUSED, NO_CUDNN, replace(A_GPU, told={**A_GPU.told, "cuda": "12.8"}), (State.BROKEN, State.BROKEN),
     "Update the NVIDIA driver: it knows CUDA up to 12.8, and this ONNX Runtime is built for 13.0."),
    (REFUSED, Answer(told={"cuda": "", "names": [], "missing": []}), A_GPU, (State.OPTIONAL, State.BROKEN),
     "--force-reinstall --no-deps 'onnxruntime-gpu>=1.27'"),
])
def test_onnx_runtime_on_a_gpu_is_judged_by_the_graph_and_cured_by_what_is_missing(
        graph: Answer, libraries: Answer, driver: Answer, states: tuple[State, State], cure: str) -> None:
    found = runtime_findings(graph, libraries, driver, RUNTIME)
    assert tuple(finding.state for finding in found) == states
    assert found[1].cure.endswith(cure)


def test_a_library_that_is_not_found_is_named() -> None:
    found, _ = runtime_findings(REFUSED, NO_CUDNN, A_GPU, RUNTIME)
    assert "not found: libcudnn.so.9" in found.detail


def test_the_libraries_looked_for_hold_all_that_the_installed_provider_asks_the_loader_for() -> None:
    ort = pytest.importorskip("onnxruntime.capi.build_and_package_info")
    provider = Path(ort.__file__).with_name("libonnxruntime_providers_cuda.so")
    if not provider.is_file():
        pytest.skip("this ONNX Runtime has no CUDA provider for Linux")
    if shutil.which("ldd") is None:
        pytest.skip("needs ldd")
    told = subprocess.run(["ldd", provider], capture_output=True, text=True, check=True).stdout
    asked_for = {line.split()[0] for line in told.splitlines() if line.strip().startswith(("libcu", "libnvrtc"))}
    asked_for -= {"libcuda.so.1"}  # the driver
    assert asked_for
    assert asked_for <= set(needed_by_onnx_runtime(ort.cuda_version.partition(".")[0]))


def test_a_graph_that_fails_on_the_cpu_is_broken() -> None:
    assert cpu_finding(CRASHED, RUNTIME).state is State.BROKEN


@pytest.mark.parametrize(("answer", "driver", "states", "cure"), [
    (torch_told(), A_GPU, [State.OK, State.OK], ""),
    (torch_told(reason="no kernel image"), A_GPU, [State.OK, State.BROKEN], "or update the driver."),
    (torch_told(cuda=""), A_GPU, [State.OK, State.OPTIONAL], "install --force-reinstall 'torch>=2.11,<2.14'"),
    (torch_told(cuda=""), NO_GPU, [State.OK], ""),
    (CRASHED, A_GPU, [State.BROKEN], "'torch>=2.11,<2.14' --force-reinstall"),
])
def test_pytorch_is_judged_by_its_build_and_by_a_convolution(answer: Answer, driver: Answer, states: list[State],
                                                             cure: str) -> None:
    found = torch_findings(answer, driver, TORCH, "the extra")
    assert [finding.state for finding in found] == states
    assert found[-1].cure.endswith(cure)


def test_a_pytorch_outside_what_is_asked_for_is_broken() -> None:
    (found,) = torch_findings(torch_told("2.4.0"), NO_GPU, replace(TORCH, installed="2.4.0", fits=False), "the extra")
    assert found.state is State.BROKEN
    assert "torch>=2.11,<2.14 is asked for" in found.detail


def test_an_absent_pytorch_is_optional_and_cured_by_its_extra() -> None:
    (found,) = torch_findings(ABSENT, NO_GPU, replace(TORCH, installed=""), "the extra")
    assert (found.state, found.cure) == (State.OPTIONAL, "the extra")


@pytest.mark.parametrize(("driver", "first"), [(NO_GPU, True), (A_GPU, False)])
def test_without_a_gpu_the_extra_of_pytorch_begins_with_its_cpu_build(monkeypatch: pytest.MonkeyPatch, driver: Answer,
                                                                      first: bool) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    cure = doctor._extra_cure("torch", [replace(TORCH, installed="")], driver)
    assert ("install --index-url https://download.pytorch.org/whl/cpu 'torch>=2.11,<2.14' && " in cure) is first
    assert cure.endswith("[torch]'")


TENSORRT = package("tensorrt", "tensorrt>=10.15,<12", extra="tensorrt")
NO_DRIVER = Answer(error="DeviceUnavailable", text="no NVIDIA driver", remedy="Build there.")


@pytest.mark.parametrize(("answer", "installed", "fits", "state"), [
    (Answer(told={"version": "10.16.0"}), "10.16.0", True, State.OK),
    (NO_DRIVER, "10.16.0", True, State.UNTRIED),
    (NO_DRIVER, "8.6.1", False, State.BROKEN),
    (NO_DRIVER, "", False, State.OPTIONAL),
    (Answer(error="MissingPackage", text="not installed", remedy="pip"), "", False, State.OPTIONAL),
    (Answer(error="EngineNotBuilt", text="tensorrt 9.0 is not supported", remedy="pip"), "9.0", False, State.BROKEN),
    (CRASHED, "10.16.0", True, State.BROKEN),
])
def test_tensorrt_is_not_loaded_without_a_driver_and_judged_by_its_version(answer: Answer, installed: str, fits: bool,
                                                                           state: State) -> None:
    found = library_finding(replace(TENSORRT, installed=installed, fits=fits), answer,
                            "pip install 'tensorrt>=10.15,<12'")
    assert found.state is state
    assert "tensorrt>=10.15,<12" in found.cure or state in (State.OK, State.UNTRIED)


PYCUDA = package("pycuda", "pycuda>=2025.1", extra="tensorrt")


@pytest.mark.parametrize(("there", "begins"), [
    ((), "apt-get install -y g++ nvidia-cuda-toolkit && "),
    (("g++",), "apt-get install -y nvidia-cuda-toolkit && "),
])
def test_pycuda_is_cured_with_the_compiler_and_headers_that_are_not_there(
        monkeypatch: pytest.MonkeyPatch, there: tuple[str, ...], begins: str) -> None:
    monkeypatch.setattr(cures, "cuda_toolkit", lambda: None)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}" if name in (*there, "apt-get") else None)
    found = pycuda_finding(PYCUDA, ABSENT)
    assert found.state is State.OPTIONAL
    assert found.cure.removeprefix("sudo ").startswith(begins)
    assert found.cure.endswith("install 'pycuda>=2025.1'")


def test_pycuda_is_built_with_the_toolkit_that_has_the_headers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "include").mkdir()
    (tmp_path / "include" / "cuda.h").touch()
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    monkeypatch.setattr(shutil, "which", lambda name: "/elsewhere/bin/nvcc" if name == "nvcc" else f"/usr/bin/{name}")
    assert pycuda_finding(PYCUDA, ABSENT).cure.startswith(f"PATH={tmp_path}/bin:$PATH ")


def test_a_pycuda_of_another_toolkit_is_built_again() -> None:
    broken = Answer(error="DeviceUnavailable", text="PyCUDA cannot be loaded: libcurand.so.9", remedy="Build it again")
    found = pycuda_finding(replace(PYCUDA, installed="2025.1"), broken)
    assert found.state is State.BROKEN
    assert "libcurand.so.9" in found.detail
    assert "--force-reinstall --no-deps --no-cache-dir 'pycuda>=2025.1'" in found.cure


ON_CPU = "ONNX Runtime on the CPU"
ON_GPU = "ONNX Runtime on the GPU"
BROKEN_IMPORT = Answer(error="ImportError", text="libcudart.so.12")


@pytest.mark.parametrize(("device", "driver", "cuda", "torch", "works", "begins"), [
    ("cpu", NO_GPU, REFUSED, ABSENT, True, ON_CPU),
    ("cuda", NO_GPU, REFUSED, ABSENT, False, f"{ON_GPU}: CUDAExecutionProvider"),
    ("cuda", A_GPU, RAN, ABSENT, True, ON_GPU),
    ("cuda", A_GPU, REFUSED, torch_told(), False, f"{ON_GPU}: CUDAExecutionProvider"),
    ("auto", NO_GPU, REFUSED, CRASHED, True, f"{ON_CPU} (no NVIDIA driver"),
    ("auto", A_GPU, RAN, CRASHED, True, ON_GPU),
    ("auto", A_GPU, REFUSED, torch_told(), True, "PyTorch on the GPU ("),
    ("auto", A_GPU, REFUSED, ABSENT, True, f"{ON_CPU} ("),
    ("auto", A_GPU, REFUSED, torch_told(cuda=""), True, f"{ON_CPU} ("),
    ("auto", A_GPU, CRASHED, torch_told(), False, f"{ON_GPU}: it ends in signal 11"),
    ("auto", A_GPU, REFUSED, CRASHED, False, "PyTorch on the GPU: it ends in signal 11"),
    ("auto", A_GPU, REFUSED, BROKEN_IMPORT, False, "PyTorch on the GPU: libcudart.so.12"),
    ("auto", CRASHED, REFUSED, ABSENT, False, "the NVIDIA driver: it ends in signal 11"),
])
def test_a_device_works_where_upscale_would_run_on_it(device: str, driver: Answer, cuda: Answer, torch: Answer,
                                                      works: bool, begins: str) -> None:
    answers = {"driver": driver, "graph on the CPU": RAN, "graph on the GPU": cuda, "torch": torch,
               "import safetensors": Answer(told={"version": "0.5"})}
    found, told = judge(device, answers, reads_pictures="", model_is_whole=True)
    assert found is works
    assert told.startswith(begins)


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda"])
def test_without_pictures_or_the_default_model_nothing_works(device: str) -> None:
    answers = {"driver": A_GPU, "graph on the CPU": RAN, "graph on the GPU": RAN, "torch": torch_told()}
    assert not judge(device, answers, reads_pictures="cv2", model_is_whole=True)[0]
    assert not judge(device, answers, reads_pictures="", model_is_whole=False)[0]
