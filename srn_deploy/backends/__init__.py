"""Opens any artefact on the requested device, behind one protocol: `open_backend`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from srn_deploy.backends.protocol import Backend, Batch
from srn_deploy.errors import DeviceUnavailable, OptionError
from srn_deploy.registry.resolve import ModelKind, ResolvedModel, resolve_file
from srn_deploy.spec import AS_RECOGNISED, GRAPH_SUFFIX, Corrections, Precision
from srn_deploy.system.cuda_driver import why_no_gpu
from srn_deploy.system.installed import need_packages

if TYPE_CHECKING:
    from srn_deploy.backends.compiled_models import CompiledIdentity
    from srn_deploy.backends.open_vino import OpenVinoBackend

DEVICES = ("auto", "cpu", "cuda", "openvino")

PRECISIONS = {"auto": None, Precision.FP32.value: Precision.FP32, Precision.BF16.value: Precision.BF16,
              Precision.INT8.value: Precision.INT8}
"""What a user may ask for; auto leaves it to what is there."""

__all__ = ["DEVICES", "PRECISIONS", "Backend", "Batch", "check_device", "open_and_explain", "open_backend", "open_half",
           "open_in_pytorch", "open_on", "open_on_openvino", "openvino_identity", "openvino_product", "precision_named",
           "why_no_bf16"]

_log = logging.getLogger(__name__)


def open_backend(model: str | Path | ResolvedModel, device: str = "auto", *,
                 corrections: Corrections = AS_RECOGNISED) -> Backend:
    """Open an ONNX graph (.onnx, ONNX Runtime), an engine (.engine) or a checkpoint (any other name, PyTorch).

    model: the path of a file, or what `resolve` returned. device: "cpu", "cuda" (an error where there is none),
    "openvino" (a graph on the CPU, by OpenVINO in FP32), or "auto" (a GPU where one works, otherwise the CPU; an engine
    runs on a GPU or not at all). corrections: what you know better than a checkpoint. What was opened, and why, is
    logged.

    The caller closes the backend. Raises OptionError, UnknownModel, MissingPackage, and a CheckpointError, GraphError,
    EngineError or BackendError where the file cannot be opened.
    """
    check_device(device)
    backend, what = open_and_explain(resolve_file(model, corrections), device)
    _log.info("%s.", what)
    return backend


def open_and_explain(model: ResolvedModel, device: str) -> tuple[Backend, str]:
    """Open a model as `open_backend` does; also returns what runs it, where and why, without a full stop."""
    if device == "openvino":
        backend, title = open_on(model, device)
        return backend, f"{title} on the CPU (asked for)"
    is_engine = model.kind is ModelKind.ENGINE
    reason = "asked for" if device != "auto" else why_no_gpu()
    if device == "cuda" or is_engine or not (device == "cpu" or reason):
        try:
            backend, title = open_on(model, "cpu" if device == "cpu" else "cuda")
        except DeviceUnavailable as error:
            if device == "cuda" or is_engine:
                raise
            reason = error.message.rstrip(".")
        else:
            return backend, f"{title} on the GPU ({'asked for' if device == 'cuda' else 'a GPU works'})"
    backend, title = open_on(model, "cpu")
    return backend, f"{title} on the CPU ({reason})"


def check_device(device: str) -> None:
    """Raise OptionError for an unknown device."""
    if not isinstance(device, str) or device not in DEVICES:
        raise OptionError(f"There is no device {device!r}.", remedy=f"Use one of {', '.join(DEVICES)}.")


def precision_named(name: str) -> Precision | None:
    """The precision that was asked for; None for auto. Raises OptionError for another name."""
    if not isinstance(name, str) or name not in PRECISIONS:
        raise OptionError(f"There is no precision {name!r}.", remedy=f"Use one of {', '.join(PRECISIONS)}.")
    return PRECISIONS[name]


def open_on(model: ResolvedModel, device: str) -> tuple[Backend, str]:
    """Open a model on "cpu", "cuda" or "openvino" and nowhere else; returns also the title of what runs it.

    Raises DeviceUnavailable, and MissingPackage for OpenVINO where it is not installed.
    """
    if device == "openvino":
        return open_on_openvino(model, Precision.FP32)
    if model.kind is ModelKind.ENGINE:
        return _open_engine(model.path, device)
    if model.kind is ModelKind.GRAPH:
        return _open_graph(model, device)
    return _open_checkpoint(model, device, Precision.FP32)


def open_half(checkpoint: ResolvedModel) -> tuple[Backend, str]:
    """Open a checkpoint in FP16 on the GPU, with CUDA graphs; raises DeviceUnavailable and MissingPackage."""
    return _open_checkpoint(checkpoint, "cuda", Precision.FP16)


def open_in_pytorch(checkpoint: ResolvedModel, precision: Precision, *, channels_last: bool = True,
                    compiled: bool = False) -> tuple[Backend, str]:
    """Open a checkpoint in PyTorch on the CPU in one of the ways that a script may run it, for benchmarks.

    precision: FP32 or BF16. channels_last: the layout in memory. compiled: by torch.compile. Raises MissingPackage.
    """
    return _open_checkpoint(checkpoint, "cpu", precision, channels_last=channels_last, compiled=compiled)


def open_on_openvino(model: ResolvedModel, precision: Precision) -> tuple[OpenVinoBackend, str]:
    """Open a graph on OpenVINO, in FP32, BF16 or INT8; returns also the title of what runs it.

    Raises MissingPackage, and DeviceUnavailable for other models and for BF16 where the CPU does not compute in it.
    """
    if model.kind is not ModelKind.GRAPH:
        instead = "the graph that it was built from" if model.kind is ModelKind.ENGINE else \
            f"its graph: srn-deploy export {model.path}"
        raise DeviceUnavailable(f"{model.path.name} is not an {GRAPH_SUFFIX} graph, and OpenVINO runs nothing else.",
                                remedy=f"Give {instead}")
    library = _openvino()
    backend: OpenVinoBackend = library.OpenVinoBackend(model.path, precision, model.sha256)
    return backend, f"{library.library_title()} in {precision.upper()}"


def openvino_identity(model: ResolvedModel, precision: Precision) -> CompiledIdentity:
    """What a graph compiled by OpenVINO depends on; raises as `open_on_openvino` does, without compiling it."""
    identity: CompiledIdentity = _openvino().identity_of(model.path, precision, model.sha256)
    return identity


def openvino_product(precision: str, side: int) -> Callable[[], object]:
    """A product of two square matrices by OpenVINO on the CPU, to be timed; see `open_vino_products.product`."""
    _openvino()
    from srn_deploy.backends.open_vino_products import product

    return product(precision, side)


def why_no_bf16() -> str:
    """Why OpenVINO does not compute in BF16 on this CPU; empty where it does. Raises MissingPackage."""
    return str(_openvino().why_no_bf16())


def _openvino() -> ModuleType:
    need_packages(("openvino",), "Running a graph on OpenVINO", extra="openvino")
    try:
        from srn_deploy.backends import open_vino
    except ImportError as error:
        raise DeviceUnavailable(f"OpenVINO is installed but cannot be loaded: {error}.",
                                remedy="Install it again: pip install --force-reinstall openvino") from error
    return open_vino


def _open_engine(path: Path, device: str) -> tuple[Backend, str]:
    if device == "cpu":
        raise DeviceUnavailable(f"{path.name} is an engine: it runs on a GPU only.",
                                remedy="Give the graph or the checkpoint instead: both run on the CPU too.")
    from srn_deploy.backends.tensor_rt import open_engine

    backend = open_engine(path)
    return backend, backend.title


def _open_graph(model: ResolvedModel, device: str) -> tuple[Backend, str]:
    from srn_deploy.backends.onnx_runtime import OnnxRuntimeBackend

    return OnnxRuntimeBackend(model.path, device, sha256=model.sha256), "ONNX Runtime"


def _open_checkpoint(model: ResolvedModel, device: str, precision: Precision, *, channels_last: bool = True,
                     compiled: bool = False) -> tuple[Backend, str]:
    need_packages(("torch", "safetensors"), f"A model file that is not an {GRAPH_SUFFIX} graph ({model.path.name})")
    from srn_deploy.architectures.recognition.recognise import load_resolved
    from srn_deploy.backends.pytorch import PyTorchBackend

    backend = PyTorchBackend(load_resolved(model), device, precision=precision, channels_last=channels_last,
                             compiled=compiled)
    return backend, "PyTorch" if precision is Precision.FP32 else f"PyTorch in {precision.upper()}"
