"""Certifies an artefact: find its reference, compare both on images, write the certificate next to the artefact."""

from __future__ import annotations

import importlib.util
import json
import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from importlib import metadata
from pathlib import Path

from srn_deploy.backends import Backend, check_device, open_and_explain
from srn_deploy.backends.onnx_runtime import OnnxRuntimeBackend, read_spec
from srn_deploy.engine.store import EngineStore
from srn_deploy.errors import EngineError, NotCertified, OptionError
from srn_deploy.image import find_images, read_image
from srn_deploy.image.pixels import Rgb8
from srn_deploy.registry.resolve import ModelKind, ResolvedModel, resolve, resolve_source
from srn_deploy.spec import AS_RECOGNISED, Corrections, ModelSpec, Precision
from srn_deploy.system.atomic import replacing
from srn_deploy.system.cuda_driver import gpu_name
from srn_deploy.verification.certificate import Certificate, Reference, certify
from srn_deploy.verification.sample_images import originals

CERTIFICATE_SUFFIX = ".certificate.json"

_log = logging.getLogger(__name__)


def verify(artefact: str | None, *, against: str | None = None, images: Path | None = None,
           device: str = "auto", weights: str | None = None) -> Certificate:
    """Certify a graph, an engine or a checkpoint against its FP32 reference and write the certificate to a file.

    artefact, against: a file or a model's name; without `against` the shipped or downloaded checkpoint that the
    artefact was made from. images: a folder of originals; by default images that are drawn here.
    weights: those to take from the checkpoint to compare with, or without one from the artefact; by default those that
    the artefact was made from. Raises NotCertified, after writing, when it is too far from its reference; OptionError
    without a reference.
    """
    check_device(device)
    chosen = Corrections(weights=weights)
    model = resolve(artefact, chosen if against is None else AS_RECOGNISED)
    reference = None if against is None else resolve(against, chosen, wanted=_reference_kind())
    candidate, ran_on = open_and_explain(model, device)
    with closing(candidate):
        certificate = certificate_of(candidate, model, ran_on, against=reference, images=images)
    write_down(model.path, certificate, is_engine=model.kind is ModelKind.ENGINE)
    _raise_where_it_failed(model.path, certificate.failures)
    return certificate


def certificate_of(candidate: Backend, model: ResolvedModel, ran_on: str, *, against: ResolvedModel | None = None,
                   images: Path | None = None) -> Certificate:
    """Certify an artefact that is open; nothing is written. Raises OptionError without a reference.

    against: the reference; None to find it by the spec. ran_on: what runs the candidate, for the certificate.
    """
    with ExitStack() as stack:
        chosen = against or _reference_of_spec(candidate.spec, model)
        reference = _opened_reference(chosen, candidate.spec, stack)
        return certify(candidate, reference, _originals(images), artefact_sha256=model.sha256, ran_on=ran_on,
                       gpu=gpu_name() if model.kind is ModelKind.ENGINE else "")


