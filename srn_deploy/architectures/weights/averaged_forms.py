"""Averaged weights that programs keep without the network's names or without what is not trained, made whole.

torch_ema (github.com/fadel/pytorch_ema) keeps a list, `shadow_params`, in the order of the parameters. LitEma of Stable
Diffusion (ldm/modules/ema.py in CompVis/stable-diffusion) takes the dots out of the names. Both, and others, average
the trained parameters alone; the frozen ones, such as the mean shifts of EDSR, are those of the weights beside them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

from torch import Tensor

from srn_deploy.architectures.weights.sets import Contents, WeightSet, groups


def named_as(named: WeightSet, frozen: Collection[str], contents: Contents) -> Iterator[WeightSet]:
    """The averaged sets that hold the tensors of a named set, or all but its frozen ones, in the same shapes.

    They are given the names of that set, and its frozen tensors where they have none.
    """
    trained = [key for key in named.state if key not in frozen]
    for place, tensors in contents.lists:
        keys = list(named.state) if len(tensors) == len(named.state) else trained
        if _alike(tensors, (named.state[key] for key in keys)):
            one = WeightSet(place=place, state=dict(zip(keys, tensors, strict=True)),
                            averaged_by=True if place[-1:] == ("shadow_params",) else None)
            yield _completed(one, named)
    for whole in contents.sets:
        for one in groups(whole):
            if one.is_averaged and (found := _under_its_names(one, named, trained)):
                yield _completed(replace(one, state=found, averaged_by=True), named)


def _under_its_names(one: WeightSet, named: WeightSet, trained: list[str]) -> dict[str, Tensor] | None:
    """The tensors of a set by the names of another; None where they are others, or need nothing."""
    names = {key.replace(".", ""): key for key in named.state}
    if one.state.keys() == set(trained) and len(trained) < len(named.state):
        found = dict(one.state)
    elif not any("." in key for key in one.state) and all(key.replace(".", "") in one.state for key in trained):
        found = {key: one.state[short] for short, key in names.items() if short in one.state}
    else:
        return None
    return found if _alike(found.values(), (named.state[key] for key in found)) else None


def _completed(one: WeightSet, named: WeightSet) -> WeightSet:
    if len(one.state) == len(named.state):
        return one
    return replace(one, state={**named.state, **one.state}, completed_from=named.title)


def _alike(tensors: Iterable[Tensor], others: Iterable[Tensor]) -> bool:
    return [one.shape for one in tensors] == [one.shape for one in others]
