"""The build: parse, check, give shapes, build. One way for TensorRT 10, 11 and TensorRT-RTX.

The precision stands in the graph (its FP16 twin), the network is strongly typed and no precision flag is set:
TensorRT 11 knows none, and from an FP32 file builds FP32 without a word. So after parsing every convolution's
type is looked at.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import onnx

from srn_deploy.engine.caches import SharedFile, begin_timing, keep_timing, timing_file
from srn_deploy.engine.identity import Identity
from srn_deploy.engine.library import Flavour, Library
from srn_deploy.engine.monitor import OnPhase, interruptible, message_collector, progress_monitor
from srn_deploy.engine.options import BuildOptions, HardwareCompatibility
from srn_deploy.engine.store import EngineStore, StoredEngine
from srn_deploy.errors import EngineNotBuilt, NotHalfPrecision, OptionError
from srn_deploy.graph.onnx_file import half_precision_twin, spec_of
from srn_deploy.spec import Form, ModelSpec, Precision
from srn_deploy.tiling.interpolation import cell_count
from srn_deploy.tiling.shapes import ShapeRange

Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Source:
    """A graph to build from: its name, bytes and spec."""

    name: str
    data: bytes
    spec: ModelSpec


def read_source(path: Path) -> Source:
    """A graph that carries its spec; raises GraphWithoutSpec, and EngineNotBuilt for what is no graph."""
    try:
        data = path.read_bytes()
        graph = onnx.load_from_string(data)
    except OSError as error:
        raise EngineNotBuilt(f"{path} cannot be read: {error.strerror}.", remedy="Give the path of a graph.") from error
    except Exception as error:  # protobuf documents no list of what damaged files raise
        raise EngineNotBuilt(f"{path} is no ONNX graph ({type(error).__name__}).",
                             remedy="Export it with `srn-deploy export`.") from error
    if not graph.graph.node:
        raise EngineNotBuilt(f"{path} is an ONNX file without a network.",
                             remedy="Export it again with `srn-deploy export`.")
    return Source(name=path.stem, data=data, spec=spec_of(graph, path.name))


def build_engine(source: Source, options: BuildOptions, library: Library, store: EngineStore, *,
                 tell: Tell = lambda line: None, on_phase: OnPhase = lambda phase: None) -> StoredEngine:
    """The engine of an identity: from the store, or built now; `tell` says which and why.

    Raises OptionError, GraphError and EngineError; then nothing is left behind.
    """
    options.check_fits(source.spec)
    _check_library_options(options, library)
    identity = Identity(graph_sha256=hashlib.sha256(source.data).hexdigest(), options=options,
                        flavour=library.flavour, version=library.version, srn_deploy=metadata.version("srn-deploy"),
                        target=library.target(options.compute_capabilities))
    with store.locked(source.name, identity):
        if found := store.find(source.name, identity):
            tell(f"Already built: {found.path}")
            return found
        tell(f"Building: {store.why_anew(source.name, identity)}.")
        data, spec = _in_precision(source, options.precision)
        began = time.monotonic()
        plan, convolutions = _built(data, spec, options, library, on_phase, timing_file(store.folder, library))
        return store.save(source.name, identity, plan, spec=spec, build_seconds=time.monotonic() - began,
                          convolutions=convolutions)


def _check_library_options(options: BuildOptions, library: Library) -> None:
    rtx = library.flavour is Flavour.TENSORRT_RTX
    if options.compute_capabilities and not rtx:
        raise OptionError("TensorRT builds for the GPU it runs on; it cannot be given another one.",
                          remedy="Leave --compute-capability away, or use --runtime tensorrt-rtx.")
    if options.hardware_compatibility is not HardwareCompatibility.NONE and rtx:
        raise OptionError("TensorRT-RTX knows no hardware compatibility: its plans name their GPUs.",
                          remedy="Leave --hardware-compat away; name GPUs with --compute-capability.")
    names = _capability_names(library.trt) if rtx else {}
    for name in options.compute_capabilities:
        if name not in names:
            raise OptionError(f"TensorRT-RTX {library.version} cannot build for compute capability {name}.",
                              remedy=f"It knows {', '.join(sorted(names))}.")


def _capability_names(trt: Any) -> dict[str, Any]:
    """`8.9` to the library's own value."""
    members = {name[2:]: value for name, value in trt.ComputeCapability.__members__.items() if name[2:].isdecimal()}
    return {f"{digits[:-1]}.{digits[-1]}": value for digits, value in members.items()}


