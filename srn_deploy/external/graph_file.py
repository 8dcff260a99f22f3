"""Reads an ONNX file of another tool: checked, whole, without functions, and in an opset that is at least ours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx.inliner
import onnx.version_converter
from google.protobuf.message import DecodeError
from onnx import TensorProto

from srn_deploy.errors import GraphError
from srn_deploy.external.graph_weights import take_in_weights

OLDEST_OPSET = 9
"""From 2018, with PyTorch 1.0; nothing earlier is converted faithfully."""

MOST_NODES = 100_000
"""After its functions are put in their places; the largest known networks have some 10,000."""

TYPES: dict[int, str] = {TensorProto.FLOAT: "float32", TensorProto.FLOAT16: "float16", TensorProto.UINT8: "uint8"}
"""Of images that are taken."""

ITERATING = {"Loop": "a loop", "Scan": "a loop", "SequenceMap": "a loop"}

RANDOM = ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial")

_EXPORT_AGAIN = "Export it again with the program that made it."


@dataclass(frozen=True, kw_only=True, eq=False)
class ForeignGraph:
    """An ONNX file of another tool with one image as its input and one as its output."""

    name: str
    """Of the file."""
    original: bytes
    """The file with its weights inside; only the names of dimensions are changed."""
    graph: onnx.ModelProto
    """The same without functions, in our opset or a later one."""
    element_type: int
    """`TensorProto.DataType` of its images."""
    dimensions: tuple[int | None, ...]
    """Of its input; None where any is taken."""

    @property
    def opset(self) -> int:
        """Of the graph."""
        return opset_of(self.graph)


def raw_graph(path: Path, opset: int) -> ForeignGraph:
    """Read a graph that no spec describes. opset: the oldest that it is brought to.

    Raises GraphError where it is damaged, has operators that are not ONNX's own, more than one input or output, or ones
    that are not images; and where it cannot be brought to the opset.
    """
    model = _parsed(path)
    if not model.graph.node:
        raise GraphError(f"{path} is an ONNX file without a network.", remedy=_EXPORT_AGAIN)
    take_in_weights(model, path)
    model = _without_functions(model, path)
    nodes = list(nodes_of(model.graph))
    _check_operators(nodes, path)
    _check_opset(model, path)
    image = _only(_inputs(model.graph), "input", path)
    upscaled = _only(list(model.graph.output), "output", path)
    element_type, dimensions = _checked(image, "input", path)
    _checked(upscaled, "output", path)
    _name_dimensions(image, dimensions)
    return ForeignGraph(name=path.name, original=model.SerializeToString(), graph=_in_opset(model, opset, path),
                        element_type=element_type, dimensions=dimensions)


def opset_of(model: onnx.ModelProto) -> int:
    """The version of ONNX's own operators; 0 where it is not said."""
    return next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 0)


