"""All network families: those of this package, then those that other packages register by an entry point.

An entry point of the group `srn_deploy.architectures` names an `Architecture`. They are looked up when a family is
asked for that is not built in, or when all are gone through: never by commands that need no PyTorch. What cannot be
used is left out with a warning, and everything else works.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points

from srn_deploy.architectures.signature import Architecture

GROUP = "srn_deploy.architectures"
"""Of the entry points."""

_log = logging.getLogger(__name__)


class Families(Mapping[str, Architecture]):
    """Family by name, the built-in ones first."""

    def __init__(self, built_in: Iterable[Architecture]) -> None:
        """A built-in family cannot be replaced by one that is registered."""
        self._built_in = {family.name: family for family in built_in}

    def __getitem__(self, name: str) -> Architecture:
        """The family of this name; raises KeyError."""
        return self._built_in[name] if name in self._built_in else self._registered[name][0]

    def __iter__(self) -> Iterator[str]:
        """The names of all families."""
        yield from self._built_in
        yield from self._registered

    def __len__(self) -> int:
        """How many there are."""
        return len(self._built_in) + len(self._registered)

    def recognising(self, keys: Collection[str]) -> list[Architecture]:
        """The families whose checkpoints have these keys. A registered one counts where no built-in one has them."""
        built_in = [family for family in self._built_in.values() if family.recognises(keys)]
        return built_in or [family for family, _ in self._registered.values() if family.recognises(keys)]

    @contextmanager
    def alone(self, family: Architecture, source: str) -> Iterator[None]:
        """Have this family only, while it is entered: for a network that the user names, and nothing else is meant.

        source: stands for the package that registered it, so that what is measured of it is not taken for another's.
        """
        before = self._built_in, self.__dict__.get("_registered")
        self._built_in, self.__dict__["_registered"] = {}, {family.name: (family, source)}
        try:
            yield
        finally:
            self._built_in, registered = before
            del self.__dict__["_registered"]
            if registered is not None:
                self.__dict__["_registered"] = registered

    def package(self, name: str) -> str:
        """The distribution that registered a family, with its version; empty for a built-in one. Raises KeyError."""
        return "" if name in self._built_in else self._registered[name][1]

    @cached_property
    def _registered(self) -> Mapping[str, tuple[Architecture, str]]:
        """Name to family and distribution, of the entry points that give a family with a name of its own."""
        found: dict[str, list[tuple[Architecture, str]]] = {}
        for entry in sorted(entry_points(group=GROUP), key=lambda entry: (_distribution(entry), entry.name)):
            family = _loaded(entry)
            if family is not None:
                found.setdefault(family.name, []).append((family, _distribution(entry)))
        return {name: claims[0] for name, claims in found.items() if self._is_free(name, [by for _, by in claims])}

    def _is_free(self, name: str, claimed_by: list[str]) -> bool:
        """Whether one distribution claims a name that is not built in; warns where it is otherwise."""
        if name in self._built_in:
            _log.warning("%s registers a network %r, which is built in: the built-in one is used.",
                         " and ".join(claimed_by), name)
            return False
        if len(claimed_by) > 1:
            _log.warning("%s register a network of the name %r: none of them is used. Uninstall all but one.",
                         " and ".join(claimed_by), name)
            return False
        return True


def _loaded(entry: EntryPoint) -> Architecture | None:
    """What an entry point gives; None, with a warning, if it is not a family."""
    where = f"{entry.value}, registered by {_distribution(entry)}"
    try:
        family = entry.load()
    except (Exception, SystemExit) as error:  # noqa: BLE001  # code of another package may raise anything
        reason = (str(error).strip().splitlines() or ["no message"])[0]
        _log.warning("The network %r is missing: %s cannot be imported (%s: %s).", entry.name, where,
                     type(error).__name__, reason)
        return None
    if not isinstance(family, Architecture):
        _log.warning("The network %r is missing: %s is of type %s, not an Architecture.", entry.name, where,
                     type(family).__name__)
        return None
    return family


def _distribution(entry: EntryPoint) -> str:
    """Name and version of the package that an entry point is installed with."""
    return "an unknown package" if entry.dist is None else f"{entry.dist.name} {entry.dist.version}"
