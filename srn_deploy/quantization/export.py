"""`export --int8`: a model's FP32 graph, its INT8 copy, and what that copy loses, before the file gets its name."""

from __future__ import annotations

import importlib.util
import logging
import shutil
import tempfile
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import onnx

from srn_deploy.backends import Backend, open_on, open_on_openvino
from srn_deploy.backends.first_run import remember_export
from srn_deploy.backends.onnx_runtime import OnnxRuntimeBackend, read_spec
from srn_deploy.engine.manifest import CertificateRecord
from srn_deploy.errors import ExportMismatch, OptionError
from srn_deploy.external import export_external, is_external
from srn_deploy.graph.export import ExportOptions
from srn_deploy.graph.onnx_file import save_graph
from srn_deploy.quantization.calibration import CalibrationImages, drawn, images_in
from srn_deploy.quantization.int8_graph import check_installed, int8_copy
from srn_deploy.registry.resolve import ModelKind, ResolvedModel, resolve_file
from srn_deploy.spec import Form, PixelType, Precision
from srn_deploy.system.cpu_features import why_int8_is_worse_here
from srn_deploy.system.hashing import sha256_of_file
from srn_deploy.verification.certificate import Certificate, Reference, certify
from srn_deploy.verification.export_proof import check_graph_name, export_and_prove, written_graph
from srn_deploy.verification.sample_images import originals
from srn_deploy.verification.verify import write_down

_log = logging.getLogger(__name__)

_OTHER_IMAGES = {True: "Calibrate it on images such as it will be given: --calibrate FOLDER.",
                 False: "Calibrate it on more images and on richer ones, or leave out --calibrate."}
"""What to try, by whether it was calibrated on the images that are drawn here."""


@dataclass(frozen=True, kw_only=True)
class Quantized:
    """An INT8 graph that was written, and how close it is to the FP32 graph that it was made from."""

    path: Path
    certificate: CertificateRecord
    calibrated_on: str
    """Which images, in words."""
    nodes: int


def export_int8(model: ResolvedModel, output: Path, options: ExportOptions,
                calibrate: Path | None = None) -> Quantized:
    """Write the INT8 graph of a checkpoint, an FP32 graph or a model from outside, with its certificate beside it.

    options: in INT8. calibrate: a folder of images such as the network will be given; None: the images that are drawn
    here. Some of the folder are kept for the certificate, which also has the drawn originals.

    Raises ExportMismatch, and leaves no file, where the copy loses more than the bounds of a certificate in INT8;
    MissingPackage without NNCF; and what `export_and_prove`, `images_in` and `int8_copy` raise.
    """
    check_graph_name(output)
    check_installed()
    images = drawn() if calibrate is None else images_in(calibrate)
    with tempfile.TemporaryDirectory() as folder:
        original, copy = Path(folder) / f"fp32-{output.name}", Path(folder) / output.name
        graph = int8_copy(_in_fp32(model, original, options), images.inputs)
        save_graph(graph, copy)
        remember_export(sha256_of_file(copy))
        certificate = _certificate(copy, original, images)
        if certificate.failures:
            raise ExportMismatch(
                f"The INT8 graph is too far from the FP32 one: {'; '.join(certificate.failures)}. No file was written.",
                remedy=f"{_OTHER_IMAGES[calibrate is None]} Otherwise use --fp16 for a GPU, or --precision bf16 on a "
                       "CPU.")
        with written_graph(output) as temporary:
            shutil.copyfile(copy, temporary)
    write_down(output, certificate, is_engine=False)
    if reason := why_int8_is_worse_here():
        _log.warning("%s is certified for CPUs and GPUs that compute in INT8 and loses more here: %s.", output, reason)
    return Quantized(path=output, certificate=certificate.as_record(), calibrated_on=images.name,
                     nodes=len(graph.graph.node))


def _in_fp32(model: ResolvedModel, place: Path, options: ExportOptions) -> onnx.ModelProto:
    """Write the FP32 graph to this place and return it."""
    plain = replace(options, precision=Precision.FP32)
    if is_external(model):
        export_external(model, place, plain)
    elif model.kind is ModelKind.GRAPH:
        _check_form(model, plain)
        place.write_bytes(model.path.read_bytes())
    else:
        export_and_prove(model, place, plain)
    return onnx.load(place)


def _check_form(model: ResolvedModel, options: ExportOptions) -> None:
    found = read_spec(model.path, model.sha256)
    if (found.form, found.pixel_type) != (options.form, PixelType.FLOAT32 if options.form is Form.PORTABLE
                                          else options.pixel_type):
        raise OptionError(f"{model.path.name} is a {found.form} graph with {found.pixel_type} pixels.",
                          remedy="Give a deploy graph with 8-bit pixels, or the checkpoint.")


def _certificate(copy: Path, original: Path, images: CalibrationImages) -> Certificate:
    """The copy where it will run, OpenVINO if that is installed, against the FP32 graph on ONNX Runtime.

    A CPU on which it loses more is not where it will run: there its 8-bit values are multiplied in FP32.
    """
    made = resolve_file(copy)
    candidate: Backend
    if why_int8_is_worse_here():
        candidate = OnnxRuntimeBackend(copy, int8_products=False)
        title = "ONNX Runtime, 8-bit values multiplied in FP32"
    elif importlib.util.find_spec("openvino") is not None:
        candidate, title = open_on_openvino(made, Precision.INT8)
    else:
        candidate, title = open_on(made, "cpu")
    with closing(candidate), closing(OnnxRuntimeBackend(original)) as fp32:
        reference = Reference(backend=fp32, name="its FP32 graph on ONNX Runtime's CPU provider")
        return certify(candidate, reference, [*originals(), *images.originals], artefact_sha256=made.sha256,
                       ran_on=title)
