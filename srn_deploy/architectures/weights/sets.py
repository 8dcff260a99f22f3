"""Finds the sets of weights in a checkpoint: every mapping of named tensors, and every group of keys by prefix."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from torch import Tensor

from srn_deploy.architectures.signature import StateDict
from srn_deploy.architectures.weights.inert_pickle import Placeholder
from srn_deploy.architectures.weights.pickled_names import in_words

DEEPEST = 8
"""Of mappings within each other, and of the parts of a prefix."""

MOST_NAMES = 8
"""Under which the same mapping is looked at."""

TOP = "top-level"
"""The name of tensors that lie in no mapping, where others do."""

_AVERAGED = {"ema", "averaged", "average", "avg", "swa", "shadow", "polyak"}
_KAIR = {"nete", "net_e"}
"""What KAIR (github.com/cszn/KAIR) calls the moving average of `netG`."""

_NOT_AVERAGED = {"online", "raw", "current"}
_OF_TRAINING = {"criterion", "loss", "losses", "discriminator", "critic", "netd", "disc", "perceptual", "lpips", "vgg"}
"""Parts of a training program that are saved beside a network but never belong to it."""

_SECONDARY = {*_OF_TRAINING, "teacher", "d", "optimizer"}
_SAYS_NOTHING = {"module", "orig", "mod"}
_USUAL = ("params", "state_dict", "model_state_dict", "model_state", "model", "network", "net", "generator", "netg",
          "net_g", "generator_state_dict", "g", "student", "sr_model", "weights", "model_dict")
"""The names under which training programs store the weights, in the order in which they are taken."""


@dataclass(frozen=True, kw_only=True, eq=False)
class WeightSet:
    """Tensors that lie together: those of one mapping, or those of its keys that begin alike."""

    place: tuple[str, ...]
    """The keys of the mappings around them, then the parts of the prefix."""
    state: StateDict
    """The tensors without the prefix."""
    others: Mapping[str, Placeholder] = field(default_factory=dict)
    """The objects of the same mapping that are not tensors."""
    averaged_by: bool | None = None
    """Whether the program that wrote the file averages them, where something besides the names says so."""
    prefix: str = ""
    """What the keys of the mapping begin with, the last dot included."""
    whole: StateDict = field(default_factory=dict)
    """For a part of a mapping: all its tensors under their full keys."""
    completed_from: str = ""
    """The title of the set that its frozen tensors were taken from."""

    @cached_property
    def beside(self) -> StateDict:
        """The tensors of the same mapping that are not among these."""
        return {key: tensor for key, tensor in self.whole.items()
                if not (key.startswith(self.prefix) and key.removeprefix(self.prefix) in self.state)}

    @cached_property
    def foreign(self) -> Mapping[str, Placeholder]:
        """What the mapping has under the prefix instead of tensors, without the prefix."""
        return {key.removeprefix(self.prefix): one for key, one in self.others.items() if key.startswith(self.prefix)}

    def without(self, inner: Iterable[WeightSet]) -> WeightSet:
        """The tensors that have none of these groups' prefixes."""
        prefixes = tuple(one.prefix for one in inner)
        return replace(self, whole=self.state, state={
            key: tensor for key, tensor in self.state.items() if not key.startswith(prefixes)})

    @property
    def name(self) -> str:
        """As `--weights` takes it; empty for the tensors of a file that has nothing else."""
        return ".".join(self.place)

    @property
    def title(self) -> str:
        """The name, or a word for tensors that have none."""
        return self.name or TOP

    @cached_property
    def is_averaged(self) -> bool:
        """Whether these are averaged weights; the innermost name that says something decides."""
        if self.averaged_by is not None:
            return self.averaged_by
        said = (_words(part) | ({"ema"} if part.lower() in _KAIR else set()) for part in reversed(self.place))
        return next((not words & _NOT_AVERAGED for words in said if words & (_AVERAGED | _NOT_AVERAGED)), False)

    @cached_property
    def rank(self) -> tuple[bool, bool, tuple[int, ...]]:
        """Sorts sets in the order in which they are taken: no teacher, averaged, under the most usual name."""
        telling = [part.lower() for part in self.place if not _words(part) <= _SAYS_NOTHING]
        usual = tuple(_USUAL.index(part) if part in _USUAL else len(_USUAL) for part in telling)
        is_secondary = any((_words(part) | {part.lower()}) & _SECONDARY for part in self.place)
        return is_secondary, not self.is_averaged, () if self.is_averaged else usual

    @property
    def has_usual_name(self) -> bool:
        """Whether its name alone says that it is the one to take."""
        return len(_USUAL) not in self.rank[2]


@dataclass(frozen=True, kw_only=True, eq=False)
class Contents:
    """What a file holds: the mappings with tensors, networks that were pickled whole, and other objects."""

    sets: tuple[WeightSet, ...]
    lists: tuple[tuple[tuple[str, ...], tuple[Tensor, ...]], ...]
    """Lists of tensors, each with its place."""
    networks: tuple[tuple[str, str, bool], ...]
    """The place and the class of each, and whether it is one: what is the whole file is listed in any case."""
    objects: tuple[str, ...]
    """Other objects in the user's words, each with its place."""
    description: str
    """Of what type the outermost object is, and the keys of the innermost mapping."""


