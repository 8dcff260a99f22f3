"""Probes that fail, findings about packages, memory and the cache, and the commands that fix them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import onnx
import pytest

from srn_deploy.doctor import fixes, machine, probe, requirements
from srn_deploy.doctor.findings import Finding, Status
from srn_deploy.doctor.packages import conflict_findings, import_probe, module_finding
from srn_deploy.doctor.subprocesses import ProbeResult, one_line, run_probes
from srn_deploy.engine.store import EngineStore
from srn_deploy.errors import BackendError
from srn_deploy.graph.onnx_file import spec_of
from srn_deploy.registry.resolve import resolve
from srn_deploy.system import memory
from tests.fake_machine import stored
from tests.probe_results import CRASHED, GIB, made_up, package
from tests.tiny_graph import tiny_graph


@pytest.mark.parametrize(("code", "text", "crashed"), [
    ("raise ImportError('libGL.so.1: cannot open shared object file')", "libGL.so.1: cannot open shared object file",
     False),
    ("import nothing_of_that_name", "No module named 'nothing_of_that_name'", False),
    ("raise OSError", "OSError", False),
    ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "it ends in signal 9 (SIGKILL)", True),
    ("import os, sys; print('last words', file=sys.stderr); sys.stderr.flush(); os._exit(3)",
     "it ends with exit code 3: last words", True),
    ("import os; os._exit(0)", "it ends without a result", True),
    ("import time; time.sleep(600)", "it does not end within 5 s", True),
])
def test_a_library_that_fails_crashes_or_hangs_gives_a_result(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, text: str, crashed: bool) -> None:
    (tmp_path / "unfit.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    result = run_probes({"it": ("module", "unfit")}, timeout_s=5 if "sleep" in code else 120)["it"]
    assert (result.ok, result.text, result.crashed) == (False, text, crashed)


def test_what_a_library_prints_does_not_reach_the_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "talker.py").write_text("import os; print('{}'); os.write(1, b'noise'); __version__ = '7.1'",
                                        encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    assert run_probes({"it": ("module", "talker")}, timeout_s=120)["it"] == ProbeResult(reported={"version": "7.1"})


def test_a_module_of_the_current_folder_does_not_stand_in_for_an_installed_one(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repository: Path) -> None:
    (tmp_path / "click.py").write_text("__version__ = 'of the folder'", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(repository)
    assert run_probes({"it": ("module", "click")}, timeout_s=120)["it"].reported["version"] != "of the folder"


def test_where_no_process_can_be_started_that_is_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    result = run_probes({"it": ("module", "json")}, timeout_s=120)["it"]
    assert (result.ok, result.text) == (False, "no process can be started: No such file or directory")


@pytest.mark.parametrize(("text", "line"), [
    ("", ""),
    ("one\ntwo", "one"),
    ("A page of advice.\n\nOriginal error was: libz.so.9: cannot open shared object file\nmore",
     "Original error was: libz.so.9: cannot open shared object file"),
])
def test_of_a_long_error_the_line_that_names_a_library_is_kept(text: str, line: str) -> None:
    assert one_line(text) == line


def test_the_packaged_graph_is_the_one_that_its_maker_makes() -> None:
    packaged = onnx.load(probe.TINY_GRAPH)
    onnx.checker.check_model(packaged, full_check=True)
    assert packaged == tiny_graph()
    assert [node.op_type for node in packaged.graph.node] == ["Conv"]


def test_a_graph_that_computes_a_wrong_result_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tiny_graph()
    other.graph.initializer[0].raw_data = bytes(len(other.graph.initializer[0].raw_data))
    onnx.save(other, tmp_path / "other.onnx")
    monkeypatch.setattr(probe, "TINY_GRAPH", tmp_path / "other.onnx")
    with pytest.raises(BackendError, match="a wrong result"):
        probe.graph("cpu")


def test_every_requirement_for_users_in_setup_cfg_is_examined_once() -> None:
    names = [package.name for package in requirements.read_requirements()]
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
    found = {package.name: package for package in requirements.read_requirements()}
    assert {name: (package.extra, package.requirement) for name, package in found.items()} == {
        "numpy": ("", "numpy>=99"), "onnx": ("torch", "onnx>=1.18")}
    assert (found["numpy"].fits, found["onnx"].fits) == (False, True)


@pytest.mark.parametrize(("result", "installed", "fits", "state", "fix"), [
    (ProbeResult(reported={"version": "2"}), "2", True, Status.OK, ""),
    (ProbeResult(reported={"version": "2"}), "2", False, Status.BROKEN, "install 'numpy>=2.0'"),
    (ProbeResult(error="ModuleNotFoundError", text="No module", missing_module="numpy"), "", True, Status.MISSING,
     "install 'numpy>=2.0'"),
    (ProbeResult(error="ModuleNotFoundError", text="No module", missing_module="other"), "2", True, Status.BROKEN,
     "install --force-reinstall 'numpy>=2.0'"),
    (ProbeResult(error="ImportError", text="libgomp.so.1: cannot open shared object file"), "2", True, Status.BROKEN,
     "apt-get install -y libgomp1"),
    (CRASHED, "2", True, Status.BROKEN, "install --force-reinstall --no-deps 'numpy>=2.0'"),
])
def test_a_package_of_the_base_is_judged_by_its_import_and_version(
        monkeypatch: pytest.MonkeyPatch, result: ProbeResult, installed: str, fits: bool, state: Status,
        fix: str) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    found = module_finding(package("numpy", "numpy>=2.0", installed=installed, fits=fits), result, "the extra")
    assert found.state is state
    assert found.fix.endswith(fix)


def test_a_package_of_an_extra_that_is_absent_is_optional_and_fixed_by_its_extra() -> None:
    absent = ProbeResult(error="ModuleNotFoundError", text="No module named 'cuda'", missing_module="cuda")
    found = module_finding(package("cuda-bindings", "cuda-bindings>=12.9", extra="tensorrt"), absent, "the extra")
    assert (found.state, found.fix) == (Status.OPTIONAL, "the extra")
    assert "running an engine" in found.detail


@pytest.mark.parametrize(("works", "state"), [(True, Status.WARNING), (False, Status.BROKEN)])
def test_two_packages_in_one_folder_are_both_named_and_both_removed(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, works: bool, state: Status) -> None:
    made_up(tmp_path, "onnxruntime-gpu", "1.31.1")
    made_up(tmp_path, "onnxruntime", "1.22.0")
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    runtime = package("onnxruntime-gpu", "onnxruntime-gpu>=1.27", installed="1.31.1")
    (found,) = conflict_findings([runtime], {import_probe(runtime): ProbeResult() if works else CRASHED})
    assert found.state is state
    assert "onnxruntime-gpu 1.31.1 and onnxruntime 1.22.0" in found.detail
    assert "uninstall -y onnxruntime-gpu onnxruntime && " in found.fix
    assert found.fix.endswith("install --force-reinstall --no-deps 'onnxruntime-gpu>=1.27'")


def test_another_package_of_the_family_is_named_where_it_is_installed_instead(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_up(tmp_path, "opencv-contrib-python", "5.0.1")
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    opencv = package("opencv-python-headless", "opencv-python-headless>=5.0")
    found = module_finding(opencv, ProbeResult(reported={"version": "5.0.1"}), "")
    assert (found.state, found.detail) == (Status.OK, "5.0.1 (of opencv-contrib-python)")
    without_gl = ProbeResult(error="ImportError", text="libGL.so.1: cannot open shared object file")
    assert "uninstall -y opencv-contrib-python && " in module_finding(opencv, without_gl, "").fix


@pytest.mark.parametrize("state", [Status.OPTIONAL, Status.WARNING, Status.MISSING, Status.BROKEN])
def test_a_finding_that_needs_a_fix_cannot_be_made_without_one(state: Status) -> None:
    with pytest.raises(ValueError, match="fix"):
        Finding(feature="f", name="n", state=state, detail="d")


@pytest.mark.parametrize(("free_bytes", "state"), [(None, Status.UNTRIED), (GIB, Status.OK), (GIB - 1, Status.WARNING)])
def test_memory_is_compared_with_what_a_run_needs(free_bytes: int | None, state: Status) -> None:
    assert machine.memory_finding(free_bytes).state is state


def test_the_limit_of_a_control_group_counts_and_what_can_be_given_back_is_free(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("1000\n", encoding="utf-8")
    (tmp_path / "memory.current").write_text("900\n", encoding="utf-8")
    (tmp_path / "memory.stat").write_text("anon 600\ninactive_file 250\n", encoding="utf-8")
    assert list(memory.left_in(tmp_path)) == [350]
    (tmp_path / "memory.max").write_text("max\n", encoding="utf-8")
    assert list(memory.left_in(tmp_path)) == []


def test_examining_the_cache_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SRN_CACHE", str(tmp_path / "below" / "engines"))
    assert machine.cache_finding().state is Status.OK
    assert list(tmp_path.iterdir()) == []


def test_engines_are_counted_and_those_of_another_machine_named(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SRN_CACHE", str(tmp_path))
    graph = resolve().path
    stored(EngineStore(tmp_path), graph, spec_of(onnx.load(graph), "graph"))
    probed = ProbeResult(reported={"engines": {"a.engine": "An engine runs on a GPU only: none."}})
    (found,) = machine.engine_findings(probed)
    assert found.detail == "1 in the cache, 0 of them for this machine (An engine runs on a GPU only: none)"
    (tmp_path / "stray.engine").touch()
    (found,) = machine.engine_findings(probed)
    assert (found.state, found.fix) == (Status.WARNING, "srn-deploy engines prune")


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
    assert fixes.install("onnx>=1.18") == begins.format(python="/env/bin/python") + " 'onnx>=1.18'"


def test_an_installed_copy_gets_its_extra_from_where_it_was_installed_from(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "a source"
    source.mkdir()
    folder = tmp_path / "srn_deploy-9.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: srn-deploy\nVersion: 9\n", encoding="utf-8")
    (folder / "direct_url.json").write_text(json.dumps({"url": source.as_uri(), "dir_info": {}}), encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(fixes, "CHECKOUT", None)
    assert fixes.install_extra("torch", ["torch>=2"]).endswith(f"install '{source}[torch]'")
    source.rmdir()
    assert fixes.install_extra("torch", ["torch>=2", "onnx>=1"]).endswith("install 'torch>=2' 'onnx>=1'")
