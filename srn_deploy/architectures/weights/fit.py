"""Whether weights are exactly those of a known network: every tensor is there, in its shape, and none is left over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from srn_deploy.architectures import Architecture, StateDict
from srn_deploy.errors import DamagedCheckpoint, MismatchedTensors, OptionError
from srn_deploy.spec import Scalar

_EXAMPLES = {"scale": "4"}
"""For the options that a file may not show."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Recognised:
    """Weights under their family's own keys, and the options that keys and shapes show."""

    family: Architecture
    state: StateDict
    told: Mapping[str, Scalar]


def recognised(family: Architecture, state: StateDict, given: Mapping[str, Any], where: str) -> Recognised:
    """Convert weights to the family's own keys and read the options that keys and shapes show.

    where: the file, for messages. Raises MismatchedTensors where shapes are impossible, OptionError where an option
    that the file cannot show is not given.
    """
    try:
        own = family.own_form(state, given)
        told = family.read_options(own)
        settled = {**told, **{name: given[name] for name in family.unknown_options if name in given}}
        missing = next((name for name in family.unknown_options if name not in settled), None)
        if missing is None:
            family.describe(settled)
    except OptionError as error:
        raise MismatchedTensors(f"{where} looks like {family.title}, but its tensors have impossible shapes. "
                                f"{error.message}", remedy="The file is damaged, or the network differs.") from error
    if missing is not None:
        raise OptionError(f"{where} is {family.title}: its file serves more than one {missing} and does not say which.",
                          remedy=f"Give it: --set {missing}={_EXAMPLES.get(missing, 'VALUE')}.")
    return Recognised(family=family, state=own, told=told)


def check_fit(family: Architecture, options: Mapping[str, Any], state: StateDict, where: str) -> None:
    """Raise MismatchedTensors with the first names of each kind, before any memory is spent on the network."""
    with torch.device("meta"):
        wanted = family.build(options).state_dict()
    missing = [key for key in wanted if key not in state]
    surplus = [key for key in state if key not in wanted]
    misshapen = [f"{key} is {_described(state[key])} instead of {_described(wanted[key])}" for key in wanted
                 if key in state and not _alike(state[key], wanted[key])]
    if missing or surplus or misshapen:
        parts = [f"{title}: {', '.join(names[:3])}{' …' if len(names) > 3 else ''}" for title, names in
                 (("missing", missing), ("left over", surplus), ("misshapen", misshapen)) if names]
        right = len(wanted) - len(missing) - len(misshapen)
        raise MismatchedTensors(
            f"{where} looks like {family.title}, but does not fit: {right} of the {len(wanted)} tensors of this "
            f"network are there. {'; '.join(parts)}.",
            remedy="The file is damaged, or the network differs: correct an option with --set, or add the network "
                   "(CONTRIBUTING.md).")


def frozen_tensors(family: Architecture, options: Mapping[str, Any]) -> frozenset[str]:
    """The keys of a network's state that no optimizer changes: its buffers, and parameters without a gradient."""
    with torch.device("meta"):
        network = family.build(options)
    trained = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    return frozenset(network.state_dict().keys() - trained)


def _alike(found: Tensor, wanted: Tensor) -> bool:
    """Whether the shapes are equal and both or neither are floating point, of any width."""
    return found.shape == wanted.shape and found.is_floating_point() == wanted.is_floating_point()


def _described(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


def single_precision(state: StateDict, where: str) -> dict[str, Tensor]:
    """The weights in float32; raises DamagedCheckpoint for values that are not finite.

    Call it only after the shapes are checked: a small file can claim tensors of any size.
    """
    floats = {key: value.float() if value.is_floating_point() else value for key, value in state.items()}
    for key, value in floats.items():
        if not torch.isfinite(value).all():  # which torch cannot ask of 8 bits
            raise DamagedCheckpoint(f"{where}: {key} has values that are not finite.",
                                    remedy="Download it again; if the original is the same, its training has diverged.")
    return floats
