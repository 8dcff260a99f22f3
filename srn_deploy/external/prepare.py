"""What the process does that runs code from outside: a network becomes a graph of ours, proved and described."""

from __future__ import annotations

import logging
import math
import tempfile
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import onnx

from srn_deploy.architectures.checkpoint import LoadedNetwork
from srn_deploy.backends.onnx_runtime import OnnxRuntimeBackend
from srn_deploy.errors import ExportMismatch, GraphError, TilingError
from srn_deploy.external.merged_weights import merge_once
from srn_deploy.external.network_run import NetworkRun
from srn_deploy.external.own_network import load_own, make_network
from srn_deploy.external.request import ExternalRequest
from srn_deploy.external.source_files import find_source, source_digest
from srn_deploy.external.spandrel_bridge import load_by_spandrel
from srn_deploy.graph.export import ExportOptions, export_graph
from srn_deploy.graph.float_pixels import with_float_pixels
from srn_deploy.graph.live_memory import MEASURED_SIDE_PX, live_bytes_per_px
from srn_deploy.graph.onnx_file import save_graph, spec_of, stamped
from srn_deploy.image.trial_image import trial_pair
from srn_deploy.measurement.halo import HaloFound, find_halo
from srn_deploy.measurement.reach import measure_reach
from srn_deploy.measurement.sizes import Run, Sizes
from srn_deploy.spec import Corrections, Form, ModelSpec, PixelType, Precision
from srn_deploy.tiling.tiles import rounded_up
from srn_deploy.verification.agreement import Agreement
from srn_deploy.verification.export_proof import prove
from srn_deploy.verification.sample_images import originals

MULTIPLES = (2, 4, 8, 16)
"""Of the sides, tried one after the other where a graph is not equal to its network at all sizes."""

