"""Detection as data: what the keys of a network's state dict must and must not contain."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from srn_deploy.contract import ModelSpec, Scalar

StateDict = Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Signature:
    """Keys that tell one network from all others."""

    has: tuple[str, ...]
    lacks: tuple[str, ...] = ()

    def matches(self, keys: Collection[str]) -> bool:
        """True if every key of `has` and none of `lacks` is there."""
        return all(key in keys for key in self.has) and not any(key in keys for key in self.lacks)

    def likeness(self, keys: Collection[str]) -> float:
        """The share of `has` that is there, 0..1: names the nearest family in an error."""
        return sum(key in keys for key in self.has) / len(self.has)


def _not_told(state: StateDict) -> float | None:
    return None


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """One network family: how it is recognised, built and described.

    Options are the network's hyper-parameters as a plain mapping, so that a spec can carry them.
    """

    name: str
    title: str
    """For people: the network's name and its source."""
    signature: Signature
    read_options: Callable[[StateDict], dict[str, Scalar]]
    """Keys and shapes to options; what keys cannot tell gets its documented default. May raise OptionError."""
    build: Callable[[Mapping[str, Any]], nn.Module]
    """Options to a network with fresh weights; raises OptionError for unknown or impossible options."""
    describe: Callable[[Mapping[str, Any]], ModelSpec]
    """Options to the spec of the network's checkpoint, with the family's default value range."""
    untold: tuple[str, ...] = ()
    """Options that no file of the family tells, so that whoever loads one must."""
    read_value_range: Callable[[StateDict], float | None] = _not_told
    """The range that the weights themselves give away, as frozen mean shifts do; None where they do not."""
