"""Exports a checkpoint to a graph, and compares both on images before the file gets its name."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from srn_deploy.architectures.checkpoint import LoadedNetwork
from srn_deploy.architectures.recognition.recognise import load_resolved
from srn_deploy.backends.first_run import remember_export
from srn_deploy.backends.onnx_runtime import OnnxRuntimeBackend
from srn_deploy.backends.pytorch import PyTorchBackend
from srn_deploy.errors import ExportMismatch, GraphError, OptionError
from srn_deploy.graph.export import ExportOptions, export_graph
from srn_deploy.graph.onnx_file import save_graph
from srn_deploy.registry.resolve import ModelKind, ResolvedModel, resolve_file
from srn_deploy.spec import AS_RECOGNISED, GRAPH_SUFFIX, Corrections, Form, ModelSpec, PixelType, Precision, is_graph
from srn_deploy.system.atomic import replacing
from srn_deploy.system.hashing import sha256_of_file
from srn_deploy.tiling.tiles import (
    SMALLEST_TILE_PX,
    batches,
    cut,
    geometry_of,
    plan_tiles,
    reflected,
    rounded_up,
)
from srn_deploy.verification.agreement import LEAST_PSNR_DB, Agreement, Case, compare_backends, whole_images
from srn_deploy.verification.sample_images import sample_images

WORST_LEVELS = {Precision.FP32: 1.0, Precision.FP16: 4.0}
"""Largest difference of one value. FP32 differs by summation order alone, which can turn one rounding;
FP16 has ten bits of fraction, so values near 255 lie an eighth of a level apart in every layer."""

@dataclass(frozen=True, kw_only=True)
class Exported:
    """A graph that was written, and how closely it agrees with its network."""

    path: Path
    agreement: Agreement
    nodes: int


def default_graph_path(checkpoint: Path, options: ExportOptions) -> Path:
    """The path when none is given: in the current folder, named after the checkpoint and the options."""
    parts = [checkpoint.stem]
    if options.form is Form.PORTABLE:
        parts.append(options.form)
    elif options.pixel_type is not PixelType.UINT8:
        parts.append(options.pixel_type)
    if options.precision is not Precision.FP32:
        parts.append(options.precision)
    return Path("-".join(parts) + GRAPH_SUFFIX)


def export_and_prove(checkpoint: Path | ResolvedModel, output: Path, options: ExportOptions | None = None,
                     corrections: Corrections = AS_RECOGNISED) -> Exported:
    """Export a checkpoint and compare the graph with PyTorch on images before the file appears.

    corrections: what you know better than a checkpoint that is given by its path. Raises ExportMismatch, and leaves no
    file, when both differ by more than the bounds of its precision; OptionError, GraphError and a CheckpointError.
    """
    chosen = options or ExportOptions()
    check_graph_name(output)
    model = resolve_file(checkpoint, corrections)
    if model.kind is not ModelKind.CHECKPOINT:
        raise OptionError(f"{model.path} is a {model.kind} already.",
                          remedy="Give the checkpoint that it was made from.")
    loaded = load_resolved(model)
    graph = export_graph(loaded, chosen)
    with written_graph(output) as temporary:
        save_graph(graph, temporary)
        remember_export(sha256_of_file(temporary))
        agreement = prove(temporary, loaded, chosen.precision)
    return Exported(path=output, agreement=agreement, nodes=len(graph.graph.node))


def check_graph_name(output: Path) -> None:
    """Raise OptionError for a path that is not the name of a graph."""
    if not is_graph(output) or os.path.isdir(output):  # noqa: PTH112  # never raises
        raise OptionError(f"{output} is not a name for a graph.", remedy="Name a file with -o NAME.onnx.")


def exported_copy(graph: Path, output: Path, agreement: Agreement, nodes: int) -> Exported:
    """Copy a graph that was proved before; raises GraphError where the output cannot be written."""
    with written_graph(output) as temporary:
        shutil.copyfile(graph, temporary)
    return Exported(path=output, agreement=agreement, nodes=nodes)


@contextmanager
def written_graph(output: Path) -> Iterator[Path]:
    """A file that becomes the output, whole, when the block ends; raises GraphError where it cannot be written."""
    try:
        with replacing(output) as temporary:
            yield temporary
    except OSError as error:
        raise GraphError(f"{output} cannot be written: {error.strerror}.",
                         remedy="Check the folder, its permissions and the free space.") from error


def proof_images(spec: ModelSpec) -> list[NDArray[np.uint8]]:
    """The sample images in sizes that a network takes: reflected beyond its smallest side, up to its multiples."""
    larger = max(0, spec.min_side_px - min(min(image.shape[:2]) for image in sample_images()))
    images = []
    for image in sample_images():
        sides = [rounded_up(side + larger, spec.size_multiple_px) for side in image.shape[:2]]
        images.append(reflected(image, *sides))
    return images


def _proof_cases(spec: ModelSpec, images: Sequence[NDArray[np.uint8]]) -> Iterator[Case]:
    """Whole images and, where the graph takes geometry, a batch of two windows of a larger image."""
    yield from whole_images(images)
    if spec.takes_geometry:
        picture = images[-1]
        height, width = picture.shape[:2]
        tiles = next(batches(plan_tiles(height, width, tile_px=SMALLEST_TILE_PX, halo_px=spec.window_step_px,
                                        alignment_px=spec.window_step_px, min_side_px=spec.min_side_px), 2))
        yield cut(picture, tiles), geometry_of(tiles, height, width, grids=spec.grids)


def prove(graph: Path, loaded: LoadedNetwork, precision: Precision) -> Agreement:
    """Compare a graph with its network on the CPU; raises ExportMismatch if they differ by more than the bounds."""
    candidate = OnnxRuntimeBackend(graph)
    spec = replace(loaded.spec, grids=candidate.spec.grids)
    reference = PyTorchBackend(replace(loaded, spec=spec), channels_last=False)  # as its author runs it
    try:
        agreement = compare_backends(candidate, reference, _proof_cases(candidate.spec, proof_images(candidate.spec)))
    finally:
        candidate.close()
        reference.close()
    if not (agreement.worst_levels <= WORST_LEVELS[precision] and agreement.psnr_db >= LEAST_PSNR_DB[precision]):
        raise ExportMismatch(f"The graph differs from the network: {agreement}. No file was written.",
                             remedy="With --fp16: the network leaves FP16's range, export without it. Without: "
                                    "report this with the checkpoint's `srn-deploy info`.")
    return agreement
