"""Building an engine: parse the graph, check it, set shapes, build. The same for TensorRT 10, 11 and TensorRT-RTX.

Precision is a property of the graph: for FP16 an FP16 copy of it is built, and INT8 needs an INT8 graph. The network
is strongly typed and no precision flag is set, because TensorRT 11 has none and silently builds FP32 from an FP32
graph. So after parsing the type of every convolution is checked.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from srn_deploy.engine.caches import SharedFile, begin_timing, keep_timing, timing_file
from srn_deploy.engine.identity import Identity
from srn_deploy.engine.library import Library, Runtime
from srn_deploy.engine.monitor import OnPhase, interruptible, message_collector, progress_monitor
from srn_deploy.engine.options import BuildOptions, HardwareCompatibility
from srn_deploy.engine.store import EngineStore, StoredEngine
from srn_deploy.errors import EngineNotBuilt, NotHalfPrecision, NotQuantized, OptionError
from srn_deploy.graph.onnx_file import half_precision_copy, spec_of
from srn_deploy.grid import matrix_names
from srn_deploy.spec import Form, ModelSpec, Precision
from srn_deploy.system.installed import own_version
from srn_deploy.tiling.shapes import ShapeRange

_INT8 = "INT8"
"""TensorRT's name of the type."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class GraphToBuild:
    """The graph that an engine is built from."""

    name: str
    """Of the model: the first part of the engine's file name."""
    data: bytes
    """The ONNX file."""
    sha256: str
    """Of the ONNX file."""
    spec: ModelSpec
    taken: ShapeRange | None = None
    """The sizes of its images where its sides are fixed; None: any."""


def read_graph(path: Path, sha256: str | None = None) -> GraphToBuild:
    """Read a graph and the spec inside it; raises GraphWithoutSpec, and EngineNotBuilt for an invalid file.

    sha256: the file's own, where it is known.
    """
    try:
        data = path.read_bytes()
        graph = onnx.load_from_string(data)
    except OSError as error:
        raise EngineNotBuilt(f"{path} cannot be read: {error.strerror}.", remedy="Give the path of a graph.") from error
    except Exception as error:  # protobuf documents no list of what damaged files raise
        raise EngineNotBuilt(f"{path} is not an ONNX graph ({type(error).__name__}).",
                             remedy="Export it with `srn-deploy export`.") from error
    if not graph.graph.node:
        raise EngineNotBuilt(f"{path} is an ONNX file without a network.",
                             remedy="Export it again with `srn-deploy export`.")
    spec = spec_of(graph, path.name)
    return GraphToBuild(name=path.stem, data=data, sha256=sha256 or hashlib.sha256(data).hexdigest(), spec=spec,
                        taken=_sizes_taken(graph, spec))


def _sizes_taken(graph: onnx.ModelProto, spec: ModelSpec) -> ShapeRange | None:
    first = 2 if spec.form is Form.PORTABLE else 1
    height, width = (side.dim_value for side in graph.graph.input[0].type.tensor_type.shape.dim[first:first + 2])
    return ShapeRange.of_one((height, width)) if height and width else None


def build_engine(graph: GraphToBuild, options: BuildOptions, library: Library, store: EngineStore, *,
                 on_phase: OnPhase = lambda phase: None) -> StoredEngine:
    """The engine of a graph with these options, from the store or built now; which of them and why is logged.

    on_phase: called with the progress of the build; an exception it raises ends the build.
    Raises OptionError, GraphError and EngineError. When it raises, Ctrl-C included, nothing is left behind.
    """
    options.check_fits(graph.spec)
    _check_library_options(options, library)
    identity = Identity(graph_sha256=graph.sha256, options=options,
                        runtime=library.runtime, version=library.version, srn_deploy=own_version(),
                        target=library.target(options.compute_capabilities))
    with store.locked(graph.name, identity):
        if found := store.find(graph.name, identity):
            _log.info("%s is already built.", found.path)
            return found
        _log.info("Building: %s.", store.why_not_found(graph.name, identity))
        data, spec = _in_precision(graph, options.precision)
        began = time.monotonic()
        plan, convolutions = _built(data, spec, options, library, on_phase, timing_file(store.folder, library))
        return store.save(graph.name, identity, plan, spec=spec, build_seconds=time.monotonic() - began,
                          convolutions=convolutions)


