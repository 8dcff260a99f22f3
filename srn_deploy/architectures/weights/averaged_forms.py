"""Averaged weights that programs keep without the network's names, put under the names of the weights beside them.

torch_ema (github.com/fadel/pytorch_ema) keeps a list, `shadow_params`, in the order of the parameters. LitEma of Stable
Diffusion (ldm/modules/ema.py in CompVis/stable-diffusion) takes the dots out of the names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from srn_deploy.architectures.signature import StateDict
from srn_deploy.architectures.weights.sets import Contents, WeightSet, groups


def named_as(named: WeightSet, contents: Contents) -> Iterator[WeightSet]:
    """The sets that hold as many tensors, of the same shapes, as a set with names; they are given those names."""
    for place, tensors in contents.lists:
        if _alike(tensors, list(named.state.values())):
            state = dict(zip(named.state, tensors, strict=True))
            yield WeightSet(place=place, state=state, averaged_by=True if place[-1:] == ("shadow_params",) else None)
    names = {key.replace(".", ""): key for key in named.state}
    for whole in contents.sets:
        for one in groups(whole):
            if one.is_averaged and _has_all(one.state, names) and not any("." in key for key in one.state):
                state = {key: one.state[short] for short, key in names.items()}
                if _alike(list(state.values()), list(named.state.values())):
                    yield WeightSet(place=one.place, state=state, averaged_by=True)


def _has_all(state: StateDict, names: dict[str, str]) -> bool:
    return all(short in state for short in names)


def _alike(tensors: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    return [one.shape for one in tensors] == [one.shape for one in others]
