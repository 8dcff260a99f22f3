"""Which of the weights in a checkpoint are taken: those that a known network fits exactly, averaged ones first."""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from srn_deploy.architectures import ARCHITECTURES, Architecture, StateDict, detect, unknown_network
from srn_deploy.architectures.weights.averaged_forms import named_as
from srn_deploy.architectures.weights.fit import Recognised, check_fit, frozen_tensors, recognised
from srn_deploy.architectures.weights.pickled_names import NUMPY_ARRAY, in_words
from srn_deploy.architectures.weights.sets import Contents, WeightSet, groups, of_training
from srn_deploy.errors import (
    CheckpointError,
    DamagedCheckpoint,
    MismatchedTensors,
    OptionError,
    UnknownNetwork,
    UnsafeCheckpoint,
)
from srn_deploy.spec import Corrections

_log = logging.getLogger(__name__)

_BOOKKEEPING = {"total_ops", "total_params", "n_averaged", "num_updates", "num_batches_tracked"}
"""Last parts of keys that counters of programs have, not layers: thop's, torch's and others."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Fitting:
    """A set of weights that a network fits, or would if an option were given."""

    found: WeightSet
    known: Recognised | OptionError
    """What the set is; or which option must be given first."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Chosen:
    """The weights that are taken."""

    recognised: Recognised
    name: str
    """Of the set, as `--weights` takes it; empty where a file has nothing else."""
    names: tuple[str, ...]
    """Of all sets of the file, this one first."""

    @property
    def summary(self) -> str:
        """Which of how many, as `info` shows it; empty for a file of one set without a name."""
        return _summary(self.name, self.names)


def choose(contents: Contents, corrections: Corrections, where: str) -> Chosen:
    """Take the weights of a file.

    Raises UnknownNetwork or MismatchedTensors where no network fits, DamagedCheckpoint and UnsafeCheckpoint for weights
    that are stored in another form, OptionError where nothing says which of several sets is meant, where the one that
    is asked for is not there, or where an option of the network must be given. where: the file, for messages.
    """
    near, fitting = _fitting(contents, corrections.options, where)
    if corrections.weights is not None:
        one = _asked_for(corrections.weights, fitting, near, corrections.options, where)
    elif not fitting:
        raise _nothing_fits(contents, near, corrections.options, where)
    else:
        one = _first(fitting, where)
    if isinstance(one.known, OptionError):
        raise one.known
    names = _names(one, fitting)
    _tell(one.found, one.known.family, names, contents, where)
    return Chosen(recognised=one.known,
                  name=one.found.title if len(names) > 1 else one.found.name, names=names)


def fits_known_network(contents: Contents, where: str) -> bool:
    """Whether any weights of a file fit a known network; raises UnsafeCheckpoint and DamagedCheckpoint as `choose`."""
    return bool(_fitting(contents, {}, where)[1])


def _fitting(contents: Contents, given: Mapping[str, Any], where: str) -> tuple[list[WeightSet], list[Fitting]]:
    """The sets with the keys of a known network, and those of them that it fits; both in the order of their rank."""
    near: list[WeightSet] = []
    fitting: list[Fitting] = []

    def examine(one: WeightSet) -> bool:
        families = ARCHITECTURES.recognising(one.state.keys())
        if len(families) != 1:
            return False
        near.append(one)
        with contextlib.suppress(MismatchedTensors, DamagedCheckpoint):
            fitting.append(Fitting(found=one, known=_checked(one, families[0], given, where)))
            return True
        return False

    for whole in contents.sets:
        inner = [one for one in groups(whole) if examine(one)]
        if whole not in inner and (others := [*inner, *of_training(whole)]):
            examine(whole.without(others))  # its own weights, where those of others lie between them
    for named in [one for one in fitting if not one.found.is_averaged][:1]:
        for one in named_as(named.found, _frozen(named, given), contents):
            near[:] = [other for other in near if other.place != one.place]
            fitting[:] = [other for other in fitting if other.found.place != one.place]
            examine(one)
    near.sort(key=lambda one: one.rank)
    fitting.sort(key=lambda one: one.found.rank)
    return near, fitting


