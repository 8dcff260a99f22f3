"""`srn-deploy doctor` as a user types it: on this machine, on one where things are missing, and with a GPU."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from srn_deploy.system.cuda_driver import why_no_gpu
from tests.test_installation import fresh_environment

OF_EXTRAS = ("torch", "onnx-", "onnxscript", "onnx_ir", "safetensors", "matplotlib", "mpl_", "cuda",
             "openvino", "tensorrt", "pycuda", "nvidia", "pynvml", "av", "ray", "nncf", "spandrel", "pillow_heif",
             "pillow_jxl", "jinja2", "markdown_it", "triton", "gradio")
"""How names in the folder of libraries begin that the base installation does not bring; and `onnx` itself."""

OWN_KEYS = {"feature", "name", "state", "detail", "fix"}


def run(*arguments: str, python: str | Path = sys.executable, path: tuple[Path, ...] = (), cwd: Path | None = None,
        **environment: str) -> subprocess.CompletedProcess[str]:
    """The doctor with these folders in front of the path, no terminal."""
    before = os.environ.get("PYTHONPATH")
    repository = Path(__file__).resolve().parent.parent
    entries = [*map(str, path), str(repository), *([before] if before and python == sys.executable else [])]
    return subprocess.run([python, "-m", "srn_deploy", "doctor", *arguments], capture_output=True, text=True, cwd=cwd,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(entries), **environment}, timeout=300,
                          check=False)


def by_name(report: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    return {finding["name"]: finding for finding in report["findings"]}


@pytest.fixture(scope="module")
def healthy() -> subprocess.CompletedProcess[str]:
    """On this machine as it is."""
    return run("--json", "--device", "cpu")


def test_on_a_machine_that_works_the_device_works_and_the_exit_code_is_0(
        healthy: subprocess.CompletedProcess[str]) -> None:
    assert (healthy.returncode, healthy.stderr) == (0, "")
    report = json.loads(healthy.stdout)
    assert (report["device"], report["works"], report["verdict"]) == ("cpu", True, "ONNX Runtime on the CPU")


def test_json_has_a_finding_with_the_same_keys_for_everything(healthy: subprocess.CompletedProcess[str]) -> None:
    report = json.loads(healthy.stdout)
    assert set(report) == {"device", "works", "verdict", "findings"}
    assert all(set(finding) == OWN_KEYS for finding in report["findings"])
    assert {"Python", "platform", "memory", "numpy", "opencv-python-headless", "ONNX Runtime", "models", "driver",
            "torch", "onnx", "onnxscript", "safetensors", "matplotlib", "filelock", "tensorrt", "tensorrt-rtx",
            "pycuda", "cuda-bindings", "nvidia-ml-py", "nncf", "spandrel", "pillow-heif", "pillow-jxl-plugin",
            "jinja2", "markdown-it-py", "tritonclient", "gradio", "ray", "cache", "engines"} <= set(by_name(report))


def test_what_the_tests_themselves_run_on_is_found_ok(healthy: subprocess.CompletedProcess[str]) -> None:
    found = by_name(json.loads(healthy.stdout))
    assert {found[name]["state"] for name in ("numpy", "opencv-python-headless", "ONNX Runtime", "models", "torch",
                                              "onnx", "safetensors")} == {"ok"}
    assert "ran a tiny graph on the CPU" in found["ONNX Runtime"]["detail"]


@pytest.fixture(scope="module")
def sick(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """OpenCV without its libGL and beside the plain wheel, PyTorch that crashes, a cache below a file."""
    folder = tmp_path_factory.mktemp("sick")
    for name, code in {
        "cv2": "raise ImportError('libGL.so.1: cannot open shared object file: No such file or directory')",
        "torch": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
        "onnxscript": "raise RuntimeError('first line\\nsecond line')",
    }.items():
        (folder / f"{name}.py").write_text(code, encoding="utf-8")
    metadata = folder / "opencv_python-4.10.0.84.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: opencv-python\nVersion: 4.10.0.84\n", encoding="utf-8")
    (folder / "file").touch()
    return run("--json", path=(folder,), SRN_CACHE=str(folder / "file" / "engines"))


def test_where_images_cannot_be_read_no_device_works(sick: subprocess.CompletedProcess[str]) -> None:
    assert (sick.returncode, sick.stderr) == (1, "")
    report = json.loads(sick.stdout)
    assert not report["works"]
    assert "libGL.so.1" in report["verdict"]


@pytest.mark.parametrize(("name", "detail", "fix"), [
    ("opencv-python-headless", "libGL.so.1", "uninstall -y opencv-python-headless opencv-python && "),
    ("cv2", "opencv-python 4.10.0.84 write the same folder", "'opencv-python-headless>=5.0'"),
    ("torch", "it ends in signal 9 (SIGKILL)", "'torch>=2.11,<2.14'"),
    ("onnxscript", "importing it fails: first line", "install --force-reinstall --no-deps 'onnxscript>=0.5'"),
    ("cache", "cannot be written to: Not a directory", "unset SRN_CACHE"),
])
@pytest.mark.skipif(os.name == "nt", reason="signals and errors are those of POSIX")
def test_what_is_broken_is_named_with_its_fix(sick: subprocess.CompletedProcess[str], name: str, detail: str,
                                               fix: str) -> None:
    finding = by_name(json.loads(sick.stdout))[name]
    assert finding["state"] == "broken"
    assert detail in finding["detail"]
    assert fix in finding["fix"]


def test_a_bare_installation_works_and_each_extra_is_named_with_the_command_that_installs_it(
        tmp_path: Path, repository: Path) -> None:
    libraries = [entry.name for entry in Path(sysconfig.get_path("purelib")).iterdir()]
    without = tuple(name for name in libraries if name.startswith(OF_EXTRAS) or name == "onnx")
    python = fresh_environment(tmp_path, without=without) / "python"
    done = run("--json", "--device", "cpu", python=python, cwd=repository)
    assert done.returncode == 0, done.stdout + done.stderr
    found = by_name(json.loads(done.stdout))
    for name in ("torch", "onnx", "onnxscript", "safetensors", "matplotlib", "openvino", "pycuda", "cuda-bindings",
                 "av"):
        assert found[name]["state"] == "optional", found[name]
    assert found["onnx"]["fix"].endswith("pip install -e '.[torch]'")
    assert "for export, train" in found["torch"]["detail"]
    assert found["openvino"]["fix"].endswith("pip install -e '.[openvino]'")
    assert (found["av"]["feature"], found["av"]["detail"]) == (
        "Videos (PyAV)", "not installed; needed for upscale of videos (it is PyAV)")
    assert found["av"]["fix"].endswith("pip install -e '.[video]'")
    for name, extra, words in (
            ("tritonclient", "triton", "triton-repository and upscale --server"), ("gradio", "web", "web"),
            ("jinja2", "report", "report"), ("markdown-it-py", "report", "report"), ("ray", "ray", "upscale --ray"),
            ("nncf", "int8", "export --int8"), ("pillow-heif", "heif", "reading HEIC"),
            ("pillow-jxl-plugin", "jxl", "reading JPEG XL"),
            ("spandrel", "spandrel", "checkpoints of networks that srn-deploy does not have itself")):
        assert (found[name]["state"], found[name]["detail"]) == ("optional", f"not installed; needed for {words}")
        assert found[name]["fix"].endswith(f"pip install -e '.[{extra}]'")
    assert "install 'tensorrt>=10.15,<12'" in found["tensorrt"]["fix"]
    assert "'pycuda>=2025.1'" in found["pycuda"]["fix"]


@pytest.fixture(scope="module")
def beside_a_gpu(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """With the C interface of a driver, but nothing that computes."""
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs a C compiler on Linux: the driver is a shared library")
    folder = tmp_path_factory.mktemp("driver")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", folder / "libcuda.so.1", repository / "tests/fake_driver.c"],
                   check=True)
    return run("--json", "--device", "cuda", LD_LIBRARY_PATH=str(folder))


def test_a_gpu_that_nothing_runs_on_ends_in_exit_code_1(beside_a_gpu: subprocess.CompletedProcess[str]) -> None:
    assert beside_a_gpu.returncode == 1
    report = json.loads(beside_a_gpu.stdout)
    assert (report["device"], report["works"]) == ("cuda", False)
    assert report["verdict"].startswith("ONNX Runtime on the GPU: ")


def test_the_driver_and_the_memory_of_the_gpu_are_reported(beside_a_gpu: subprocess.CompletedProcess[str]) -> None:
    found = by_name(json.loads(beside_a_gpu.stdout))
    assert "CUDA up to 12.8" in found["driver"]["detail"]
    assert found["GPU 0"]["detail"].startswith("Fake GPU 8.9, 0.6 GiB free")
    assert found["GPU 0"]["state"] == "warning"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """The text for a user, piped, for a GPU, with one package that cannot be imported for a long reason."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "safetensors.py").write_text("raise OSError('a reason ' + 15 * 'that is long ')", encoding="utf-8")
    return run("--device", "cuda", path=(folder,), COLUMNS="60")


