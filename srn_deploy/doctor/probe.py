"""What a child of the doctor does: one question to one library, the answer as JSON on stdout.

Run as `python -m srn_deploy.doctor.probe NAME [ARGUMENT]...`. Whatever a library says goes to stderr. The rooms
that own the libraries are asked where they have the question already, so that what is proved is what is used.
"""

from __future__ import annotations

import ctypes
import importlib
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

TINY_GRAPH = Path(__file__).with_name("tiny.onnx")
"""One 3x3 convolution that halves every value; a test makes it anew."""

_SIDE_PX = 16

_CUFFT = {"12": "11", "13": "12"}
"""CUDA's major version to that of its cuFFT."""


def module(name: str) -> dict[str, Any]:
    """Import a module; its version where it tells one."""
    imported = importlib.import_module(name)
    return {"version": str(getattr(imported, "__version__", ""))}


def packages() -> dict[str, Any]:
    """What the installation asks for, and what of it is there."""
    from srn_deploy.doctor.requirements import asked_for

    return {"packages": asked_for()}


def driver() -> dict[str, Any]:
    """The NVIDIA driver and its GPUs."""
    from srn_deploy.system import cuda_driver

    if reason := cuda_driver.why_no_gpu():
        return {"reason": reason}
    gpus = [{"name": cuda_driver.gpu_name(index), "free_bytes": cuda_driver.free_gpu_bytes(index)}
            for index in range(cuda_driver.gpu_count())]
    return {"reason": "", "version": cuda_driver.driver_version(), "cuda": cuda_driver.newest_cuda(), "gpus": gpus}


def graph(device: str) -> dict[str, Any]:
    """Run the tiny graph as `upscale` runs a model, and look at what comes out. Raises what the backend raises."""
    import numpy as np

    from srn_deploy.backends import open_on
    from srn_deploy.errors import BackendError

    backend, title = open_on(TINY_GRAPH, device)
    ramp = np.linspace(0, 1, 3 * _SIDE_PX**2, dtype=np.float32).reshape(1, _SIDE_PX, _SIDE_PX, 3)
    halved = backend.run(ramp)
    backend.close()
    if halved.shape != ramp.shape or not np.allclose(halved, ramp / 2, atol=1e-3):
        raise BackendError(f"{title} computes something else than the tiny graph says.",
                           remedy="Install ONNX Runtime anew.")
    return {"runtime": title}


def cuda_libraries() -> dict[str, Any]:
    """Which shared libraries ONNX Runtime's CUDA provider asks the loader for, and which are not found."""
    ort = importlib.import_module("onnxruntime")
    from onnxruntime.capi import build_and_package_info

    cuda = str(getattr(build_and_package_info, "cuda_version", "") or "")
    names = needed_by_onnx_runtime(cuda.partition(".")[0]) if sys.platform == "linux" else []
    ort.preload_dlls()  # finds those that came as wheels
    return {"cuda": cuda, "names": names, "missing": [name for name in names if not _loads(name)]}


def needed_by_onnx_runtime(cuda: str) -> list[str]:
    """By the major version of CUDA it was built for; empty for a build without CUDA or of an unknown one."""
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


def torch() -> dict[str, Any]:
    """PyTorch's version, what it was built for and, where there is a GPU, why it cannot use it."""
    import torch as library

    from srn_deploy.system.cuda_driver import why_no_gpu

    told = {"version": str(library.__version__), "cuda": library.version.cuda or "", "reason": why_no_gpu()}
    if told["reason"] or not told["cuda"]:
        return told
    try:
        library.nn.functional.conv2d(library.zeros(1, 1, 8, 8, device="cuda"),
                                     library.zeros(1, 1, 3, 3, device="cuda"))
        library.cuda.synchronize()
    except (RuntimeError, AssertionError) as error:  # the second: a build that sees no driver
        told["reason"] = str(error).splitlines()[0][:200]
    return told


def engine_library(flavour: str) -> dict[str, Any]:
    """Open TensorRT or TensorRT-RTX as building an engine does: the driver is asked first, the version is checked."""
    from srn_deploy.engine.library import open_library

    return {"version": open_library(flavour).version}


def pycuda() -> dict[str, Any]:
    """Begin a session on the first GPU."""
    from srn_deploy.backends.cuda_session import open_session
    from srn_deploy.system.cuda_driver import why_no_gpu

    if reason := why_no_gpu():
        return {"reason": reason}
    open_session().close()
    return {"reason": ""}


def engines() -> dict[str, Any]:
    """Of each engine in the cache why it does not run here; empty for one that does."""
    from srn_deploy.engine.load import find_plan
    from srn_deploy.engine.store import EngineStore
    from srn_deploy.errors import SrnDeployError

    told = {}
    for engine in EngineStore().engines():
        try:
            find_plan(engine.path)
            told[engine.path.name] = ""
        except SrnDeployError as error:
            told[engine.path.name] = error.message
    return {"engines": told}


PROBES: Mapping[str, Callable[..., dict[str, Any]]] = {
    probe.__name__: probe for probe in (module, packages, driver, graph, cuda_libraries, torch, engine_library, pycuda,
                                        engines)}


def main(name: str, *arguments: str) -> None:
    """Answer one question; an exception is told, and ends the child as it would any program."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a library that hangs is not to swallow Ctrl-C
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # libraries speak on stdout too
    try:
        answer: dict[str, Any] = {"told": PROBES[name](*arguments)}
    except BaseException as error:
        answer = {"error": type(error).__name__, "text": getattr(error, "message", "") or str(error),
                  "remedy": getattr(error, "remedy", ""), "lacking": getattr(error, "name", None) or ""}
        raise
    finally:
        with answers:
            json.dump(answer, answers)


if __name__ == "__main__":
    main(*sys.argv[1:])