def search(found: object) -> Contents:
    """Look at every mapping and list of what a file holds, down to a depth; each is looked into once.

    The sets are those of whole mappings; `groups` divides them by prefix.
    """
    sets: list[WeightSet] = []
    lists: list[tuple[tuple[str, ...], tuple[Tensor, ...]]] = []
    networks: list[tuple[str, str, bool]] = []
    objects: list[str] = []
    for place, one in _walk(found):
        mapping = _mapping_of(one)
        if isinstance(one, list | tuple) and one and all(isinstance(value, Tensor) for value in one):
            lists.append((place, tuple(one)))
        if isinstance(one, Placeholder):
            if _is_network(one) or not place:
                networks.append((".".join(place), one.name, _is_network(one)))
            else:
                objects.append(f"{'.'.join(place)} ({in_words(one.name)})")
        if any(isinstance(value, Tensor) and isinstance(key, str) for key, value in mapping.items()):
            sets.append(_as_set(place, mapping, _averaged_by_program(found, place)))
    return Contents(sets=tuple(sets), lists=tuple(lists), networks=tuple(networks), objects=tuple(objects),
                    description=_description(found))


def _description(found: object) -> str:
    keys: list[str] = []
    opened: set[int] = set()
    one = found
    while isinstance(one, dict) and id(one) not in opened:
        opened.add(id(one))
        keys = [key[:80] for key in one if isinstance(key, str)]
        one = next((value for value in one.values() if isinstance(value, dict)), None)
    return f"it is of type {type(found).__name__}, with keys {', '.join(keys[:4]) or '(none)'}"


def groups(whole: WeightSet) -> Iterator[WeightSet]:
    """The set itself and, for every prefix of its keys that ends at a dot, the tensors with that prefix."""
    yield whole
    inside: dict[str, dict[str, Tensor]] = {}
    for key, tensor in whole.state.items():
        for end in _ends(key):
            inside.setdefault(key[:end + 1], {})[key[end + 1:]] = tensor
    for prefix, state in inside.items():
        averaged = True if prefix == "module." and "n_averaged" in whole.state else whole.averaged_by
        yield WeightSet(place=(*whole.place, *prefix[:-1].split(".")), state=state, others=whole.others,
                        averaged_by=averaged, prefix=prefix, whole=whole.state)


def of_training(whole: WeightSet) -> list[WeightSet]:
    """The groups that are losses and discriminators by the first part of their keys."""
    return [one for one in groups(whole) if one.prefix.count(".") == 1
            and (_words(one.prefix) | {one.prefix[:-1].lower()}) & _OF_TRAINING]


def _ends(key: str) -> list[int]:
    """Where the prefixes of a key end."""
    return [found.start() for found in re.finditer(r"\.", key)][:DEEPEST]


def _walk(found: object) -> Iterator[tuple[tuple[str, ...], object]]:
    """Every mapping and object with its place, outer ones first; one that lies in two places is given for both."""
    waiting: list[tuple[tuple[str, ...], object]] = [((), found)]
    seen: Counter[int] = Counter()
    for place, one in waiting:  # it grows meanwhile
        seen[id(one)] += 1
        if seen[id(one)] > MOST_NAMES:
            continue
        yield place, one
        if seen[id(one)] == 1 and len(place) < DEEPEST and not (isinstance(one, Placeholder) and _is_network(one)):
            waiting += [((*place, _key_text(key)), value) for key, value in _children(one)
                        if isinstance(value, dict | list | tuple | Placeholder)]


def _key_text(key: object) -> str:
    """A key as a part of a name; integers are shown while they are small."""
    if isinstance(key, int):
        return str(int(key)) if abs(key) < 10**6 else "?"
    return key if isinstance(key, str) else "?"


def _children(one: object) -> Iterator[tuple[object, object]]:
    if isinstance(one, list | tuple):
        yield from enumerate(one)
    else:
        yield from _mapping_of(one).items()


def _mapping_of(one: object) -> Mapping[object, object]:
    """What a mapping, or an object that is one or has attributes, holds by name."""
    if isinstance(one, Placeholder):
        return {**(one.state if isinstance(one.state, dict) else {}), **one.items}
    return one if isinstance(one, dict) else {}


def _is_network(one: Placeholder) -> bool:
    return isinstance(one.state, dict) and {"_modules", "_parameters"} <= one.state.keys()


def _as_set(place: tuple[str, ...], mapping: Mapping[object, object], averaged_by: bool | None) -> WeightSet:
    named = {key: value for key, value in mapping.items() if isinstance(key, str)}
    return WeightSet(place=place, averaged_by=averaged_by,
                     state={key: value for key, value in named.items() if isinstance(value, Tensor)},
                     others={key: value for key, value in named.items() if isinstance(value, Placeholder)})


def _averaged_by_program(found: object, place: tuple[str, ...]) -> bool | None:
    """mmengine, which its message hub shows, exchanges the names: `ema_state_dict` has the weights of the training."""
    if isinstance(found, dict) and "message_hub" in found and "ema_state_dict" in found and len(place) == 1:
        return {"state_dict": True, "ema_state_dict": False}.get(place[0])
    return None


def _words(part: str) -> set[str]:
    """The words of a name, however they are joined: `netG_ema` has net, g and ema."""
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", part)}