def test_without_a_gpu_the_exit_code_for_cuda_is_1_and_the_reason_is_reported(
        page: subprocess.CompletedProcess[str]) -> None:
    reason = why_no_gpu()
    if not reason:
        pytest.skip("there is a GPU")
    assert page.returncode == 1
    assert page.stdout.splitlines()[-1].startswith("--device cuda does not work: ONNX Runtime on the GPU: ")
    assert reason in page.stdout.splitlines()[-1]


def test_a_page_that_is_piped_has_one_line_for_each_finding_and_each_fix(
        page: subprocess.CompletedProcess[str]) -> None:
    lines = page.stdout.splitlines()
    (broken,) = [index for index, line in enumerate(lines) if line.startswith("  broken   safetensors")]
    assert lines[broken].endswith("a reason " + (15 * "that is long ").rstrip())
    assert lines[broken + 1].lstrip().startswith("-> ")


@pytest.mark.parametrize("arguments", [("--device", "gpu"), ("--timeout", "0"), ("--timeout", "soon"), ("more",)])
def test_wrong_use_ends_in_exit_code_2(arguments: tuple[str, ...]) -> None:
    assert run(*arguments).returncode == 2


@pytest.mark.skipif(os.name == "nt", reason="signals are those of POSIX")
def test_ctrl_c_ends_the_doctor_and_the_library_that_hangs(tmp_path: Path, repository: Path) -> None:
    pid_file = tmp_path / "pid"
    os.mkfifo(pid_file)
    (tmp_path / "cv2.py").write_text(
        f"import os, time; open({str(pid_file)!r}, 'w').write(str(os.getpid())); time.sleep(600)", encoding="utf-8")
    path = os.pathsep.join([str(tmp_path), str(repository), os.environ.get("PYTHONPATH", "")])
    doctor = subprocess.Popen([sys.executable, "-m", "srn_deploy", "doctor", "--timeout", "500"],
                              env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True)
    child = int(pid_file.read_text(encoding="utf-8"))  # waits until it hangs
    doctor.send_signal(signal.SIGINT)
    stdout, stderr = doctor.communicate(timeout=120)
    assert (doctor.returncode, stdout) == (130, "")
    assert "Traceback" not in stderr
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