def _check_library_options(options: BuildOptions, library: Library) -> None:
    rtx = library.runtime is Runtime.TENSORRT_RTX
    if options.compute_capabilities and not rtx:
        raise OptionError("TensorRT builds for the GPU that it runs on and for no other.",
                          remedy="Leave out --compute-capability, or use --runtime tensorrt-rtx.")
    if options.hardware_compatibility is not HardwareCompatibility.NONE and rtx:
        raise OptionError("TensorRT-RTX has no hardware compatibility levels: its plans name their GPUs.",
                          remedy="Leave out --hardware-compat; name GPUs with --compute-capability.")
    names = _capability_names(library.trt) if rtx else {}
    for name in options.compute_capabilities:
        if name not in names:
            raise OptionError(f"TensorRT-RTX {library.version} cannot build for compute capability {name}.",
                              remedy=f"It can build for {', '.join(sorted(names))}.")


def _capability_names(trt: Any) -> dict[str, Any]:
    """The members of TensorRT-RTX's enumeration by their usual name, as in 8.9."""
    members = {name[2:]: value for name, value in trt.ComputeCapability.__members__.items() if name[2:].isdecimal()}
    return {f"{digits[:-1]}.{digits[-1]}": value for digits, value in members.items()}


def _in_precision(graph: GraphToBuild, precision: Precision) -> tuple[bytes, ModelSpec]:
    """The bytes of the graph, or of its FP16 copy, and the spec of that."""
    own = graph.spec.precision
    if own is precision:
        return graph.data, graph.spec
    if precision is Precision.INT8:
        raise OptionError(f"{graph.name} computes in {own.upper()}, and INT8 needs images to calibrate on.",
                          remedy="Make its INT8 graph, and build that: srn-deploy export MODEL --int8")
    if own is not Precision.FP32:
        raise OptionError(f"{graph.name} computes in {own.upper()} already; {precision.upper()} cannot be made of it.",
                          remedy=f"Leave out --{precision}, or export the checkpoint again without --{own}.")
    try:
        half = half_precision_copy(onnx.load_from_string(graph.data))
    except Exception as error:  # the converter and ONNX's shape inference document none
        raise NotHalfPrecision(f"{graph.name} cannot be FP16: {str(error).splitlines()[0][:200]}.",
                               remedy="Export its checkpoint again, or build with --fp32.") from error
    return half.SerializeToString(), spec_of(half, graph.name)


def _built(data: bytes, spec: ModelSpec, options: BuildOptions, library: Library, on_phase: OnPhase,
           timings: SharedFile | None) -> tuple[bytes, dict[str, int]]:
    """The plan, and how many convolutions compute in each type."""
    trt = library.trt
    logger = message_collector(trt)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(data) or not network.num_inputs or not network.num_outputs:
        raise _refused_graph(parser, library)
    convolutions = _convolution_types(trt, network)
    _check_types(options.precision, convolutions)
    config = builder.create_builder_config()
    _configure(trt, config, options, library)
    for shapes in options.shapes:
        _add_profile(builder, config, network, spec, shapes, options.largest_batch)
    if timings is not None:
        begin_timing(config, timings)
    monitor = progress_monitor(trt, on_phase)
    config.progress_monitor = monitor
    with interruptible(monitor):
        plan = builder.build_serialized_network(network, config)
    monitor.raise_if_interrupted()
    if plan is None:
        raise EngineNotBuilt(f"{library.runtime} {library.version} built nothing: {logger.summary()}.",
                             remedy="Try smaller --shapes or another --opt-level; report it if it stays.")
    if timings is not None:
        keep_timing(config, timings)
    return bytes(plan), dict(convolutions)


def _refused_graph(parser: Any, library: Library) -> EngineNotBuilt:
    refusals = [parser.get_error(index) for index in range(parser.num_errors)]
    reasons = "; ".join(f"{refusal.desc()} (node {refusal.node_name() or '?'}, {refusal.node_operator() or '?'})"
                        for refusal in refusals[:3]) or "it has no inputs or outputs"
    return EngineNotBuilt(f"{library.runtime} {library.version} cannot read the graph: {reasons}.",
                          remedy="Export it again with `srn-deploy export`; report it if it stays.")


