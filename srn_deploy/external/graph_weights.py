"""The weights that an ONNX file keeps in other files: taken from its own folder, and from nowhere else."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper

from srn_deploy.errors import GraphError

LARGEST_BYTES = 2**31 - 1
"""Of a graph with its weights inside: the limit of the file format."""

_SAVE_WHOLE = "Save it with its weights inside, or in one file next to it: onnx.save_model(model, 'other.onnx')."


def take_in_weights(model: onnx.ModelProto, path: Path) -> None:
    """Put every tensor that is kept in another file into the model, in place.

    path: of the model. Raises GraphError for a file that is missing or too short, and for one outside its folder.
    """
    outside = [tensor for tensor in tensors_of(model) if tensor.data_location == TensorProto.EXTERNAL]
    total = model.ByteSize()
    for tensor in outside:
        total += _bytes_of(tensor, path)
        if total > LARGEST_BYTES:
            raise GraphError(f"{path} has more than 2 GiB of weights, which no ONNX file holds.",
                             remedy="Give a smaller network, or its checkpoint.")
    for tensor in outside:
        tensor.raw_data = _read(tensor, path)
        tensor.data_location = TensorProto.DEFAULT
        del tensor.external_data[:]


def weight_files(path: Path) -> list[Path]:
    """The other files that a graph keeps its weights in; what is wrong with it is said by whoever reads it."""
    try:
        model = onnx.load(path, load_external_data=False)
    except (OSError, DecodeError):
        return []
    names = {entry.value for tensor in tensors_of(model) for entry in tensor.external_data if entry.key == "location"}
    return [path.parent / name for name in sorted(names)]


def tensors_of(model: onnx.ModelProto) -> Iterator[TensorProto]:
    """Every tensor of a model, those in attributes, subgraphs and functions included."""
    yield from _in_graph(model.graph)
    for function in model.functions:
        yield from _in_nodes(function.node)


def _in_graph(graph: onnx.GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _in_nodes(graph.node)


def _in_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[TensorProto]:
    for node in nodes:
        for attribute in node.attribute:
            yield from attribute.tensors
            if attribute.HasField("t"):
                yield attribute.t
            if attribute.HasField("g"):
                yield from _in_graph(attribute.g)
            for inner in attribute.graphs:
                yield from _in_graph(inner)


def _read(tensor: TensorProto, path: Path) -> bytes:
    entries = {entry.key: entry.value for entry in tensor.external_data}
    file = _place(entries.get("location", ""), tensor, path)
    wanted = _bytes_of(tensor, path)
    try:
        with file.open("rb") as stream:
            stream.seek(_number(entries, "offset", tensor, path))
            data = stream.read(wanted)
    except OSError as error:
        raise GraphError(f"The weights of {path} in {file.name} cannot be read: {error.strerror}.",
                         remedy="Check the file and its permissions.") from error
    if len(data) < wanted:
        raise GraphError(f"{file.name}, the weights of {path}, is too short: {_name(tensor)} is missing.",
                         remedy="Copy or download it again; it is not whole, or belongs to another graph.")
    return data


def _place(location: str, tensor: TensorProto, path: Path) -> Path:
    """The file that a tensor names; raises GraphError unless it is an ordinary file below the model's folder."""
    parts = PurePosixPath(location).parts
    if not location or "\\" in location or "\0" in location or ".." in parts or PurePosixPath(location).is_absolute() \
            or PureWindowsPath(location).drive:
        raise _outside(location, tensor, path)
    folder, file = os.path.realpath(path.parent), path.parent / location
    if not Path(os.path.realpath(file)).is_relative_to(folder):
        raise _outside(location, tensor, path)
    if not file.exists():
        raise GraphError(f"{path} keeps weights in {location}, which is not next to it.",
                         remedy=f"Copy {location} from where the graph came from into the same folder.")
    if not file.is_file():
        raise GraphError(f"{path} keeps weights in {location}, which is not a file.", remedy=_SAVE_WHOLE)
    return file


def _outside(location: str, tensor: TensorProto, path: Path) -> GraphError:
    return GraphError(f"{path} wants to read {location!r} for {_name(tensor)}: that is outside its own folder.",
                      remedy=_SAVE_WHOLE)


def _number(entries: dict[str, str], key: str, tensor: TensorProto, path: Path) -> int:
    text = entries.get(key, "0")
    if not (text.isascii() and text.isdecimal() and len(text) < 19):
        raise GraphError(f"{path} is damaged: the {key} of {_name(tensor)} is {text[:40]!r}.",
                         remedy="Export it again with the program that made it.")
    return int(text)


def _bytes_of(tensor: TensorProto, path: Path) -> int:
    """What a tensor takes by its shape and type."""
    if tensor.data_type in (TensorProto.STRING, TensorProto.UNDEFINED) or \
            tensor.data_type not in TensorProto.DataType.values() or any(side < 0 for side in tensor.dims):
        raise GraphError(f"{path} is damaged: {_name(tensor)} has no type or shape of numbers.",
                         remedy="Export it again with the program that made it.")
    bits = 4 if tensor.data_type in (TensorProto.UINT4, TensorProto.INT4) else \
        8 * helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    return int(-(-math.prod(tensor.dims) * bits // 8))


def _name(tensor: TensorProto) -> str:
    return tensor.name or "one of them"
