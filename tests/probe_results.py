"""Made-up results of the doctor's probes, and packages for it to examine."""

from __future__ import annotations

from pathlib import Path

from srn_deploy.doctor.packages import Package
from srn_deploy.doctor.subprocesses import ProbeResult

GIB = 2**30

NO_GPU = ProbeResult(reported={"reason": "no NVIDIA driver (libcuda.so.1) on this machine"})
A_GPU = ProbeResult(reported={"reason": "", "version": "580.65", "cuda": "13.0",
                     "gpus": [{"name": "Fake GPU 8.9", "free_bytes": 8 * GIB}]})
RAN = ProbeResult(reported={"runtime": "ONNX Runtime"})
REFUSED = ProbeResult(error="DeviceUnavailable", text="CUDAExecutionProvider could not be loaded",
                 remedy="Use --device cpu.")
CRASHED = ProbeResult(text="it ends in signal 11 (SIGSEGV)", crashed=True)
ABSENT = ProbeResult(error="ModuleNotFoundError", text="No module named 'torch'", missing_module="torch")
ALL_THERE = ProbeResult(reported={"cuda": "13.0", "names": ["libcudnn.so.9"], "missing": []})
NO_CUDNN = ProbeResult(reported={"cuda": "13.0", "names": ["libcudnn.so.9"], "missing": ["libcudnn.so.9"]})


def package(name: str, requirement: str, *, extra: str = "", installed: str = "", fits: bool = True) -> Package:
    return Package(name=name, requirement=requirement, extra=extra, installed=installed, fits=fits)


RUNTIME = package("onnxruntime-gpu", "onnxruntime-gpu>=1.27", installed="1.31.1")
TORCH = package("torch", "torch>=2.11,<2.14", extra="torch", installed="2.13.0")


def torch_result(version: str = "2.13.0", cuda: str = "13.0", reason: str = "") -> ProbeResult:
    return ProbeResult(reported={"version": version, "cuda": cuda, "reason": reason})


def made_up(folder: Path, name: str, version: str, *needs: str) -> None:
    """The metadata of an installed package, and nothing else of it."""
    metadata = folder / f"{name.replace('-', '_')}-{version}.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}",
             *(f"Requires-Dist: {one}" for one in needs)]
    metadata.write_text("\n".join([*lines, ""]), encoding="utf-8")