def _checked(one: WeightSet, family: Architecture, given: Mapping[str, Any], where: str) -> Recognised | OptionError:
    """What `Fitting.known` is; raises MismatchedTensors or DamagedCheckpoint where the network does not fit."""
    place = f"{where}, under `{one.name}`," if one.name else where
    for key, found in one.foreign.items():
        if in_words(found.name).startswith("a tensor"):
            raise DamagedCheckpoint(f"{place.rstrip(',')}: {key} is not stored as plain numbers.",
                                    remedy="Save dense, unquantised weights, moved to the CPU.")
    try:
        known = recognised(family, _layers(one.state, family.own_keys), given, place)
    except OptionError as error:
        return error
    check_fit(family, {**known.told, **given}, known.state, place)
    return known


def _frozen(one: Fitting, given: Mapping[str, Any]) -> frozenset[str]:
    """The names of the tensors that no training changes; none where an option is missing to know the network."""
    if isinstance(one.known, OptionError):
        return frozenset()
    return frozen_tensors(one.known.family, {**one.known.told, **given})


def _layers(state: StateDict, kept: Collection[str] = ()) -> StateDict:
    """The tensors without the counters of other programs, except those to be kept."""
    return {key: tensor for key, tensor in state.items() if key in kept or (
        key.rpartition(".")[2] not in _BOOKKEEPING and not (tensor.numel() == 1 and "." not in key))}


def _first(fitting: list[Fitting], where: str) -> Fitting:
    """The first by rank; raises OptionError where the next one is as good and holds other numbers."""
    first = fitting[0]
    alike = [one for one in fitting if one.found.rank[:2] == first.found.rank[:2]]
    rivals = [one for one in alike[1:] if (one.found.rank == first.found.rank or not first.found.has_usual_name)
              and not _equal(one.found.state, first.found.state)]
    if rivals:
        names = [one.found.title for one in (first, *rivals)]
        raise OptionError(f"{where} has {len(names)} sets of weights, and nothing says which is meant: "
                          f"{', '.join(names)}.", remedy=f"Choose one, as in --weights {names[0]}.")
    return first


def _equal(one: StateDict, other: StateDict) -> bool:
    return one.keys() == other.keys() and all(
        tensor is other[key] or (tensor.shape == other[key].shape and torch.equal(tensor, other[key]))
        for key, tensor in one.items())


def _asked_for(name: str, fitting: list[Fitting], near: list[WeightSet], given: Mapping[str, Any],
               where: str) -> Fitting:
    """The set of this name, or the only one whose name begins with it."""
    found = [one for one in fitting if one.found.title == name] or [
        one for one in fitting if f"{one.found.title}.".startswith(f"{name}.")]
    if len(found) == 1:
        return found[0]
    if not found and (misfit := next((one for one in near if name in (one.title, *one.place[:1])), None)):
        raise _misfit(misfit, given, where)
    names = ", ".join(dict.fromkeys(one.found.title for one in found or fitting))
    if fitting and not any(one.found.name for one in fitting):
        names = "one set, which has no name: leave --weights out"
    raise OptionError(f"{where} has {'several' if found else 'no'} weights called {name!r}.",
                      remedy=f"It has: {names or 'none that a known network fits'}.")


def _names(taken: Fitting, fitting: list[Fitting]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(one.found.title for one in (taken, *fitting)))


def _summary(name: str, names: tuple[str, ...]) -> str:
    return f"{name} (of {len(names)} sets: {', '.join(names)})" if len(names) > 1 else name