NO_HALO_PX = 16
"""Of tiles that are never exact: they only overlap."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, eq=False)
class Prepared:
    """A graph of ours, and how closely it agrees with the network."""

    graph: onnx.ModelProto
    agreement: Agreement


def prepare_network(request: ExternalRequest) -> Prepared:
    """Make a graph of a checkpoint, with the user's own network or the one that spandrel makes of it.

    Raises OptionError for the file, the class and its arguments, a CheckpointError for the weights, UnsuitableNetwork
    and BackendError for what the network does, and GraphError where it cannot be exported or its graph differs.
    """
    corrections = Corrections(value_range=request.value_range, weights=request.weights, trust=request.trust)
    if request.spandrel:
        return from_network(*load_by_spandrel(Path(request.source), corrections), options_of(request))
    source = find_source(request.network)
    own = make_network(source, request.settings, source_digest(source))
    loaded = load_own(own, Path(request.source), corrections)
    return from_network(loaded, own.sizes, options_of(request))


def options_of(request: ExternalRequest) -> ExportOptions:
    """Which kind of graph is asked for."""
    return ExportOptions(form=Form(request.form), precision=Precision(request.precision),
                         pixel_type=PixelType(request.pixel_type))


def from_network(loaded: LoadedNetwork, sizes: Sizes, options: ExportOptions) -> Prepared:
    """Export and prove a network, find its halo, and describe it. sizes: those that it was found to take."""
    first = ExportOptions()
    merge_once(loaded.network)
    loaded, prepared = _equal_somewhere(loaded, first)
    spec = with_tiling(prepared.graph, runs_of(loaded), sizes)
    loaded = replace(loaded, spec=replace(spec, form=Form.CHECKPOINT, pixel_type=PixelType.FLOAT32,
                                          precision=Precision.FP32))
    if options != first:
        prepared = _exported_and_proved(loaded, options)
        spec = replace(spec_of(prepared.graph, "the graph"), grids=spec.grids)
    return replace(prepared, graph=stamped(prepared.graph, spec))


def runs_of(loaded: LoadedNetwork) -> Run:
    return NetworkRun(loaded.network, loaded.spec.origin or loaded.spec.architecture)


def _equal_somewhere(loaded: LoadedNetwork, options: ExportOptions) -> tuple[LoadedNetwork, Prepared]:
    """The graph that equals its network at all sizes that are multiples of what the spec then says."""
    least, first = loaded.spec.size_multiple_px, None
    multiples = [least, *(one for one in MULTIPLES if one > least and one % least == 0)]
    while multiples:
        multiple = multiples.pop(0)
        candidate = replace(loaded, spec=replace(loaded.spec, size_multiple_px=multiple))
        try:
            prepared = _exported_and_proved(candidate, options)
        except GraphError as error:
            first = first or error
            if not isinstance(error, ExportMismatch):
                multiples = multiples[-1:]  # what is wrong is seldom the size, and each attempt takes long
            continue
        if first is not None:
            _log.warning("%s: its graph equals it only at sides that are multiples of %d px: images are reflected up "
                         "to such sides, and cropped. At other sides: %s", loaded.spec.architecture, multiple,
                         first.message)
        return candidate, prepared
    assert first is not None
    raise first


def _exported_and_proved(loaded: LoadedNetwork, options: ExportOptions) -> Prepared:
    graph = export_graph(loaded, options)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "graph.onnx"
        save_graph(graph, place)
        agreement = prove(place, loaded, options.precision)
    _log.info("%s: the graph equals the network: %s", loaded.spec.architecture, agreement)
    return Prepared(graph=graph, agreement=agreement)


def with_tiling(graph: onnx.ModelProto, run: Run, sizes: Sizes) -> ModelSpec:
    """The spec of a deploy graph with what tiles and memory need."""
    spec = spec_of(graph, "the graph")
    side = rounded_up(max(MEASURED_SIDE_PX, spec.min_side_px), spec.size_multiple_px)
    spec = replace(spec, alignment_px=spec.window_step_px,
                   activation_bytes_per_px=live_bytes_per_px(graph, (side, side)))
    reach_px = None
    if not spec.grids:
        reach = measure_reach(run, sizes, 3, spec.value_range)
        if reach.whole_picture:
            _log.warning("%s looks at the whole image: its tiles differ from the whole", spec.architecture)
            return replace(spec, pools_whole_picture=True, halo_px=NO_HALO_PX)
        reach_px = reach.px
    spec, found = _with_steps(graph, spec, reach_px)
    if found is None or found.halo_px is None:
        _log.warning("%s: no halo that was tried makes its tiles equal to the whole image", spec.architecture)
        return replace(spec, pools_whole_picture=True, halo_px=NO_HALO_PX)
    _log.info("%s: tiles with a halo of %d px are within %.2g of 255 of the whole image", spec.architecture,
              found.halo_px, found.worst_levels)
    return replace(spec, halo_px=found.halo_px)


def _with_steps(graph: onnx.ModelProto, spec: ModelSpec, reach_px: int | None) -> tuple[ModelSpec, HaloFound | None]:
    """The halo with the step of the spec, else with a larger one: a network may pad its image to multiples inside."""
    found = _halo(stamped(graph, spec), reach_px)
    if spec.grids or found is None or found.halo_px is not None:
        return spec, found
    for step in MULTIPLES[2:]:
        stepped = replace(spec, alignment_px=math.lcm(spec.window_step_px, step))
        again = _halo(stamped(graph, stepped), rounded_up(reach_px, step) if reach_px else None)
        if again is not None and again.halo_px is not None:
            _log.info("%s: windows begin at multiples of %d px.", spec.architecture, stepped.alignment_px)
            return stepped, again
    return spec, found


def _halo(graph: onnx.ModelProto, reach_px: int | None) -> HaloFound | None:
    """None for a graph of which no tiles can be made."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "graph.onnx"
        save_graph(with_float_pixels(graph), place)
        with closing(OnnxRuntimeBackend(place)) as backend:
            try:
                return find_halo(backend, [trial_pair(4)[1], next(originals())], reach_px)
            except TilingError as error:
                _log.debug("%s", error.message)
                return None
