"""Helpers for the architectures: checking options, and reading them from keys and shapes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from enum import StrEnum
from math import isfinite, isqrt
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

from srn_deploy.architectures.signature import StateDict
from srn_deploy.errors import OptionError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance
    from torch import Tensor

Options = TypeVar("Options", bound="DataclassInstance")

SLOPES = (0.05, 0.1, 0.2, 0.0)
"""Of a LeakyReLU in published networks; 0 is ReLU."""

BOTH = (True, False)
"""Both values of a switch."""

LARGEST = 4096
"""The largest integer option, which limits the network that a damaged file can ask for."""


def checked(kind: type[Options], given: Mapping[str, Any]) -> Options:
    """Build an options dataclass from a mapping.

    Values are converted to the types of its fields. Raises OptionError for unknown, missing or impossible options.
    """
    if not isinstance(given, Mapping):
        raise OptionError(f"Network options cannot be {given!r}.", remedy="Give names and values.")
    types = get_type_hints(kind)
    known = [field.name for field in fields(kind)]
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise OptionError(f"Unknown network option {unknown[0]!r}.", remedy=f"Known are: {', '.join(known)}.")
    if missing := [field.name for field in fields(kind) if field.default is MISSING and field.name not in given]:
        raise OptionError(f"The network option {missing[0]} is missing.", remedy=f"Give it: {missing[0]}=VALUE.")
    return kind(**{name: _converted(name, types[name], value) for name, value in given.items()})


def _converted(name: str, kind: type, value: Any) -> Any:
    """One option in the type of its field: a bool may be given as 'true', 1 or True, but not as 'maybe'."""
    try:
        return _CONVERSIONS.get(kind, kind)(str(value).lower())
    except (KeyError, ValueError) as error:
        raise OptionError(f"Network option {name} cannot be {value!r}.",
                          remedy=f"Allowed: {_allowed(kind)}.") from error


def _bool(text: str) -> bool:
    return {"true": True, "1": True, "false": False, "0": False}[text]


def _int(text: str) -> int:
    number = int(text)
    if not 1 <= number <= LARGEST:
        raise ValueError(text)
    return number


def _float(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError(text)
    return number


_CONVERSIONS: Mapping[type, Callable[[str], Any]] = MappingProxyType({bool: _bool, int: _int, float: _float})


def _allowed(kind: type) -> str:
    if issubclass(kind, StrEnum):
        return ", ".join(kind)
    return {bool: "true, false", int: f"an integer, 1 to {LARGEST}"}.get(kind, "a number")


def count_blocks(state: StateDict, prefix: str) -> int:
    """The number of different N in keys that start with `prefixN.`"""
    return len({m[1] for key in state if (m := re.match(re.escape(prefix) + r"([0-9]+)\.", key))})


def filters(state: StateDict, key: str) -> int:
    """The number of filters (output channels) of a convolution; raises OptionError if the tensor is not one."""
    if state[key].dim() != 4:
        raise OptionError(f"{key} has {state[key].dim()} dimensions.", remedy="The weights of a convolution have 4.")
    return int(state[key].shape[0])


def scale_from_tail(state: StateDict, key: str, colours: int = 3) -> int:
    """The scale of a sub-pixel tail with colours * scale**2 filters; raises OptionError if there is none."""
    found = filters(state, key)
    scale = isqrt(found // colours)
    if scale < 1 or colours * scale**2 != found:
        raise OptionError(f"{key} has {found} filters, which no scale gives.",
                          remedy=f"A tail has {colours} x scale x scale filters: 12, 27 or 48.")
    return scale


def stored_tensor(state: StateDict, key: str, *shape: int) -> Tensor:
    """One tensor in double precision, to be folded; raises OptionError if it is missing or has another shape."""
    tensor = state.get(key)
    # An expanded tensor can claim any size without storing it.
    if tensor is None or tensor.shape != shape or tensor.untyped_storage().nbytes() < tensor.nbytes:
        raise OptionError(f"{key} is missing or does not have the shape {shape}.",
                          remedy="Save the complete training form, or the folded one.")
    return tensor.double()
