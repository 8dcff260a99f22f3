"""From checkpoint to a graph that is proved: written beside its place, compared, renamed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from srn_deploy.agreement import Agreement, compare_backends
from srn_deploy.atomic import replacing
from srn_deploy.backends.onnx_runtime import OnnxRuntimeBackend
from srn_deploy.backends.pytorch import PyTorchBackend
from srn_deploy.checkpoint import LoadedNetwork, Overrides, load_checkpoint
from srn_deploy.contract import Form, Precision
from srn_deploy.errors import ExportMismatch, OptionError
from srn_deploy.export import ExportOptions, export_graph
from srn_deploy.onnx_file import save_graph
from srn_deploy.proof_pictures import proof_pictures

WORST_LEVELS = {Precision.FP32: 1.0, Precision.FP16: 4.0}
"""Largest difference of one value. FP32 differs by summation order alone, which can turn one rounding;
the official checkpoint's FP16 twin was measured within 1 level, a few stray values get room."""

LEAST_PSNR_DB = {Precision.FP32: 70.0, Precision.FP16: 45.0}
"""One value in 150 turned by one level gives 70 dB; 45 dB is far below what an eye can tell."""


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A graph that was written, and how it was proved."""

    path: Path
    agreement: Agreement
    nodes: int


def default_graph_path(checkpoint: Path, options: ExportOptions) -> Path:
    """Where a graph goes when no path is given: the current folder, named after checkpoint and options."""
    parts = [checkpoint.stem]
    parts += ["portable"] if options.form is Form.PORTABLE else [options.pixel_type] * (options.pixel_type != "uint8")
    parts += [options.precision] * (options.precision is not Precision.FP32)
    return Path("-".join(parts) + ".onnx")


def export_and_prove(checkpoint: Path, output: Path, options: ExportOptions | None = None,
                     overrides: Overrides | None = None) -> Exported:
    """Export a checkpoint and compare the graph with PyTorch on pictures before the file appears.

    Raises ExportMismatch, and leaves no file, when they differ by more than the bounds above.
    """
    chosen = options or ExportOptions()
    if output.suffix != ".onnx":
        raise OptionError(f"{output} does not end in .onnx.", remedy="Name the graph with -o NAME.onnx.")
    loaded = load_checkpoint(checkpoint, overrides)
    graph = export_graph(loaded, chosen)
    with replacing(output) as temporary:
        save_graph(graph, temporary)
        agreement = prove(temporary, loaded, chosen.precision)
    return Exported(path=output, agreement=agreement, nodes=len(graph.graph.node))


def prove(graph: Path, loaded: LoadedNetwork, precision: Precision) -> Agreement:
    """Compare a graph with its network on the CPU; raises ExportMismatch beyond the bounds."""
    candidate, reference = OnnxRuntimeBackend(graph), PyTorchBackend(loaded)
    try:
        agreement = compare_backends(candidate, reference, proof_pictures())
    finally:
        candidate.close()
        reference.close()
    if not (agreement.worst_levels <= WORST_LEVELS[precision] and agreement.psnr_db >= LEAST_PSNR_DB[precision]):
        raise ExportMismatch(f"The graph differs from the network: {agreement}. No file was written.",
                             remedy="With --fp16: the network leaves FP16's range, export without it. Without: "
                                    "report this with the checkpoint's `srn-deploy info`.")
    return agreement