def nodes_of(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Every node, those of subgraphs included."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
                yield from nodes_of(inner)


def _parsed(path: Path) -> onnx.ModelProto:
    model = onnx.ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except OSError as error:
        raise GraphError(f"{path} cannot be read: {error.strerror}.", remedy="Check its permissions.") from error
    except DecodeError as error:
        raise GraphError(f"{path} is damaged, or not an ONNX graph ({error}).",
                         remedy="Copy or download it again.") from error
    return model


def _without_functions(model: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    """The model with the nodes of its functions in their places."""
    if not model.functions:
        return model
    bodies = {(function.domain, function.name): function for function in model.functions}
    sizes: dict[tuple[str, str], int] = {}

    def size(nodes: Iterable[onnx.NodeProto], around: frozenset[tuple[str, str]]) -> int:
        total = 0
        for node in nodes:
            key = (node.domain, node.op_type)
            if key in around:
                raise GraphError(f"{path} has a function that calls itself: {node.op_type}.", remedy=_EXPORT_AGAIN)
            if key in bodies and key not in sizes:
                sizes[key] = size(bodies[key].node, around | {key})
            total += sizes.get(key, 1)
        return total

    if size(nodes_of(model.graph), frozenset()) > MOST_NODES:
        raise GraphError(f"{path} has more than {MOST_NODES:,} nodes in its functions.", remedy=_EXPORT_AGAIN)
    return onnx.inliner.inline_local_functions(model)


def _check_operators(nodes: list[onnx.NodeProto], path: Path) -> None:
    foreign = Counter(f"{node.op_type} of {node.domain}" for node in nodes if node.domain not in ("", "ai.onnx"))
    if foreign:
        raise GraphError(f"{path} has operators that are not ONNX's own: {', '.join(sorted(foreign))}.",
                         remedy="Export it with standard operators only, and before any runtime optimises it.")
    kinds = {node.op_type for node in nodes}
    if loops := sorted(kinds & set(ITERATING)):
        raise GraphError(f"{path} has {ITERATING[loops[0]]} ({', '.join(loops)}): how long it runs is not known.",
                         remedy="Export the network for a batch of images, without a loop over them.")
    if draws := sorted(kinds & set(RANDOM)):
        raise GraphError(f"{path} draws random numbers ({', '.join(draws)}): it gives another image each time.",
                         remedy="Export it without the noise.")
    if len(nodes) > MOST_NODES:
        raise GraphError(f"{path} has {len(nodes):,} nodes, more than {MOST_NODES:,}.", remedy=_EXPORT_AGAIN)


def _check_opset(model: onnx.ModelProto, path: Path) -> None:
    found = opset_of(model)
    if found < OLDEST_OPSET:
        raise GraphError(f"{path} is of opset {found or 'unknown'}, and {OLDEST_OPSET} is the oldest that is read.",
                         remedy=f"Export it again with opset {OLDEST_OPSET} or later, best 17.")
    if found > onnx.defs.onnx_opset_version():
        raise GraphError(f"{path} is of opset {found}, and the installed onnx {onnx.__version__} reads up to "
                         f"{onnx.defs.onnx_opset_version()}.", remedy="Export it with an older opset, best 17.")


def _inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """What is fed: old files list their weights among the inputs too."""
    weights = {tensor.name for tensor in graph.initializer}
    return [value for value in graph.input if value.name not in weights]


def _only(values: list[onnx.ValueInfoProto], what: str, path: Path) -> onnx.ValueInfoProto:
    if len(values) != 1:
        names = ", ".join(value.name for value in values) or "none"
        use = "give the others fixed values" if what == "input" else "leave the others out"
        raise GraphError(f"{path} has {len(values)} {what}s ({names}), and not one image.",
                         remedy=f"Export it with one {what}: {use}.")
    return values[0]


def _checked(value: onnx.ValueInfoProto, what: str, path: Path) -> tuple[int, tuple[int | None, ...]]:
    """The element type and the dimensions of an input or output that is an image."""
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        held = (kind or "nothing").removesuffix("_type").replace("_", " ")
        raise GraphError(f"The {what} {value.name} of {path} is no image but of type {held}.",
                         remedy="Export it with a tensor of pixels.")
    tensor = value.type.tensor_type
    if tensor.elem_type not in TYPES:
        name = TensorProto.DataType.Name(tensor.elem_type).lower() if tensor.elem_type in \
            TensorProto.DataType.values() else str(tensor.elem_type)
        raise GraphError(f"The {what} {value.name} of {path} is of type {name}.",
                         remedy=f"Export it for images of {', '.join(TYPES.values())}.")
    if not tensor.HasField("shape"):
        return tensor.elem_type, (None,) * 4
    dimensions = tuple(side.dim_value if side.HasField("dim_value") and side.dim_value > 0 else None
                       for side in tensor.shape.dim)
    if len(dimensions) != 4:
        raise GraphError(f"The {what} {value.name} of {path} has {len(dimensions)} dimensions, and images have four.",
                         remedy="Export it for a batch of images, (N, C, H, W) or (N, H, W, C).")
    return tensor.elem_type, dimensions


def _name_dimensions(image: onnx.ValueInfoProto, dimensions: Iterable[int | None]) -> None:
    """Give every dimension that may vary a name of its own: exporters name height and width alike, or not at all."""
    shape = image.type.tensor_type.shape
    del shape.dim[:]
    for number, side in enumerate(dimensions):
        dimension = shape.dim.add()
        if side is None:
            dimension.dim_param = f"image_{number}"
        else:
            dimension.dim_value = side


def _in_opset(model: onnx.ModelProto, opset: int, path: Path) -> onnx.ModelProto:
    """The model in an opset, or in its own where that is later."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    _forget_shapes(copy)
    if opset_of(model) >= opset:
        return copy
    try:
        return onnx.version_converter.convert_version(copy, opset)
    except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:  # whatever its C++ code throws
        reason = (str(error).splitlines() or ["no reason given"])[0][:200]
        raise GraphError(f"{path} is of opset {opset_of(model)} and cannot be converted to {opset}: {reason}",
                         remedy=f"Export it again with opset {opset}.") from error


def _forget_shapes(model: onnx.ModelProto) -> None:
    """Remove what is said about shapes inside: it holds for the dimensions as they were named."""
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
