"""What children of the doctor may answer, and packages that it may look at."""

from __future__ import annotations

from srn_deploy.doctor.children import Answer
from srn_deploy.doctor.packages import Package

GIB = 2**30

NO_GPU = Answer(told={"reason": "no NVIDIA driver (libcuda.so.1) on this machine"})
A_GPU = Answer(told={"reason": "", "version": "580.65", "cuda": "13.0",
                     "gpus": [{"name": "Fake GPU 8.9", "free_bytes": 8 * GIB}]})
RAN = Answer(told={"runtime": "ONNX Runtime"})
REFUSED = Answer(error="DeviceUnavailable", text="CUDAExecutionProvider could not be loaded",
                 remedy="Use --device cpu.")
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
