"""Which precision a graph runs in on OpenVINO: BF16 where the CPU computes in it and it is certified, else FP32.

A certificate is made once for a compiled model and kept next to it in the cache.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import Literal

from srn_deploy.backends import Backend, open_on_openvino, why_no_bf16
from srn_deploy.backends.compiled_models import CompiledIdentity, place_of
from srn_deploy.engine.caches import SharedFile
from srn_deploy.engine.manifest import CertificateRecord
from srn_deploy.errors import OptionError, SrnDeployError
from srn_deploy.registry.resolve import ResolvedModel
from srn_deploy.spec import Precision
from srn_deploy.system.documents import decode_json, to_builtins
from srn_deploy.verification.verify import certificate_of

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
    if wanted is None and (reason := why_no_bf16()):
        return _opened_in_fp32(model, reason)
    try:
        backend, title = open_on_openvino(model, Precision.BF16)
    except OptionError as error:  # a graph of which BF16 cannot be made
        if wanted is not None:
            raise
        return _opened_in_fp32(model, error.message.rstrip("."))
    try:
        certificate = _certificate(backend, backend.identity, model, title)
    except BaseException:
        backend.close()
        raise
    if wanted is None and not certificate.passed:
        backend.close()
        return _opened_in_fp32(model, f"it is not certified in BF16: {'; '.join(certificate.failures)}")
    if not certificate.passed:
        _log.warning("%s is not certified in BF16: %s.", model.path.name, "; ".join(certificate.failures))
    return backend, f"{title} on the CPU ({_reasons(certificate, wanted)})"


def _opened_in_fp32(model: ResolvedModel, reason: str) -> tuple[Backend, str]:
    backend, title = open_on_openvino(model, Precision.FP32)
    return backend, f"{title} on the CPU ({reason})"


def _reasons(certificate: CertificateRecord, wanted: Precision | None) -> str:
    far = "no difference" if certificate.psnr_db is None else f"{certificate.psnr_db:.1f} dB"
    found = f"{far} from FP32, {max(0.0, certificate.psnr_loss_db or 0.0):.3f} dB lost"
    return f"asked for; {found}" if wanted is not None else f"which computes in it; certified: {found}"


def _certificate(backend: Backend, identity: CompiledIdentity, model: ResolvedModel, title: str) -> CertificateRecord:
    """The certificate that is kept for a compiled model; made against the graph on ONNX Runtime where there is none."""
    try:
        file = SharedFile(place_of(model.path.stem, identity, CERTIFICATE_SUFFIX))
    except OptionError:  # no cache: CompiledFile has logged it
        return certificate_of(backend, model, title, against=model).as_record()
    if content := file.read():
        try:
            document = decode_json(content, _KeptCertificate, _damaged)
            if document.identity != identity:
                raise _damaged("it is that of another model")
        except SrnDeployError as error:
            _log.warning("%s is made again: %s", file.path, error.message)
        else:
            return document.certificate
    _log.info("%s is certified in %s before its first use.", model.path.name, identity.precision.upper())
    made = certificate_of(backend, model, title, against=model).as_record()
    text = json.dumps(to_builtins(_KeptCertificate(version=1, identity=identity, certificate=made)), indent=2) + "\n"
    file.update(lambda before: text.encode())
    return made


def _damaged(reason: str) -> OptionError:
    return OptionError(f"it is damaged ({reason})", remedy="Remove it.")