def _tell(taken: WeightSet, family: Architecture, names: tuple[str, ...], contents: Contents, where: str) -> None:
    """Log which of several sets is taken, and what is left out."""
    if len(names) > 1:
        _log.info("%s: weights: %s; --weights takes another.", where, _summary(taken.title, names))
    if taken.completed_from:
        _log.info("%s: the tensors of %s that are not trained, and that %s lacks, are taken from there.", where,
                  taken.completed_from, taken.title)
    beginnings = {f"{name}." for name in names}
    place = ".".join(taken.place[:len(taken.place) - taken.prefix.count(".")])
    others = tuple(beginnings - {f"{taken.name}."})
    stray = [key for key in _layers(taken.beside) if not f"{place}.{key}".removeprefix(".").startswith(others)]
    if stray and taken.prefix:
        _log.warning("%s: of its tensors those under `%s` are taken, which are a whole %s; %d are left out: %s.", where,
                     taken.name, family.name, len(stray), _some(stray))
    objects = [found for found in contents.objects
               if not any(name.startswith(f"{found.partition(' (')[0]}.") for name in beginnings)]
    losses = [] if taken.prefix else stray
    if left_out := [*losses, *objects, *_other_tensors(contents, names)]:
        _log.info("%s: left out beside the weights: %s.", where, _some(left_out))


def _other_tensors(contents: Contents, names: tuple[str, ...]) -> list[str]:
    """The outermost keys under which there are tensors that belong to none of these sets, and how many."""
    counts: Counter[str] = Counter()
    for one in contents.sets:
        if one.place and not any(f"{name}.".startswith(f"{one.name}.") for name in names):
            counts[one.place[0]] += len(one.state)
    return [f"{key} ({count} tensors)" for key, count in counts.items()]


def _some(names: list[str] | tuple[str, ...]) -> str:
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _misfit(near: WeightSet, given: Mapping[str, Any], where: str) -> CheckpointError:
    """Why the network that a set looks like does not fit it."""
    try:
        _checked(near, detect(near.state), given, where)
    except CheckpointError as error:
        return error
    return MismatchedTensors(f"{where}: {near.title} does not fit.", remedy="Choose other weights with --weights.")


def _nothing_fits(contents: Contents, near: list[WeightSet], given: Mapping[str, Any], where: str) -> CheckpointError:
    """The error for a file whose weights no network fits: what is there and how near it is."""
    if near:
        return _misfit(near[0], given, where)
    if not contents.sets:
        return _no_tensors(contents, where)
    nearest = max((one for whole in contents.sets for one in groups(whole)), key=_likeness)
    under = f", under `{nearest.name}`" if nearest.name else ""
    there = [f"{one.title} ({len(one.state)} tensors)" for one in contents.sets]
    unknown = unknown_network(nearest.state)
    return UnknownNetwork(f"{where}{under}: {unknown.message}" + (f" It has: {_some(there)}." if under else ""),
                          remedy=unknown.remedy)


def _likeness(one: WeightSet) -> tuple[float, int]:
    return max(family.likeness(one.state.keys())[0] for family in ARCHITECTURES.values()), len(one.state)


def _no_tensors(contents: Contents, where: str) -> CheckpointError:
    """The error for a file without named tensors."""
    if contents.networks:
        place, kind, is_network = contents.networks[0]
        key = "".join(f"['{part}']" for part in place.split(".") if part)
        under = f" under `{place}`" if place else ""
        what = "a whole pickled network" if is_network else "a pickled object"
        return UnsafeCheckpoint(
            f"{where} holds {what}{under} (it asks for {kind}), not its weights alone; it was not run.",
            remedy=f"If you trust it, where its code is installed: torch.save(torch.load({where!r}, "
                   f"weights_only=False){key}.state_dict(), 'weights.pth')")
    suffix = f" ({NUMPY_ARRAY})"
    arrays = [one.removesuffix(suffix) for one in contents.objects if one.endswith(suffix)]
    if len(arrays) > 1:
        return UnknownNetwork(f"{where} has {len(arrays)} numpy arrays instead of tensors: {_some(arrays)}.",
                              remedy="Save tensors: torch.save({name: torch.from_numpy(array), …}, 'weights.pth').")
    beside = f" Beside them: {_some(contents.objects)}." if contents.objects else ""
    return UnknownNetwork(f"{where} has no named tensors: {contents.description}.{beside}",
                          remedy="Save module.state_dict() with torch.save and use that file.")
