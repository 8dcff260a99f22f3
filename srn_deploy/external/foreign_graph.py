"""A graph of another tool as one of ours: what it is, is measured; it is put into our form, proved, and described."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from srn_deploy.architectures.checkpoint import LoadedNetwork
from srn_deploy.backends.onnx_runtime import OnnxRuntimeBackend
from srn_deploy.backends.pytorch import PyTorchBackend
from srn_deploy.errors import ExportMismatch, OptionError, UnprovenNetwork
from srn_deploy.external.fixed_size import FixedSizeRun, fixed_size_of, reach_within
from srn_deploy.external.foreign_network import ForeignLuma, ForeignNetwork, with_graph
from srn_deploy.external.graph_file import ForeignGraph, raw_graph
from srn_deploy.external.graph_layout import ForeignRun, Layout, computes_in_half, find_layout
from srn_deploy.external.prepare import Prepared, options_of, runs_of, with_tiling
from srn_deploy.external.request import ExternalRequest, printable
from srn_deploy.graph.export import OPSET, ExportOptions, export_graph
from srn_deploy.graph.live_memory import live_bytes_per_px
from srn_deploy.graph.onnx_file import save_graph, stamped
from srn_deploy.measurement.sizes import Run, Sizes, measure_sizes
from srn_deploy.measurement.value_range import RangeFound, find_range
from srn_deploy.spec import Colour, Corrections, ModelSpec, PixelType, Precision, Scalar
from srn_deploy.system.hashing import sha256_of_file
from srn_deploy.tiling.tiles import reflected
from srn_deploy.verification.agreement import LEAST_PSNR_DB, Agreement, compare_backends, whole_images
from srn_deploy.verification.export_proof import WORST_LEVELS, proof_images
from srn_deploy.verification.sample_images import sample_images

SETTINGS = ("scale", "layout", "channels")
"""What `--set` says about a graph."""

BYTE_RANGE = 255.0
"""Of uint8, by definition."""

EQUAL_DB = 0.01
"""Two value ranges that give the same image are no question."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class ForeignModel:
    """A graph of another tool, and what was found out about it by running it."""

    graph: ForeignGraph
    layout: Layout
    run: ForeignRun
    sizes: Sizes
    value_range: float
    recognised: str

    @property
    def fixed(self) -> tuple[int, int] | None:
        """(height, width) where it takes images of one size only."""
        return fixed_size_of(self.graph, self.layout)


def prepare_graph(request: ExternalRequest) -> Prepared:
    """Make a graph of ours of one of another tool, and prove that both compute the same.

    request: what the user knows: `scale`, `layout` and `channels` among the settings, the value range, and whether it
    is trusted. To be called in a process of its own: some graphs end it. Raises GraphError, UnprovenNetwork, and
    OptionError for what has to be said.
    """
    path, options = Path(request.source), options_of(request)
    model = measured(path, Corrections(options=request.settings, value_range=request.value_range,
                                       trust=request.trust, weights=request.weights))
    if model.graph.element_type == TensorProto.UINT8 and options.pixel_type is PixelType.FLOAT32:
        raise OptionError(f"{path.name} takes 8-bit pixels: float pixels would not keep more.",
                          remedy="Leave out --io float32.")
    loaded = network_of(model, path, sha256_of_file(path))
    graph = _exported(model, loaded, options)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "graph.onnx"
        save_graph(graph, place)
        with closing(OnnxRuntimeBackend(place)) as backend:
            agreement = _proved(backend, model, loaded)
            spec = _with_tiling(backend, model, loaded, graph)
    return Prepared(graph=stamped(graph, spec), agreement=agreement)


def measured(path: Path, corrections: Corrections) -> ForeignModel:
    """Read a graph and find out what it is by running it; see `prepare_graph`."""
    given = _checked_settings(corrections.options, path)
    graph = raw_graph(path, OPSET)
    layout = find_layout(graph, given)
    run = ForeignRun(graph, layout)
    fixed = fixed_size_of(graph, layout)
    whole = run if fixed is None else FixedSizeRun(run, fixed, layout.channels)
    sizes = measure_sizes(run, layout.channels) if isinstance(whole, ForeignRun) else \
        Sizes(scale=whole.scale, min_side_px=1, size_multiple_px=1)
    if given.get("scale", sizes.scale) != sizes.scale:
        raise OptionError(f"{path.name} enlarges by {sizes.scale}, not by {given['scale']}.",
                          remedy=f"Leave out --set scale, or give {sizes.scale}.")
    value_range, recognised = _value_range(graph, layout, whole, sizes.scale, corrections)
    _log.info("%s enlarges %s by %d%s", path.name, "luma" if layout.channels == 1 else "RGB", sizes.scale,
              f"; {recognised}" if recognised else "")
    return ForeignModel(graph=graph, layout=layout, run=run, sizes=sizes, value_range=value_range,
                        recognised=recognised)


