"""What the doctor makes of what it is told: answers of children, packages, drivers, memory, models."""

from __future__ import annotations

import asyncio
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import pytest

from srn_deploy import cuda_driver, model_store
from srn_deploy.doctor import cures, machine, requirements
from srn_deploy.doctor.children import Answer, ask, one_line
from srn_deploy.doctor.engines import library_finding, pycuda_finding
from srn_deploy.doctor.findings import Finding, State
from srn_deploy.doctor.gpu import cpu_finding, driver_findings, runtime_findings, torch_findings
from srn_deploy.doctor.packages import Package, module_finding
from srn_deploy.doctor.probe import TINY_GRAPH, needed_by_onnx_runtime
from srn_deploy.doctor.verdict import judge
from tests.fake_libcuda import FakeLibcuda
from tests.tiny_graph import tiny_graph

GIB = 2**30

NO_GPU = Answer(told={"reason": "no NVIDIA driver (libcuda.so.1) on this machine"})
A_GPU = Answer(told={"reason": "", "version": "580.65", "cuda": "13.0",
                     "gpus": [{"name": "Fake GPU 8.9", "free_bytes": 8 * GIB}]})
RAN = Answer(told={"runtime": "ONNX Runtime"})
REFUSED = Answer(error="DeviceUnavailable", text="CUDAExecutionProvider could not be loaded", remedy="Use --device cpu.")
CRASHED = Answer(text="it ends in signal 11 (SIGSEGV)", died=True)
ABSENT = Answer(error="ModuleNotFoundError", text="No module named 'torch'", lacking="torch")
ALL_THERE = Answer(told={"cuda": "13.0", "names": ["libcudnn.so.9"], "missing": []})
NO_CUDNN = Answer(told={"cuda": "13.0", "names": ["libcudnn.so.9"], "missing": ["libcudnn.so.9"]})


def package(name: str, requirement: str, *, extra: str = "", installed: str = "", fits: bool = True) -> Package:
    return Package(name=name, requirement=requirement, extra=extra, installed=installed, fits=fits)


RUNTIME = package("onnxruntime-gpu", "onnxruntime-gpu>=1.27", installed="1.31.1")
TORCH = package("torch", "torch>=2.11,<2.14", extra="torch", installed="2.13.0")


def torch_told(version: str = "2.13.0", cuda: str = "13.0", reason: str = "") -> Answer:
    return Answer(told={"version": version, "cuda": cuda, "reason": reason})


