"""Makes tensors of the numbers that a file of torch.save stores, and nothing else of what it asks for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from srn_deploy.architectures.weights.inert_pickle import Builder, InvalidPickle, Placeholder

_TYPES = {"Double": torch.float64, "Float": torch.float32, "Half": torch.float16, "BFloat16": torch.bfloat16,
          "Long": torch.int64, "Int": torch.int32, "Short": torch.int16, "Char": torch.int8, "Byte": torch.uint8,
          "Bool": torch.bool, "ComplexDouble": torch.complex128, "ComplexFloat": torch.complex64,
          "Untyped": torch.uint8, "QUInt8": torch.quint8, "QInt8": torch.qint8, "QInt32": torch.qint32,
          "QUInt4x2": torch.quint4x2, "QUInt2x4": torch.quint2x4}
"""Storages by the beginning of their class's name."""

_STORELESS = {str(dtype): dtype for dtype in (
    torch.uint16, torch.uint32, torch.uint64, torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz,
    torch.float8_e5m2fnuz, *_TYPES.values())}
"""Types by the name that a pickle gives them; the first ones have no storage of their own."""


@dataclass(frozen=True, kw_only=True)
class _Stored:
    """The numbers of a tensor: `count` elements of a storage, from the element `first` on."""

    dtype: torch.dtype
    data: torch.UntypedStorage
    first: int
    count: int


class Storages:
    """Turns persistent ids, ("storage", type, key, device, elements[, view]), into numbers; each key is loaded once."""

    def __init__(self, load: Callable[[str, torch.dtype, int], torch.UntypedStorage]) -> None:
        self._load = load
        self._loaded: dict[str, _Stored] = {}

    def __call__(self, identity: object) -> object:
        """Raises InvalidPickle for what is not the id of a storage or of a module."""
        if isinstance(identity, tuple) and len(identity) == 4 and identity[0] == "module":
            return identity[1]  # the class of a pickled network; the source beside it is not looked at
        if not isinstance(identity, tuple) or len(identity) not in (5, 6) or identity[0] != "storage":
            raise InvalidPickle("an id that is not that of a storage")
        _, kind, key, _, count, *view = identity
        if not isinstance(key, str):
            raise InvalidPickle("a storage without a name")
        if key not in self._loaded:
            dtype, count = _dtype_of_storage(kind), _size(count)
            self._loaded[key] = _Stored(dtype=dtype, data=self._load(key, dtype, count), first=0, count=count)
        return _view(self._loaded[key], view[0] if view else None)


def _view(whole: _Stored, view: object) -> _Stored:
    """A part of a storage, as files from before PyTorch 0.4 have it: (key, first element, elements)."""
    if view is None:
        return whole
    if not isinstance(view, tuple) or len(view) != 3:
        raise InvalidPickle("a view of another form")
    first, count = _size(view[1]), _size(view[2])
    if first + count > whole.count:
        raise InvalidPickle("a view beyond its storage")
    return _Stored(dtype=whole.dtype, data=whole.data, first=first, count=count)


def _dtype_of_storage(kind: object) -> torch.dtype:
    name = kind.name if isinstance(kind, Placeholder) else ""
    if not name.startswith("torch.") or not name.endswith("Storage"):
        raise InvalidPickle("a storage of another kind")
    return _TYPES[name.rpartition(".")[2].removesuffix("Storage")]


def _size(found: object) -> int:
    if type(found) is not int or not 0 <= found < 2**62:
        raise InvalidPickle("a size that is not a number")
    return found


def _tensor(stored: object, first: object, shape: object, strides: object, *others: object) -> object:
    """A tensor of numbers that were read; raises InvalidPickle where they do not reach.

    The third of the others, after the gradient and hooks, says whether the numbers are to be negated or conjugated.
    """
    if isinstance(stored, Placeholder) or (len(others) > 2 and others[2]):
        return Placeholder("torch._utils._rebuild_tensor")
    if not isinstance(stored, _Stored) or not isinstance(shape, tuple) or not isinstance(strides, tuple):
        raise InvalidPickle("a tensor of another form")
    return _strided(stored, stored.dtype, _size(first), shape, strides)


def _typed_tensor(stored: object, first: object, shape: object, strides: object, *others: object) -> Tensor:
    """The same, of a type that has no storage of its own: the third of the others, after the gradient and hooks."""
    kind = others[2]
    if not isinstance(kind, Placeholder) or not isinstance(stored, _Stored):
        raise InvalidPickle("a tensor without a type")
    dtype = _STORELESS[kind.name]
    if not isinstance(shape, tuple) or not isinstance(strides, tuple):
        raise InvalidPickle("a tensor of another form")
    whole = _Stored(dtype=dtype, data=stored.data, first=0, count=stored.data.nbytes() // dtype.itemsize)
    return _strided(whole, dtype, _size(first), shape, strides)


def _strided(stored: _Stored, dtype: torch.dtype, first: int, shape: Sequence[object],
             strides: Sequence[object]) -> Tensor:
    sides, steps = [_size(one) for one in shape], [_size(one) for one in strides]
    if len(sides) != len(steps) or len(sides) > 64:
        raise InvalidPickle("a tensor with another number of strides")
    last = first + sum((side - 1) * step for side, step in zip(sides, steps, strict=True))
    if all(sides) and last >= stored.count:  # torch would make the storage larger
        raise InvalidPickle("a tensor beyond its storage")
    return torch.empty(0, dtype=dtype).set_(stored.data, stored.first + first, sides, steps)


def _inner(data: object, *_: object) -> object:
    """A parameter is its tensor."""
    if not isinstance(data, Tensor | Placeholder):
        raise InvalidPickle("a parameter that is not a tensor")
    return data


def _subclass(made_by: object, _kind: object, arguments: object, *_: object) -> object:
    """A tensor of a class of its own, or with attributes, is its tensor."""
    builder = BUILDERS.get(made_by.name) if isinstance(made_by, Placeholder) else None
    if builder is None or builder is _subclass or not isinstance(arguments, tuple):
        return Placeholder("torch._utils._rebuild_from_type")
    return builder(*arguments)


def _mapping(pairs: object = (), *_: object) -> dict[object, object]:
    """An OrderedDict, as Python 2 wrote it with its pairs and Python 3 without."""
    if isinstance(pairs, dict):
        return dict(pairs)
    found = [tuple(pair) for pair in pairs if isinstance(pair, list | tuple)] if isinstance(pairs, list) else []
    return {pair[0]: pair[1] for pair in found if len(pair) == 2 and isinstance(pair[0], str)}


def _counted(_factory: object = None, *pairs: object) -> dict[object, object]:
    """A defaultdict is a mapping whatever its default."""
    return _mapping(*pairs)


BUILDERS: Mapping[str, Builder] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _typed_tensor,
    "torch._utils._rebuild_parameter": _inner,
    "torch._utils._rebuild_parameter_with_state": _inner,
    "torch._utils._rebuild_device_tensor_from_cpu_tensor": _inner,
    "torch.nn.parameter.Parameter": _inner,
    "torch._tensor._rebuild_from_type_v2": _subclass,
    "collections.OrderedDict": _mapping,
    "collections.Counter": _mapping,
    "collections.defaultdict": _counted,
}
"""All that a file may have made, by the name under which it asks for it; everything else is a placeholder."""
