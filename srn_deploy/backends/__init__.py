"""`open_backend`: any artefact, on the device asked for, behind one protocol."""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Callable
from pathlib import Path

from srn_deploy.backends.protocol import Backend, Batch
from srn_deploy.contract import GRAPH_SUFFIX, is_graph
from srn_deploy.cuda_driver import why_no_gpu
from srn_deploy.errors import DeviceUnavailable, OptionError, UnknownModel, missing_package

DEVICES = ("auto", "cpu", "cuda")

__all__ = ["DEVICES", "Backend", "Batch", "open_backend"]

_log = logging.getLogger(__name__)


def open_backend(path: str | Path, device: str = "auto", *, tell: Callable[[str], None] = _log.info) -> Backend:
    """Open an ONNX graph (.onnx, ONNX Runtime) or a checkpoint (any other name, PyTorch).

    device: "cpu", "cuda" (an error where it is not to be had), or "auto" (a GPU where one works, else
    the CPU). tell: receives one sentence that says what was taken and why.
    """
    if device not in DEVICES:
        raise OptionError(f"There is no device {device!r}.", remedy=f"Use one of {', '.join(DEVICES)}.")
    path = Path(path)
    if not os.path.isfile(path):  # noqa: PTH113  # Path.is_file raises for names that are too long
        raise UnknownModel(f"There is no file {path}.", remedy="Check the path.")
    return _open_on_device(_open_graph if is_graph(path) else _open_checkpoint, path, device, tell)


def _open_on_device(opener: Callable[[Path, str], tuple[Backend, str]], path: Path, device: str,
                    tell: Callable[[str], None]) -> Backend:
    """Try the GPU where it may be, and say why it was not taken."""
    reason = "asked for" if device != "auto" else why_no_gpu()
    if device != "cpu" and not (device == "auto" and reason):
        try:
            backend, title = opener(path, "cuda")
        except DeviceUnavailable as error:
            if device == "cuda":
                raise
            reason = error.message.rstrip(".")
        else:
            tell(f"{title} on the GPU ({'asked for' if device == 'cuda' else 'a GPU works'})")
            return backend
    backend, title = opener(path, "cpu")
    tell(f"{title} on the CPU ({reason})")
    return backend


def _open_graph(path: Path, device: str) -> tuple[Backend, str]:
    from srn_deploy.backends.onnx_runtime import OnnxRuntimeBackend

    return OnnxRuntimeBackend(path, device), "ONNX Runtime"


def _open_checkpoint(path: Path, device: str) -> tuple[Backend, str]:
    for package in ("torch", "safetensors"):
        if importlib.util.find_spec(package) is None:
            raise missing_package(package, f"A model file that is no {GRAPH_SUFFIX} graph ({path.name})")
    from srn_deploy.backends.pytorch import PyTorchBackend
    from srn_deploy.checkpoint import load_checkpoint

    return PyTorchBackend(load_checkpoint(path), device), "PyTorch"