# --- children ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("code", "text", "died"), [
    ("raise ImportError('libGL.so.1: cannot open shared object file')", "libGL.so.1: cannot open shared object file",
     False),
    ("import nothing_of_that_name", "No module named 'nothing_of_that_name'", False),
    ("raise OSError", "OSError", False),
    ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "it ends in signal 9 (SIGKILL)", True),
    ("import os, sys; print('last words', file=sys.stderr); sys.stderr.flush(); os._exit(3)",
     "it ends with exit code 3: last words", True),
    ("import os; os._exit(0)", "it ends without an answer", True),
    ("import time; time.sleep(600)", "it does not end within 5 s", True),
])
def test_a_library_that_fails_crashes_or_hangs_is_an_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str,
                                                            text: str, died: bool) -> None:
    (tmp_path / "unfit.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    answer = ask({"it": ("module", "unfit")}, timeout_s=5 if "sleep" in code else 120)["it"]
    assert (answer.ok, answer.text, answer.died) == (False, text, died)


def test_what_a_library_prints_does_not_reach_the_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "talker.py").write_text("import os; print('{}'); os.write(1, b'noise'); __version__ = '7.1'",
                                        encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    assert ask({"it": ("module", "talker")}, timeout_s=120)["it"] == Answer(told={"version": "7.1"})


def test_a_module_of_the_current_folder_does_not_stand_in_for_an_installed_one(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repository: Path) -> None:
    (tmp_path / "click.py").write_text("__version__ = 'of the folder'", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(repository)
    assert ask({"it": ("module", "click")}, timeout_s=120)["it"].told["version"] != "of the folder"


def test_children_are_asked_where_an_event_loop_ended_before() -> None:
    asyncio.run(asyncio.sleep(0))
    assert ask({"a": ("module", "json"), "b": ("module", "csv")}, timeout_s=120)["b"].ok


@pytest.mark.parametrize(("text", "line"), [
    ("", ""),
    ("one\ntwo", "one"),
    ("A page of advice.\n\nOriginal error was: libz.so.9: cannot open shared object file\nmore",
     "Original error was: libz.so.9: cannot open shared object file"),
])
def test_of_a_long_error_the_line_that_names_a_library_is_kept(text: str, line: str) -> None:
    assert one_line(text) == line


# --- the tiny graph ---------------------------------------------------------------------------------------------


def test_the_packaged_graph_is_the_one_that_its_maker_makes() -> None:
    packaged = onnx.load(TINY_GRAPH)
    onnx.checker.check_model(packaged, full_check=True)
    assert packaged == tiny_graph()
    assert [node.op_type for node in packaged.graph.node] == ["Conv"]


def test_a_graph_that_computes_something_else_is_no_proof(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from srn_deploy.doctor import probe
    from srn_deploy.errors import BackendError

    other = tiny_graph()
    other.graph.initializer[0].raw_data = bytes(len(other.graph.initializer[0].raw_data))
    onnx.save(other, tmp_path / "other.onnx")
    monkeypatch.setattr(probe, "TINY_GRAPH", tmp_path / "other.onnx")
    with pytest.raises(BackendError, match="something else"):
        probe.graph("cpu")


# --- what is asked for ------------------------------------------------------------------------------------------


def test_everything_that_setup_cfg_asks_of_users_is_looked_at_once() -> None:
    names = [entry["name"] for entry in requirements.asked_for()]
    assert len(names) == len(set(names))
    assert {"numpy", "torch", "onnx", "tensorrt", "tensorrt-rtx", "pycuda", "nvidia-ml-py"} <= set(names)
    assert "pytest" not in names


def test_an_installation_without_its_checkout_is_read_by_its_metadata(tmp_path: Path,
                                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "srn_deploy-9.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: srn-deploy\nVersion: 9\nProvides-Extra: torch\nRequires-Dist: numpy>=99\n"
        "Requires-Dist: never; python_version < '3'\nRequires-Dist: onnx>=1.18; extra == 'torch'\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(requirements, "CHECKOUT", None)
    found = {entry["name"]: entry for entry in requirements.asked_for()}
    assert {name: (entry["extra"], entry["requirement"]) for name, entry in found.items()} == {
        "numpy": ("", "numpy>=99"), "onnx": ("torch", "onnx>=1.18")}
    assert (found["numpy"]["fits"], found["onnx"]["fits"]) == (False, True)


@pytest.mark.parametrize(("answer", "installed", "fits", "state", "cure"), [
    (Answer(told={"version": "2"}), "2", True, State.OK, ""),
    (Answer(told={"version": "2"}), "2", False, State.BROKEN, "install 'numpy>=2.0'"),
    (Answer(error="ModuleNotFoundError", text="No module", lacking="numpy"), "", True, State.MISSING,
     "install 'numpy>=2.0'"),
    (Answer(error="ModuleNotFoundError", text="No module", lacking="other"), "2", True, State.BROKEN,
     "install --force-reinstall 'numpy>=2.0'"),
    (Answer(error="ImportError", text="libgomp.so.1: cannot open shared object file"), "2", True, State.BROKEN,
     "apt-get install -y libgomp1"),
    (CRASHED, "2", True, State.BROKEN, "install --force-reinstall --no-deps 'numpy>=2.0'"),
])
def test_a_package_of_the_base_is_judged_by_its_import_and_version(
        monkeypatch: pytest.MonkeyPatch, answer: Answer, installed: str, fits: bool, state: State, cure: str) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    found = module_finding(package("numpy", "numpy>=2.0", installed=installed, fits=fits), answer, "the extra")
    assert found.state is state
    assert found.cure.endswith(cure)


def test_a_package_of_an_extra_that_is_absent_is_optional_and_cured_by_its_extra() -> None:
    absent = Answer(error="ModuleNotFoundError", text="No module named 'cuda'", lacking="cuda")
    found = module_finding(package("cuda-bindings", "cuda-bindings>=12.9", extra="tensorrt"), absent, "the extra")
    assert (found.state, found.cure) == (State.OPTIONAL, "the extra")
    assert "running an engine" in found.detail


@pytest.mark.parametrize("state", [State.OPTIONAL, State.WARNING, State.MISSING, State.BROKEN])
def test_a_finding_that_needs_a_cure_cannot_be_made_without_one(state: State) -> None:
    with pytest.raises(ValueError, match="cure"):
        Finding(feature="f", name="n", state=state, detail="d")


# --- the GPU ----------------------------------------------------------------------------------------------------


def test_the_probe_asks_a_driver_for_its_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    from srn_deploy.doctor import probe

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
    tail = provider.read_bytes()
    asked_for = {name for name in ("libcublasLt.so.13", "libcublas.so.13", "libcurand.so.10", "libcudart.so.13",
                                   "libcublasLt.so.12", "libcublas.so.12", "libcudart.so.12", "libcudnn.so.9")
                 if b"\0" + name.encode() + b"\0" in tail}
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


@pytest.mark.parametrize(("driver", "first"), [(NO_GPU, True), (A_GPU, False)])
def test_without_a_gpu_an_absent_pytorch_is_cured_by_its_cpu_build(monkeypatch: pytest.MonkeyPatch, driver: Answer,
                                                                   first: bool) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    (found,) = torch_findings(ABSENT, driver, replace(TORCH, installed=""), "the extra")
    assert found.state is State.OPTIONAL
    assert ("https://download.pytorch.org/whl/cpu 'torch>=2.11,<2.14' && the extra" in found.cure) is first


# --- engines ----------------------------------------------------------------------------------------------------

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
    found = library_finding(replace(TENSORRT, installed=installed, fits=fits), answer)
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


# --- the machine ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("free_bytes", "state"), [(None, State.UNTRIED), (GIB, State.OK), (GIB - 1, State.WARNING)])
def test_memory_is_held_against_what_a_run_takes(free_bytes: int | None, state: State) -> None:
    assert machine.memory_finding(free_bytes).state is state


def test_the_limit_of_a_control_group_counts_and_what_can_be_given_back_is_free(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("1000\n", encoding="utf-8")
    (tmp_path / "memory.current").write_text("900\n", encoding="utf-8")
    (tmp_path / "memory.stat").write_text("anon 600\ninactive_file 250\n", encoding="utf-8")
    assert list(machine._left_in(tmp_path)) == [350]
    (tmp_path / "memory.max").write_text("max\n", encoding="utf-8")
    assert list(machine._left_in(tmp_path)) == []


def test_a_damaged_model_is_named_with_the_command_that_brings_it_back(
        repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = shutil.copytree(repository / "models", tmp_path / "models")
    default = model_store.shipped_models()[model_store.default_model()]
    (folder / default.graph.name).write_bytes(b"not the graph")
    monkeypatch.setattr(model_store, "models_folder", lambda: folder)
    (found,) = machine.model_findings()
    assert (found.name, found.state) == (default.graph.name, State.BROKEN)
    assert "install" in found.cure
    assert not machine.default_is_whole()


@pytest.mark.parametrize("text", ["", "[]", '{"models": [{"name": "x"}], "default": "x"}'])
def test_a_manifest_that_makes_no_sense_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                     text: str) -> None:
    (tmp_path / "manifest.json").write_text(text, encoding="utf-8")
    monkeypatch.setattr(model_store, "models_folder", lambda: tmp_path)
    (found,) = machine.model_findings()
    assert found.state is State.MISSING
    assert not machine.default_is_whole()


def test_a_model_of_a_checkout_is_brought_back_by_git(repository: Path) -> None:
    if not (repository / ".git").exists():
        pytest.skip("this is no clone")
    assert cures.restore(repository / "models" / "x.onnx") == f"git -C {repository} restore models/x.onnx"


def test_looking_at_the_cache_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SRN_CACHE", str(tmp_path / "below" / "engines"))
    assert machine.cache_finding().state is State.OK
    assert list(tmp_path.iterdir()) == []


def test_engines_are_counted_and_those_of_another_machine_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.fake_machine import stored

    from srn_deploy.engine.store import EngineStore
    from srn_deploy.onnx_file import spec_of

    monkeypatch.setenv("SRN_CACHE", str(tmp_path))
    graph = model_store.find_graph()
    stored(EngineStore(tmp_path), graph, spec_of(onnx.load(graph), "graph"))
    told = Answer(told={"engines": {"a.engine": "An engine runs on a GPU only: none."}})
    (found,) = machine.engine_findings(told)
    assert found.detail == "1 in the cache, 0 of them for this machine (An engine runs on a GPU only: none)"
    (tmp_path / "stray.engine").touch()
    (found,) = machine.engine_findings(told)
    assert (found.state, found.cure) == (State.WARNING, "srn-deploy engines prune")


# --- cures ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("found", "has_pip", "begins"), [
    ("beside", True, "pip install"), ("elsewhere", True, "{python} -m pip install"),
    ("uv", False, "UV_PYTHON={python} uv pip install"), ("", False, "{python} -m ensurepip && {python} -m pip install"),
])
def test_pip_is_that_of_this_environment(monkeypatch: pytest.MonkeyPatch, found: str, has_pip: bool,
                                         begins: str) -> None:
    places = {"beside": {"pip": "/env/bin/pip"}, "elsewhere": {"pip": "/usr/bin/pip"}, "uv": {"uv": "/usr/bin/uv"}}
    monkeypatch.setattr("sys.executable", "/env/bin/python")
    monkeypatch.setattr(shutil, "which", lambda name: places.get(found, {}).get(name))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object() if has_pip else None)
    assert cures.install("onnx>=1.18") == begins.format(python="/env/bin/python") + " 'onnx>=1.18'"


def test_an_installed_copy_gets_its_extra_from_where_it_was_installed_from(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "a source"
    source.mkdir()
    folder = tmp_path / "srn_deploy-9.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: srn-deploy\nVersion: 9\n", encoding="utf-8")
    (folder / "direct_url.json").write_text(json.dumps({"url": source.as_uri(), "dir_info": {}}), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(cures, "CHECKOUT", None)
    assert cures.install_extra("torch", ["torch>=2"]).endswith(f"install '{source}[torch]'")
    source.rmdir()
    assert cures.install_extra("torch", ["torch>=2", "onnx>=1"]).endswith("install 'torch>=2' 'onnx>=1'")


# --- the verdict ------------------------------------------------------------------------------------------------

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
