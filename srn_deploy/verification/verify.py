"""Certificates for artefacts: the reference found, both opened, compared, and the certificate laid beside."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from importlib import metadata
from pathlib import Path

from srn_deploy.backends import Backend, open_backend
from srn_deploy.backends.onnx_runtime import OnnxRuntimeBackend, read_spec
from srn_deploy.engine.store import EngineStore
from srn_deploy.errors import EngineError, NotCertified, OptionError
from srn_deploy.image import find_images, read_image
from srn_deploy.image.pixels import Rgb8
from srn_deploy.registry.shipped import (
    checked_pulled,
    corrections_for,
    find_checkpoint,
    find_graph,
    pulled_with,
    shipped_with,
)
from srn_deploy.spec import Corrections, ModelSpec, Precision, is_engine, is_graph
from srn_deploy.system.atomic import replacing
from srn_deploy.system.cuda_driver import gpu_name
from srn_deploy.system.hashing import sha256_of_file
from srn_deploy.verification.certificate import Certificate, Reference, certify
from srn_deploy.verification.sample_images import originals

CERTIFICATE_SUFFIX = ".certificate.json"


def verify(artefact: str | None, *, against: str | None = None, images: Path | None = None,
           device: str = "auto") -> Certificate:
    """Certify a graph, an engine or a checkpoint against its FP32 reference and write the certificate down.

    artefact, against: a file or a model's name; without `against` the shipped or pulled checkpoint that the
    artefact was made from. images: a folder of originals; by default pictures that are drawn here.
    Raises NotCertified, after writing, when it is too far off.
    """
    path = find_graph(artefact)
    told: list[str] = []
    with closing(open_backend(path, device, corrections=corrections_for(artefact), tell=told.append)) as candidate:
        certificate = certificate_of(candidate, path, told[0], against=against, images=images)
    write_down(path, certificate)
    _raise_where_it_failed(path, certificate.failures)
    return certificate


def certificate_of(candidate: Backend, path: Path, ran_on: str, *, against: str | None = None,
                   images: Path | None = None) -> Certificate:
    """The certificate of an artefact that is open; nothing is written. Raises OptionError without a reference."""
    with ExitStack() as stack:
        reference, name, peaks = _reference(candidate.spec, against, stack)
        return certify(candidate, Reference(backend=reference, name=name, peaks=peaks), _originals(images),
                       artefact_sha256=sha256_of_file(path), ran_on=ran_on, gpu=gpu_name() if is_engine(path) else "")


def write_down(path: Path, certificate: Certificate) -> None:
    """In an engine's manifest, else beside the artefact."""
    if is_engine(path):
        store = EngineStore(path.parent)
        engine = store.open(path)
        if engine.manifest.engine_sha256 != certificate.artefact_sha256:
            raise EngineError(f"{path} was built anew while its certificate was made.", remedy="Certify it again.")
        store.certified(engine, certificate.as_record())
        return
    target = path.with_name(path.name + CERTIFICATE_SUFFIX)
    try:
        with replacing(target) as temporary:
            temporary.write_text(json.dumps(certificate.as_json(), indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise OptionError(f"{target} cannot be written: {error.strerror}.",
                          remedy="Copy the artefact to a folder that you may write to.") from error


def ensure_certified(backend: Backend, path: Path, title: str, *, against: str | None = None,
                     tell: Callable[[str], None]) -> None:
    """See that an open engine is as good as its reference before its first use on this GPU; later ones trust that.

    Raises NotCertified, and OptionError where there is no reference. Where the manifest cannot be written, that
    is told.
    """
    engine = EngineStore(path.parent).open(path)
    recorded = engine.manifest.certificate
    if recorded is None or (recorded.artefact_sha256, recorded.gpu) != (
            engine.manifest.engine_sha256, gpu_name()):
        tell(f"{path.name} is certified before its first use")
        certificate = certificate_of(backend, path, title, against=against)
        recorded = certificate.as_record()
        try:
            write_down(path, certificate)
        except EngineError as error:
            tell(f"The certificate is not kept: {error.message.rstrip('.')}")
    _raise_where_it_failed(path, recorded.failures)


def _raise_where_it_failed(path: Path, failures: Sequence[str]) -> None:
    if failures:
        raise NotCertified(f"{path} is not its reference: {'; '.join(failures)}.",
                           remedy="With FP16: the network leaves its range, use FP32. Otherwise export and build it "
                                  "again; the certificate beside it has the figures.")


def checkpoint_of(path: Path) -> Path | None:
    """What a graph was made from, where it is shipped; a checkpoint itself."""
    if not is_graph(path):
        return path
    shipped = shipped_with(sha256_of_file(path))
    return None if shipped is None else shipped.checkpoint.checked_path()


def reference_of(made_from: Path) -> str | None:
    """The checkpoint where PyTorch can run it, else the FP32 graph; None where the spec must tell."""
    checkpoint = checkpoint_of(made_from)
    if checkpoint is not None and importlib.util.find_spec("torch") is not None:
        return str(checkpoint)
    return str(made_from) if is_graph(made_from) and read_spec(made_from).precision is Precision.FP32 else None


def _originals(folder: Path | None) -> Iterator[Rgb8]:
    if folder is None:
        yield from originals()
        return
    for path in find_images(folder):
        yield read_image(path).as_rgb8()


def _reference(spec: ModelSpec, against: str | None, stack: ExitStack) -> tuple[Backend, str, Mapping[str, float]]:
    """PyTorch in FP32 where it is installed, else the FP32 graph on ONNX Runtime's CPU provider."""
    has_torch = importlib.util.find_spec("torch") is not None
    path = _reference_path(spec, against, has_torch=has_torch)
    if not is_graph(path):
        from srn_deploy.architectures.activations import watched_peaks
        from srn_deploy.architectures.checkpoint import load_checkpoint
        from srn_deploy.backends.pytorch import PyTorchBackend

        made_of_it = sha256_of_file(path) == spec.source_sha256  # then it tells what the keys cannot
        known = Corrections(options=spec.options, value_range=spec.value_range) if made_of_it else \
            corrections_for(against)
        checked = stack.enter_context(closing(PyTorchBackend(load_checkpoint(path, known))))
        peaks = stack.enter_context(watched_peaks(checked.network))
        return checked, f"PyTorch {metadata.version('torch')} in FP32 on the CPU, {path.name}", peaks
    graph = stack.enter_context(closing(OnnxRuntimeBackend(path)))
    if graph.spec.precision is not Precision.FP32:
        raise OptionError(f"{path} computes in {graph.spec.precision}: it cannot be the reference.",
                          remedy="Give a checkpoint or an FP32 graph with --against.")
    return graph, f"the FP32 graph {path.name} on ONNX Runtime's CPU provider", {}


def _reference_path(spec: ModelSpec, against: str | None, *, has_torch: bool) -> Path:
    if against is not None:
        return find_checkpoint(against) if has_torch else find_graph(against)
    if shipped := shipped_with(spec.source_sha256):
        return (shipped.checkpoint if has_torch else shipped.graph).checked_path()
    if has_torch and (published := pulled_with(spec.source_sha256)):
        return checked_pulled(next((model for model in published if model.path.is_file()), published[0]))
    raise OptionError("The artefact was made from no shipped checkpoint.",
                      remedy="Name the checkpoint that it was made from with --against.")