def _in_precision(source: Source, precision: Precision) -> tuple[bytes, ModelSpec]:
    """The graph's bytes in the precision that was asked for, and the spec of that."""
    if source.spec.precision is precision:
        return source.data, source.spec
    if precision is Precision.FP32:
        raise OptionError(f"{source.name} computes in FP16 already; FP32 cannot be made of it.",
                          remedy="Leave --fp32 away, or export the checkpoint again without --fp16.")
    try:
        twin = half_precision_twin(onnx.load_from_string(source.data))
    except Exception as error:  # the converter and ONNX's shape inference document none
        raise NotHalfPrecision(f"{source.name} cannot be FP16: {str(error).splitlines()[0][:200]}.",
                               remedy="Export its checkpoint again, or build with --fp32.") from error
    return twin.SerializeToString(), spec_of(twin, source.name)


def _built(data: bytes, spec: ModelSpec, options: BuildOptions, library: Library, on_phase: OnPhase,
           timings: SharedFile | None) -> tuple[bytes, dict[str, int]]:
    """The plan, and how many convolutions compute in which type."""
    trt = library.trt
    logger = message_collector(trt)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(data) or not network.num_inputs or not network.num_outputs:
        raise _refused_graph(parser, library)
    convolutions = _convolution_types(trt, network)
    if options.precision is Precision.FP16 and set(convolutions) != {"HALF"}:
        raise NotHalfPrecision(f"The graph cannot be FP16: its convolutions compute in {dict(convolutions)}.",
                               remedy="Export its checkpoint again without --fp16, and build with --fp16.")
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
        raise EngineNotBuilt(f"{library.flavour} {library.version} built nothing: {logger.told()}.",
                             remedy="Try smaller --shapes or another --opt-level; report it if it stays.")
    if timings is not None:
        keep_timing(config, timings)
    return bytes(plan), dict(convolutions)


def _refused_graph(parser: Any, library: Library) -> EngineNotBuilt:
    refusals = [parser.get_error(index) for index in range(parser.num_errors)]
    told = "; ".join(f"{refusal.desc()} (node {refusal.node_name() or '?'}, {refusal.node_operator() or '?'})"
                     for refusal in refusals[:3]) or "it has no inputs or outputs"
    return EngineNotBuilt(f"{library.flavour} {library.version} cannot read the graph: {told}.",
                          remedy="Export it again with `srn-deploy export`; report it if it stays.")


def _convolution_types(trt: Any, network: Any) -> Counter[str]:
    """Type to count over all convolutions of a parsed network."""
    layers = (network.get_layer(index) for index in range(network.num_layers))
    kinds = (trt.LayerType.CONVOLUTION, trt.LayerType.DECONVOLUTION)
    return Counter(layer.get_output(0).dtype.name for layer in layers if layer.type in kinds)


def _configure(trt: Any, config: Any, options: BuildOptions, library: Library) -> None:
    config.builder_optimization_level = options.optimization_level
    if options.tf32:
        config.set_flag(trt.BuilderFlag.TF32)
    else:
        config.clear_flag(trt.BuilderFlag.TF32)  # on by default
    if library.flavour is Flavour.TENSORRT:
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
    """A profile of all inputs; a bad one raises nothing of itself."""
    profile = builder.create_optimization_profile()
    corners = ((1, shapes.smallest), (largest_batch, shapes.optimum), (largest_batch, shapes.largest))
    for index in range(network.num_inputs):
        name = network.get_input(index).name
        profile.set_shape(name, *(_input_shape(name, batch, size, spec) for batch, size in corners))
    if not profile or config.add_optimization_profile(profile) < 0:
        raise EngineNotBuilt(f"The shapes {shapes} make no profile.", remedy="Choose other --shapes.")


def _input_shape(name: str, batch: int, size: tuple[int, int], spec: ModelSpec) -> tuple[int, ...]:
    """Of one input for a batch of pictures: the pixels, or a matrix of ESA's geometry."""
    height, width = size
    if name == "rows":
        return batch, height, cell_count(height)
    if name == "cols":
        return batch, width, cell_count(width)
    return (batch, 3, height, width) if spec.form is Form.PORTABLE else (batch, height, width, 3)