def _checked_settings(options: Mapping[str, Scalar], path: Path) -> Mapping[str, Scalar]:
    """The settings with the scale as a number; raises OptionError for other names and values."""
    if unknown := [name for name in options if name not in SETTINGS]:
        raise OptionError(f"{path.name} is a graph and has no option {', '.join(unknown)}.",
                          remedy=f"Of a graph you can say {', '.join(SETTINGS)}.")
    scale = str(options.get("scale", "1"))
    if not (scale.isascii() and scale.isdecimal() and 1 <= int(scale) <= 64):
        raise OptionError(f"scale cannot be {scale!r}.", remedy="Give a whole number of 1 to 64.")
    return {**options, "scale": int(scale)} if "scale" in options else options


def _value_range(graph: ForeignGraph, layout: Layout, run: Run, scale: int,
                 corrections: Corrections) -> tuple[float, str]:
    """The value range and how it was found, in words."""
    if graph.element_type == TensorProto.UINT8:
        return BYTE_RANGE, ""
    found = find_range(run, scale, layout.channels)
    given = corrections.value_range
    if abs(found.psnr_db - found.other_db) < EQUAL_DB:
        if not found.super_resolves:
            _log.warning("%s is no nearer to the original of a trial image than bicubic interpolation.", graph.name)
        return given or 1.0, ""
    if not found.super_resolves:
        if not corrections.trust:
            raise _unproven(graph, found)
        return given or found.value_range, ""
    if given is not None and given != found.value_range:
        _log.warning("%s is run in the value range %g as you say, but %s.", graph.name, given, found.in_words)
        return given, ""
    return found.value_range, found.in_words


def _unproven(graph: ForeignGraph, found: RangeFound) -> UnprovenNetwork:
    return UnprovenNetwork(
        f"{graph.name} does not super-resolve a trial image: {found.psnr_db:.1f} dB in the value range "
        f"{found.value_range:g} and {found.other_db:.1f} dB in the other, against {found.bicubic_db:.1f} dB of bicubic "
        "interpolation.",
        remedy="If it does something else, such as removing noise, go on with --trust and the range it was trained "
               "in: --value-range 1 or 255.")


def network_of(model: ForeignModel, path: Path, sha256: str) -> LoadedNetwork:
    """The graph as a network, which PyTorch runs by ONNX Runtime."""
    luma, scale = model.layout.channels == 1, model.sizes.scale
    network = ForeignLuma(model.run, scale, model.value_range) if luma else ForeignNetwork(model.run, scale)
    spec = ModelSpec(
        architecture=printable(path.stem), options={}, scale=scale, value_range=1.0 if luma else model.value_range,
        min_side_px=1 if model.fixed else model.sizes.min_side_px,
        size_multiple_px=model.sizes.size_multiple_px, colour=Colour.Y if luma else Colour.RGB,
        precision=Precision.FP16 if computes_in_half(model.graph) else Precision.FP32,
        source_sha256=sha256, recognised=model.recognised, origin=f"graph {printable(path.name)}")
    return LoadedNetwork(network=network.eval(), spec=spec)



def _exported(model: ForeignModel, loaded: LoadedNetwork, options: ExportOptions) -> onnx.ModelProto:
    chosen = replace(options, precision=Precision.FP32) if loaded.spec.precision is Precision.FP16 else options
    return export_graph(loaded, chosen, completed=lambda traced: with_graph(traced, model.graph, model.layout))


def _proved(backend: OnnxRuntimeBackend, model: ForeignModel, loaded: LoadedNetwork) -> Agreement:
    """Compare the graph with the original on whole images of several sizes; raises ExportMismatch."""
    with closing(PyTorchBackend(loaded)) as reference:
        agreement = compare_backends(backend, reference, whole_images(_images(model, loaded.spec)))
    bounds = backend.spec.precision
    if not (agreement.worst_levels <= WORST_LEVELS[bounds] and agreement.psnr_db >= LEAST_PSNR_DB[bounds]):
        raise ExportMismatch(f"In opset {OPSET} {model.graph.name} computes something else: {agreement}.",
                             remedy=f"Export it again with opset {OPSET} with the program that made it.")
    return agreement


def _images(model: ForeignModel, spec: ModelSpec) -> list[NDArray[np.uint8]]:
    """The sample images in sizes that the graph takes: in its own size, or as every network is proved."""
    if model.fixed is None:
        return proof_images(spec)
    height, width = model.fixed
    return [reflected(image, height, width)[:height, :width] for image in sample_images()]


def _with_tiling(backend: OnnxRuntimeBackend, model: ForeignModel, loaded: LoadedNetwork,
                 graph: onnx.ModelProto) -> ModelSpec:
    """The spec with what tiles and memory need."""
    if model.fixed is None:
        return with_tiling(graph, runs_of(loaded), model.sizes)
    spec = replace(backend.spec, activation_bytes_per_px=live_bytes_per_px(graph, model.fixed))
    reach_px = reach_within(model.run, model.fixed, model.layout.channels, model.value_range)
    room_px = (min(model.fixed) - 1) // 2
    return replace(spec, halo_px=min(reach_px, room_px // 2), pools_whole_picture=reach_px > room_px // 2)
