"""Detection as data: what the keys of a network's state dict must and must not contain."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from srn_deploy.spec import ModelSpec, Scalar

StateDict = Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Signature:
    """Keys that tell one network from all others."""

    required: tuple[str, ...]
    forbidden: tuple[str, ...] = ()

    def matches(self, keys: Collection[str]) -> bool:
        """Whether every required key and no forbidden one is present."""
        return all(key in keys for key in self.required) and not any(key in keys for key in self.forbidden)

    def likeness(self, keys: Collection[str]) -> float:
        """The share of the required keys that are present, in 0..1; used to name the nearest family in an error."""
        return sum(key in keys for key in self.required) / len(self.required)


@dataclass(frozen=True, kw_only=True)
class OtherForm:
    """Another form in which a family's weights were published: other names, or layers that fold into ours."""

    signature: Signature
    converted: Callable[[StateDict, Mapping[str, Any]], StateDict]
    """The same weights under the family's own keys, what is unknown left as it is; given the user's options.
    Raises OptionError for shapes that cannot be converted."""


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
    unknown_options: tuple[str, ...] = ()
    """Options that a file of the family may leave open, so that whoever loads one must give them."""
    read_value_range: Callable[[StateDict], float | None] = _not_told
    """The range that the weights themselves give away, as frozen mean shifts do; None where they do not."""
    other_forms: tuple[OtherForm, ...] = ()

    def recognises(self, keys: Collection[str]) -> bool:
        """True for a state dict of this family, in its own form or another."""
        return any(signature.matches(keys) for signature in self._signatures)

    def likeness(self, keys: Collection[str]) -> tuple[float, Signature]:
        """How much of the nearest signature is there, 0..1, and that signature."""
        nearest = max(self._signatures, key=lambda signature: signature.likeness(keys))
        return nearest.likeness(keys), nearest

    def own_form(self, state: StateDict, given: Mapping[str, Any]) -> StateDict:
        """A recognised state dict under the family's own keys; raises OptionError."""
        form = next((form for form in self.other_forms if form.signature.matches(state.keys())), None)
        return state if form is None else form.converted(state, given)

    @property
    def _signatures(self) -> tuple[Signature, ...]:
        return self.signature, *(form.signature for form in self.other_forms)
