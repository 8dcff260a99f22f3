"""`open_backend`: any artefact, on the device asked for, behind one protocol."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Callable
from pathlib import Path

from srn_deploy.backends.protocol import Backend, Batch
from srn_deploy.errors import DeviceUnavailable, OptionError, UnknownModel, missing_package, not_correctable
from srn_deploy.spec import AS_RECOGNISED, GRAPH_SUFFIX, Corrections, Precision, is_engine, is_graph
from srn_deploy.system.cuda_driver import why_no_gpu

DEVICES = ("auto", "cpu", "cuda")

__all__ = ["DEVICES", "Backend", "Batch", "check_device", "open_backend", "open_half", "open_on"]

_log = logging.getLogger(__name__)


def open_backend(path: str | Path, device: str = "auto", *, corrections: Corrections = AS_RECOGNISED,
                 tell: Callable[[str], None] = _log.info) -> Backend:
    """Open an ONNX graph (.onnx, ONNX Runtime), an engine (.engine) or a checkpoint (any other name, PyTorch).

    device: "cpu", "cuda" (an error where it is not to be had), or "auto" (a GPU where one works, else
    the CPU; an engine runs on a GPU or not at all). corrections: of what a checkpoint's keys cannot tell. tell:
    receives one sentence that says what was taken and why.
    """
    check_device(device)
    path = Path(path)
    reason = "asked for" if device != "auto" else why_no_gpu()
    if device == "cuda" or is_engine(path) or not (device == "cpu" or reason):
        try:
            backend, title = open_on(path, "cpu" if device == "cpu" else "cuda", corrections)
        except DeviceUnavailable as error:
            if device == "cuda" or is_engine(path):
                raise
            reason = error.message.rstrip(".")
        else:
            tell(f"{title} on the GPU ({'asked for' if device == 'cuda' else 'a GPU works'})")
            return backend
    backend, title = open_on(path, "cpu", corrections)
    tell(f"{title} on the CPU ({reason})")
    return backend


def check_device(device: str) -> None:
    """Raise OptionError for a device that there is not."""
    if device not in DEVICES:
        raise OptionError(f"There is no device {device!r}.", remedy=f"Use one of {', '.join(DEVICES)}.")


def open_on(path: Path, device: str, corrections: Corrections = AS_RECOGNISED) -> tuple[Backend, str]:
    """An artefact on "cpu" or "cuda" and nowhere else, and what runs it; raises DeviceUnavailable."""
    if not os.path.isfile(path):  # noqa: PTH113  # Path.is_file raises for names that are too long
        raise UnknownModel(f"There is no file {path}.", remedy="Check the path.")
    if corrections and (is_engine(path) or is_graph(path)):
        raise not_correctable(path.name)
    if is_engine(path):
        return _open_engine(path, device)
    return _open_graph(path, device) if is_graph(path) else _open_checkpoint(path, device, Precision.FP32, corrections)


def open_half(checkpoint: Path, corrections: Corrections = AS_RECOGNISED) -> tuple[Backend, str]:
    """A checkpoint in FP16 on the GPU, with CUDA graphs; raises DeviceUnavailable and MissingPackage."""
    return _open_checkpoint(checkpoint, "cuda", Precision.FP16, corrections)


def _open_engine(path: Path, device: str) -> tuple[Backend, str]:
    if device == "cpu":
        raise DeviceUnavailable(f"{path.name} is an engine: it runs on a GPU only.",
                                remedy="Give the graph or the checkpoint instead: both run on the CPU too.")
    from srn_deploy.backends.tensor_rt import open_engine

    backend = open_engine(path)
    return backend, backend.title


def _open_graph(path: Path, device: str) -> tuple[Backend, str]:
    from srn_deploy.backends.onnx_runtime import OnnxRuntimeBackend

    return OnnxRuntimeBackend(path, device), "ONNX Runtime"


def _open_checkpoint(path: Path, device: str, precision: Precision,
                     corrections: Corrections) -> tuple[Backend, str]:
    for package in ("torch", "safetensors"):
        if importlib.util.find_spec(package) is None:
            raise missing_package(package, f"A model file that is no {GRAPH_SUFFIX} graph ({path.name})")
    from srn_deploy.architectures.checkpoint import load_checkpoint
    from srn_deploy.backends.pytorch import PyTorchBackend

    backend = PyTorchBackend(load_checkpoint(path, corrections), device, precision=precision)
    return backend, "PyTorch" if precision is Precision.FP32 else "PyTorch in FP16"