def write_down(path: Path, certificate: Certificate, *, is_engine: bool) -> None:
    """Write a certificate into the manifest of an engine, for other artefacts into a file next to them.

    Raises EngineError or OptionError if it cannot be written.
    """
    if is_engine:
        store = EngineStore(path.parent)
        engine = store.open(path)
        if engine.manifest.engine_sha256 != certificate.artefact_sha256:
            raise EngineError(f"{path} was built again while its certificate was made.", remedy="Certify it again.")
        store.certified(engine, certificate.as_record())
        return
    target = path.with_name(path.name + CERTIFICATE_SUFFIX)
    try:
        with replacing(target) as temporary:
            temporary.write_text(json.dumps(certificate.as_json(), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise OptionError(f"{target} cannot be written: {error.strerror}.",
                          remedy="Copy the artefact to a folder that you may write to.") from error


def ensure_certified(backend: Backend, model: ResolvedModel, title: str, *,
                     against: ResolvedModel | None = None) -> None:
    """Certify an open engine before its first use on this GPU; later calls trust the certificate in its manifest.

    against: the reference; None to find it by the spec. A certificate that cannot be kept is logged. Raises
    NotCertified, and OptionError where there is no reference.
    """
    path = model.path
    engine = EngineStore(path.parent).open(path)
    recorded = engine.manifest.certificate
    if recorded is None or (recorded.artefact_sha256, recorded.gpu) != (
            engine.manifest.engine_sha256, gpu_name()):
        _log.info("%s is certified before its first use.", path.name)
        certificate = certificate_of(backend, model, title, against=against)
        recorded = certificate.as_record()
        try:
            write_down(path, certificate, is_engine=True)
        except EngineError as error:
            _log.warning("The certificate is not kept: %s.", error.message.rstrip("."))
    _raise_where_it_failed(path, recorded.failures)


def _raise_where_it_failed(path: Path, failures: Sequence[str]) -> None:
    if failures:
        raise NotCertified(f"{path} differs from its reference: {'; '.join(failures)}.",
                           remedy="With FP16: the network leaves its range, use FP32. Otherwise export and build it "
                                  "again; the figures are in its certificate.")


def reference_of(model: ResolvedModel) -> ResolvedModel | None:
    """What artefacts made from this model are compared with: its checkpoint where PyTorch can run it.

    Otherwise the model itself if it is an FP32 graph; None where the spec must say.
    """
    if (checkpoint := model.checkpoint) is not None and _has_torch():
        return checkpoint
    is_graph = model.kind is ModelKind.GRAPH
    return model if is_graph and read_spec(model.path, model.sha256).precision is Precision.FP32 else None


def _originals(folder: Path | None) -> Iterator[Rgb8]:
    if folder is None:
        yield from originals()
        return
    for path in find_images(folder):
        yield read_image(path).as_rgb8()


def _has_torch() -> bool:
    return importlib.util.find_spec("torch") is not None


def _reference_kind() -> ModelKind:
    """What the name of a shipped model means as a reference."""
    return ModelKind.CHECKPOINT if _has_torch() else ModelKind.GRAPH


def _reference_of_spec(spec: ModelSpec, artefact: ResolvedModel) -> ResolvedModel:
    """The shipped or downloaded model that an artefact was made from; raises OptionError where there is none."""
    if artefact.kind is ModelKind.CHECKPOINT and (artefact.shipped or artefact.published):
        return artefact
    found = resolve_source(spec.source_sha256, has_torch=_has_torch())
    if found is None:
        raise OptionError("The artefact was not made from a shipped checkpoint.",
                          remedy="Name the checkpoint that it was made from with --against.")
    return found


def _opened_reference(model: ResolvedModel, spec: ModelSpec, stack: ExitStack) -> Reference:
    """A checkpoint in PyTorch in FP32, or an FP32 graph on ONNX Runtime's CPU provider; the stack closes it."""
    if model.kind is ModelKind.CHECKPOINT:
        from srn_deploy.architectures.activations import watched_peaks
        from srn_deploy.architectures.checkpoint import read_checkpoint
        from srn_deploy.architectures.recognition.recognise import load_resolved
        from srn_deploy.backends.pytorch import PyTorchBackend

        made_from_it = model.sha256 == spec.source_sha256  # then the spec records what the tensors cannot show
        recorded = Corrections(options=spec.options, value_range=spec.value_range,
                               weights=model.corrections.weights or spec.weights or None)
        loaded = read_checkpoint(model, recorded).loaded() if made_from_it else load_resolved(model)
        checked = stack.enter_context(closing(PyTorchBackend(loaded)))
        peaks = stack.enter_context(watched_peaks(checked.network))
        name = f"PyTorch {metadata.version('torch')} in FP32 on the CPU, {model.path.name}"
        return Reference(backend=checked, name=name, peaks=peaks)
    graph = stack.enter_context(closing(OnnxRuntimeBackend(model.path, sha256=model.sha256)))
    if graph.spec.precision is not Precision.FP32:
        raise OptionError(f"{model.path} computes in {graph.spec.precision}: it cannot be the reference.",
                          remedy="Give a checkpoint or an FP32 graph with --against.")
    return Reference(backend=graph, name=f"the FP32 graph {model.path.name} on ONNX Runtime's CPU provider")
