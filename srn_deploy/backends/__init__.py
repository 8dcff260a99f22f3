"""`open_backend`: any artefact, on the device asked for, behind one protocol."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable
from pathlib import Path

from srn_deploy.backends.protocol import Backend, Batch
from srn_deploy.cuda_driver import why_no_gpu
from srn_deploy.errors import DeviceUnavailable, MissingPackage, OptionError, UnknownModel

DEVICES = ("auto", "cpu", "cuda")
GRAPH_SUFFIX = ".onnx"
CHECKPOINT_SUFFIXES = (".pt", ".pth", ".safetensors")

__all__ = ["DEVICES", "Backend", "Batch", "open_backend"]

_log = logging.getLogger(__name__)


def open_backend(path: Path, device: str = "auto", *, tell: Callable[[str], None] = _log.info) -> Backend:
    """Open a checkpoint (PyTorch) or an ONNX graph (ONNX Runtime).

    device: "cpu", "cuda" (an error where it is not to be had), or "auto" (a GPU where one works, else
    the CPU). tell: receives one sentence that says what was taken and why.
    """
    if device not in DEVICES:
        raise OptionError(f"There is no device {device!r}.", remedy=f"Use one of {', '.join(DEVICES)}.")
    if not path.is_file():
        raise UnknownModel(f"{path} does not exist.", remedy="Check the path.")
    if path.suffix not in (GRAPH_SUFFIX, *CHECKPOINT_SUFFIXES):
        raise UnknownModel(f"{path} is neither a checkpoint ({', '.join(CHECKPOINT_SUFFIXES)}) nor an ONNX graph.",
                           remedy="Give such a file, or the name of a shipped model.")
    opener = _open_graph if path.suffix == GRAPH_SUFFIX else _open_checkpoint
    return _open_on_device(opener, path, device, tell)


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
    if importlib.util.find_spec("torch") is None:
        raise MissingPackage(f"{path.name} is a checkpoint, and PyTorch is not installed.",
                             remedy="Run `pip install 'srn-deploy[torch]'`, or use an exported .onnx graph.")
    from srn_deploy.backends.pytorch import PyTorchBackend
    from srn_deploy.checkpoint import load_checkpoint

    return PyTorchBackend(load_checkpoint(path), device), "PyTorch"