def _check_types(precision: Precision, convolutions: Counter[str]) -> None:
    """Raise NotHalfPrecision or NotQuantized where a graph is not what its precision says."""
    if precision is Precision.FP16 and set(convolutions) != {"HALF"}:
        raise NotHalfPrecision(f"The graph cannot be FP16: its convolutions compute in {dict(convolutions)}.",
                               remedy="Export its checkpoint again without --fp16, and build with --fp16.")
    if precision is Precision.INT8 and 2 * convolutions[_INT8] < convolutions.total():
        raise NotQuantized(f"The graph is not INT8: its convolutions compute in {dict(convolutions)}.",
                           remedy="Export its checkpoint again with --int8.")


def _convolution_types(trt: Any, network: Any) -> Counter[str]:
    """How many convolutions of a parsed network compute in each type.

    One whose input and weights are both dequantized from a type computes in that, whatever its output.
    """
    layers = [network.get_layer(index) for index in range(network.num_layers)]
    stored = {layer.get_output(0).name: layer.get_input(0).dtype.name for layer in layers
              if layer.type == trt.LayerType.DEQUANTIZE}
    kinds = (trt.LayerType.CONVOLUTION, trt.LayerType.DECONVOLUTION)
    found: Counter[str] = Counter()
    for layer in layers:
        if layer.type in kinds:
            given = {stored.get(layer.get_input(index).name, "") for index in range(min(2, layer.num_inputs))}
            quantized = given.pop() if len(given) == 1 and layer.num_inputs > 1 else ""
            found[quantized or layer.get_output(0).dtype.name] += 1
    return found


def _configure(trt: Any, config: Any, options: BuildOptions, library: Library) -> None:
    config.builder_optimization_level = options.optimization_level
    if options.tf32:
        config.set_flag(trt.BuilderFlag.TF32)
    else:
        config.clear_flag(trt.BuilderFlag.TF32)  # on by default
    if library.runtime is Runtime.TENSORRT:
        levels = trt.HardwareCompatibilityLevel
        config.hardware_compatibility_level = {
            HardwareCompatibility.NONE: levels.NONE, HardwareCompatibility.AMPERE_PLUS: levels.AMPERE_PLUS,
            HardwareCompatibility.SAME_COMPUTE_CAPABILITY: levels.SAME_COMPUTE_CAPABILITY,
        }[options.hardware_compatibility]
    elif options.compute_capabilities:
        names = _capability_names(trt)
        config.num_compute_capabilities = len(options.compute_capabilities)
        for index, name in enumerate(options.compute_capabilities):
            config.set_compute_capability(names[name], index)


def _add_profile(builder: Any, config: Any, network: Any, spec: ModelSpec, shapes: ShapeRange,
                 largest_batch: int) -> None:
    """Add a profile of all inputs. TensorRT raises nothing for an invalid one, so that is checked here."""
    profile = builder.create_optimization_profile()
    corners = ((1, shapes.smallest), (largest_batch, shapes.optimum), (largest_batch, shapes.largest))
    for index in range(network.num_inputs):
        name = network.get_input(index).name
        profile.set_shape(name, *(_input_shape(name, batch, size, spec) for batch, size in corners))
    if not profile or config.add_optimization_profile(profile) < 0:
        raise EngineNotBuilt(f"The shapes {shapes} make no profile.", remedy="Choose other --shapes.")


def _input_shape(name: str, batch: int, size: tuple[int, int], spec: ModelSpec) -> tuple[int, ...]:
    """The shape of one input for a batch of images: the pixels, or one of the interpolation matrices of a grid."""
    height, width = size
    matrices = matrix_names(len(spec.grids))
    if name in matrices:
        number, is_cols = divmod(matrices.index(name), 2)
        grid, side = spec.grids[number], width if is_cols else height
        return batch, grid.rows(side), grid.cells(side)
    return (batch, 3, height, width) if spec.form is Form.PORTABLE else (batch, height, width, 3)
