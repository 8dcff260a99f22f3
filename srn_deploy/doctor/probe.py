"""What the doctor runs in subprocesses: one probe of one library, with the result as JSON on stdout.

Run as `python -m srn_deploy.doctor.probe NAME [ARGUMENT]...`. Whatever a library prints goes to stderr. Where a package
already has the check, such as opening a backend, it is called, so that what is tested is what is used.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srn_deploy.backends.first_run import run_without_trial
from srn_deploy.doctor.probe_reports import (
    CudaLibrariesReport,
    DriverReport,
    EnginesReport,
    GpuReport,
    GraphReport,
    OpenVinoReport,
    PycudaReport,
    TorchReport,
    VersionReport,
)

if TYPE_CHECKING:
    from srn_deploy.doctor.conflicts import ConflictsReport
    from srn_deploy.doctor.packages import RequirementsReport

TINY_GRAPH = Path(__file__).with_name("tiny.onnx")
"""One 3x3 convolution that halves every value; a test compares it with a new one."""

_SIDE_PX = 16

_CUFFT = {"12": "11", "13": "12"}
"""Major version of CUDA to that of its cuFFT."""


def module(name: str) -> VersionReport:
    """Import a module, and report its version where it has one."""
    imported = importlib.import_module(name)
    return VersionReport(version=str(getattr(imported, "__version__", "")))


def packages() -> RequirementsReport:
    """The packages that srn-deploy requires, and which are installed."""
    from srn_deploy.doctor.packages import RequirementsReport
    from srn_deploy.doctor.requirements import read_requirements

    return RequirementsReport(packages=read_requirements())


def conflicts() -> ConflictsReport:
    """Which of the installed packages do not fit together."""
    from srn_deploy.doctor.conflicts import ConflictsReport
    from srn_deploy.doctor.requirements import read_conflicts

    return ConflictsReport(conflicts=read_conflicts())


def driver() -> DriverReport:
    """The NVIDIA driver and its GPUs."""
    from srn_deploy.system import cuda_driver

    if reason := cuda_driver.why_no_gpu():
        return DriverReport(reason=reason)
    gpus = [GpuReport(name=cuda_driver.gpu_name(index), free_bytes=cuda_driver.free_gpu_bytes(index))
            for index in range(cuda_driver.gpu_count())]
    return DriverReport(reason="", version=cuda_driver.driver_version(), cuda=cuda_driver.newest_cuda(), gpus=gpus)


def graph(device: str) -> GraphReport:
    """Run the tiny graph on a device as `upscale` runs a model, and check its output.

    Raises BackendError for a wrong output, and what the backend raises.
    """
    import numpy as np

    from srn_deploy.backends import open_on
    from srn_deploy.errors import BackendError
    from srn_deploy.registry.resolve import resolve_file

    backend, title = open_on(resolve_file(TINY_GRAPH), device)
    ramp = np.linspace(0, 1, 3 * _SIDE_PX**2, dtype=np.float32).reshape(1, _SIDE_PX, _SIDE_PX, 3)
    halved = backend.run(ramp)
    backend.close()
    if halved.shape != ramp.shape or not np.allclose(halved, ramp / 2, atol=1e-3):
        raise BackendError(f"{title} computes a wrong result for the tiny graph.",
                           remedy=f"Install {'OpenVINO' if device == 'openvino' else 'ONNX Runtime'} again.")
    return GraphReport(runtime=title)


def openvino_graph() -> OpenVinoReport:
    """Run the tiny graph on OpenVINO, and ask whether it computes in BF16; nothing stays in the cache."""
    from srn_deploy.backends import why_no_bf16
    from srn_deploy.system.cache import VARIABLE

    with tempfile.TemporaryDirectory() as folder:
        os.environ[VARIABLE] = folder
        graph("openvino")
    return OpenVinoReport(no_bf16=why_no_bf16())


def cuda_libraries() -> CudaLibrariesReport:
    """The shared libraries that ONNX Runtime's CUDA provider loads, and those that are not found."""
    ort = importlib.import_module("onnxruntime")
    from onnxruntime.capi import build_and_package_info

    cuda = str(getattr(build_and_package_info, "cuda_version", "") or "")
    names = needed_by_onnx_runtime(cuda.partition(".")[0]) if sys.platform == "linux" else []
    ort.preload_dlls()  # finds those installed as wheels
    return CudaLibrariesReport(cuda=cuda, names=names, missing=[name for name in names if not _loads(name)])


def needed_by_onnx_runtime(cuda: str) -> list[str]:
    """File names of the libraries that ONNX Runtime needs for a major version of CUDA; empty for an unknown version."""
    if cuda not in _CUFFT:
        return []
    return [*(f"lib{name}.so.{cuda}" for name in ("cudart", "cublasLt", "cublas", "nvrtc")), "libcurand.so.10",
            f"libcufft.so.{_CUFFT[cuda]}", "libcudnn.so.9"]


def _loads(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


def torch() -> TorchReport:
    """Version of PyTorch, the CUDA it was built for and, where there is a GPU, why it cannot use it."""
    import torch as library

    from srn_deploy.system.cuda_driver import why_no_gpu

    report = TorchReport(version=str(library.__version__), cuda=library.version.cuda or "", reason=why_no_gpu())
    if report.reason or not report.cuda:
        return report
    try:
        library.nn.functional.conv2d(library.zeros(1, 1, 8, 8, device="cuda"),
                                     library.zeros(1, 1, 3, 3, device="cuda"))
        library.cuda.synchronize()
    except (RuntimeError, AssertionError) as error:  # the second: a build that sees no driver
        return replace(report, reason=str(error).splitlines()[0][:200])
    return report


def engine_library(runtime: str) -> VersionReport:
    """Open TensorRT or TensorRT-RTX as building an engine does: after checking the driver, and with its version."""
    from srn_deploy.engine.library import open_library

    return VersionReport(version=open_library(runtime).version)


def pycuda() -> PycudaReport:
    """Open a session on the first GPU with PyCUDA."""
    from srn_deploy.backends.cuda_session import open_session
    from srn_deploy.system.cuda_driver import why_no_gpu

    if reason := why_no_gpu():
        return PycudaReport(reason=reason)
    open_session().close()
    return PycudaReport(reason="")


def engines() -> EnginesReport:
    """For each engine in the cache, why it does not run here; empty for one that does."""
    from srn_deploy.engine.load import find_plan
    from srn_deploy.engine.store import EngineStore
    from srn_deploy.errors import SrnDeployError

    obstacles = {}
    for engine in EngineStore().engines():
        try:
            find_plan(engine.path)
            obstacles[engine.path.name] = ""
        except SrnDeployError as error:
            obstacles[engine.path.name] = error.message
    return EnginesReport(engines=obstacles)


PROBES: Mapping[str, Callable[..., Any]] = {
    probe.__name__: probe for probe in (module, packages, conflicts, driver, graph, openvino_graph, cuda_libraries,
                                        torch, engine_library, pycuda, engines)}


def main(name: str, *arguments: str) -> None:
    """Run one probe and print its result; an exception is reported, and also ends the process."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a library that hangs must not swallow Ctrl-C
    run_without_trial()
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # libraries print to stdout too
    try:
        result: dict[str, Any] = {"reported": asdict(PROBES[name](*arguments))}
    except BaseException as error:
        result = {"error": type(error).__name__, "text": getattr(error, "message", "") or str(error),
                  "remedy": getattr(error, "remedy", ""), "missing_module": getattr(error, "name", None) or ""}
        raise
    finally:
        with output:
            json.dump(result, output)


if __name__ == "__main__":
    main(*sys.argv[1:])
