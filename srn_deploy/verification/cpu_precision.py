"""Which precision a graph runs in on OpenVINO: BF16 where the CPU computes in it and it is certified, else FP32.

INT8 is taken only where it is asked for or was measured.

A certificate is made once for a compiled model and kept next to it in the cache.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from srn_deploy.backends import Backend, open_on_openvino, openvino_identity, why_no_bf16
from srn_deploy.backends.compiled_models import CompiledIdentity, place_of
from srn_deploy.engine.caches import SharedFile
from srn_deploy.engine.manifest import CertificateRecord
from srn_deploy.errors import OptionError, SrnDeployError
from srn_deploy.quantized_graphs import int8_graph_of
from srn_deploy.registry.resolve import ResolvedModel
from srn_deploy.spec import Precision
from srn_deploy.system.cpu_features import why_int8_is_worse_here
from srn_deploy.system.documents import decode_json, to_builtins
from srn_deploy.verification.verify import certificate_of

if TYPE_CHECKING:
    from srn_deploy.backends.open_vino import OpenVinoBackend

CERTIFICATE_SUFFIX = ".certificate.json"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class _KeptCertificate:
    version: Literal[1]
    identity: CompiledIdentity
    certificate: CertificateRecord


def open_in_precision(model: ResolvedModel, wanted: Precision | None) -> tuple[Backend, str]:
    """Open a graph on OpenVINO; also returns what runs it, where and why, without a full stop.

    wanted: FP32 or BF16, which then runs with a certificate or without one, and the log warns of a bad one. None takes
    BF16 if the CPU computes in it and the graph is certified in it, otherwise FP32.

    Raises MissingPackage, DeviceUnavailable, GraphError, and OptionError for BF16 of a graph that computes in FP16.
    """
    if wanted is Precision.FP32:
        return _opened_in_fp32(model, "asked for")
    if wanted is None:
        opened = open_certified(model)
        return _opened_in_fp32(model, opened) if isinstance(opened, str) else opened
    backend, title = open_on_openvino(model, wanted)
    certificate = _certificate_or_closed(backend, model, title)
    if not certificate.passed:
        _log.warning("%s is not certified in BF16: %s.", model.path.name, "; ".join(certificate.failures))
    return backend, f"{title} on the CPU (asked for; {_found(certificate)})"


def open_certified(model: ResolvedModel, why: str = "which computes in it") -> tuple[Backend, str] | str:
    """Open a graph on OpenVINO in BF16, as `open_in_precision`; otherwise why not, as part of a sentence.

    why: it is taken, for the log. Raises MissingPackage, DeviceUnavailable and GraphError.
    """
    if reason := why_no_bf16():
        return reason
    try:
        backend, title = open_on_openvino(model, Precision.BF16)
    except OptionError as error:  # a graph of which BF16 cannot be made
        return error.message.rstrip(".")
    certificate = _certificate_or_closed(backend, model, title)
    if certificate.passed:
        return backend, f"{title} on the CPU ({why}; certified: {_found(certificate)})"
    backend.close()
    return f"it is not certified in BF16: {'; '.join(certificate.failures)}"


def open_certified_int8(model: ResolvedModel) -> tuple[Backend, str] | str:
    """Open the INT8 graph of a model on OpenVINO, certified against that model; otherwise why not, as `open_certified`.

    Raises MissingPackage, DeviceUnavailable, OptionError and GraphError.
    """
    int8_graph = int8_graph_of(model)
    backend, title = open_on_openvino(int8_graph, Precision.INT8)
    if int8_graph is model:  # named by the user; its certificate is beside it
        return backend, f"{title} on the CPU (its graph is in INT8)"
    certificate = _certificate_or_closed(backend, model, title)
    if certificate.passed:
        return backend, f"{title} on the CPU (certified: {_found(certificate)})"
    backend.close()
    return f"it is not certified in INT8: {'; '.join(filter(None, (*certificate.failures, why_int8_is_worse_here())))}"


def has_certificate(model: ResolvedModel) -> bool:
    """Whether the certificate of a graph in BF16 is kept, a good one or a bad one, so that none has to be made.

    Raises MissingPackage, GraphError, and DeviceUnavailable where the CPU does not compute in BF16.
    """
    identity = openvino_identity(model, Precision.BF16)
    return (file := _file_of(model, identity)) is not None and _kept(file, identity) is not None


def _opened_in_fp32(model: ResolvedModel, reason: str) -> tuple[Backend, str]:
    backend, title = open_on_openvino(model, Precision.FP32)
    return backend, f"{title} on the CPU ({reason})"


def _found(certificate: CertificateRecord) -> str:
    far = "no difference" if certificate.psnr_db is None else f"{certificate.psnr_db:.1f} dB"
    return f"{far} from FP32, {max(0.0, certificate.psnr_loss_db or 0.0):.3f} dB lost"


def _certificate_or_closed(backend: OpenVinoBackend, model: ResolvedModel, title: str) -> CertificateRecord:
    """The certificate of an open backend, which is closed where none can be made."""
    try:
        return _certificate(backend, backend.identity, model, title)
    except BaseException:
        backend.close()
        raise


def _certificate(backend: Backend, identity: CompiledIdentity, model: ResolvedModel, title: str) -> CertificateRecord:
    """The certificate that is kept for a compiled model; made against the graph on ONNX Runtime where there is none."""
    file = _file_of(model, identity)
    if file is None:
        return certificate_of(backend, model, title, against=model).as_record()
    if (kept := _kept(file, identity)) is not None:
        return kept
    _log.info("%s is certified in %s before its first use.", model.path.name, identity.precision.upper())
    made = certificate_of(backend, model, title, against=model).as_record()
    text = json.dumps(to_builtins(_KeptCertificate(version=1, identity=identity, certificate=made)), indent=2) + "\n"
    file.update(lambda before: text.encode())
    return made


def _file_of(model: ResolvedModel, identity: CompiledIdentity) -> SharedFile | None:
    """Where a certificate is kept; None where there is no cache, which CompiledFile has logged."""
    try:
        return SharedFile(place_of(model.path.stem, identity, CERTIFICATE_SUFFIX))
    except OptionError:
        return None


def _kept(file: SharedFile, identity: CompiledIdentity) -> CertificateRecord | None:
    """The certificate in a file; None where there is none or it is damaged, which is logged."""
    if not (content := file.read()):
        return None
    try:
        document = decode_json(content, _KeptCertificate, _damaged)
        if document.identity != identity:
            raise _damaged("it is that of another model")
    except SrnDeployError as error:
        _log.warning("%s is made again: %s", file.path, error.message)
        return None
    return document.certificate


def _damaged(reason: str) -> OptionError:
    return OptionError(f"it is damaged ({reason})", remedy="Remove it.")
