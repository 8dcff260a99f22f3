"""How a network family is recognised, built and described; every module of a network fills in one `Architecture`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from srn_deploy.spec import ModelSpec, Scalar

StateDict = Mapping[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Signature:
    """The keys of a state dict that distinguish one network family from all others."""

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
    """Another form in which the weights of a family were published: other names, or layers that can be folded."""

    signature: Signature
    converted: Callable[[StateDict, Mapping[str, Any]], StateDict]
    """Converts a state dict in this form, and the user's options, to the family's own keys; unknown keys are kept.
    Raises OptionError for shapes that cannot be converted."""


def _unknown_range(state: StateDict) -> float | None:
    return None


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """One network family: how it is recognised, built and described.

    Options are the network's hyper-parameters as a plain mapping, so that a spec can carry them.
    """

    name: str
    title: str
    """The name and source of the network, for messages and lists."""
    signature: Signature
    read_options: Callable[[StateDict], dict[str, Scalar]]
    """Reads the options from keys and shapes; what these do not show gets its default. May raise OptionError."""
    build: Callable[[Mapping[str, Any]], nn.Module]
    """Builds a network with random weights from options; raises OptionError for unknown or impossible ones."""
    describe: Callable[[Mapping[str, Any]], ModelSpec]
    """Gives the spec for options, with the default value range of the family: halo, smallest side, alignment."""
    unknown_options: tuple[str, ...] = ()
    """Options that files of the family may not determine, so that the user must give them."""
    read_value_range: Callable[[StateDict], float | None] = _unknown_range
    """Reads the value range from the weights, for instance from frozen mean shifts; None if they do not show it."""
    value_ranges: tuple[float, ...] = (1.0, 255.0)
    """The ranges that networks of the family are trained in, which are tried where the weights do not show them; empty
    where the default of `describe` always holds."""
    open_options: Mapping[str, tuple[Scalar, ...]] = field(default_factory=dict)
    """Options that keys and shapes do not show, each with the values that are tried (see `trial.py`)."""
    own_keys: frozenset[str] = frozenset()
    """Keys that belong to the network although they look like the counters of a training program."""
    other_forms: tuple[OtherForm, ...] = ()
    """Other published forms of the weights, which are converted when a file is read."""

    def recognises(self, keys: Collection[str]) -> bool:
        """Whether these are the keys of this family, in its own form or another."""
        return any(signature.matches(keys) for signature in self._signatures)

    def likeness(self, keys: Collection[str]) -> tuple[float, Signature]:
        """The share of the nearest signature that is present, in 0..1, and that signature."""
        nearest = max(self._signatures, key=lambda signature: signature.likeness(keys))
        return nearest.likeness(keys), nearest

    def own_form(self, state: StateDict, given: Mapping[str, Any]) -> StateDict:
        """Convert a recognised state dict to the family's own keys; `given` are the user's options.

        Raises OptionError for shapes that cannot be converted.
        """
        form = next((form for form in self.other_forms if form.signature.matches(state.keys())), None)
        return state if form is None else form.converted(state, given)

    @property
    def _signatures(self) -> tuple[Signature, ...]:
        return self.signature, *(form.signature for form in self.other_forms)
