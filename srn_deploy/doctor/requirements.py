"""The packages that srn-deploy requires, from the setup.cfg of its checkout or else from its metadata.

And whether those that are installed fit together.
"""

from __future__ import annotations

import configparser
from collections import defaultdict
from collections.abc import Iterator
from importlib import metadata

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from srn_deploy.doctor.conflicts import Conflict
from srn_deploy.doctor.fixes import CHECKOUT
from srn_deploy.doctor.packages import BASE, DISTRIBUTION, EXTRAS, Package, installed_version


def read_requirements() -> list[Package]:
    """The required packages, each once.

    Raises PackageNotFoundError where there is neither a checkout nor metadata.
    """
    found: dict[str, Package] = {}
    written = _of_checkout() if CHECKOUT else _of_metadata()
    for extra, text in sorted(written, key=lambda pair: EXTRAS.index(pair[0])):
        requirement = Requirement(text)
        name = canonicalize_name(requirement.name)
        marked_out = requirement.marker is not None and not requirement.marker.evaluate({"extra": extra})
        if marked_out or name == DISTRIBUTION or name in found:
            continue
        installed = installed_version(name)
        fits = bool(installed) and requirement.specifier.contains(installed, prereleases=True)
        found[name] = Package(name=name, extra=extra, requirement=_as_typed(requirement), installed=installed,
                              fits=fits)
    return list(found.values())


def read_conflicts() -> list[Conflict]:
    """Installed packages whose version one of the others does not take.

    Looked at are those that srn-deploy needs with any of its extras, and what these need in turn; what is not installed
    contradicts nothing. Raises PackageNotFoundError where there is neither a checkout nor metadata.
    """
    asked = defaultdict[str, list[tuple[str, Requirement]]](list)
    to_do = [(DISTRIBUTION, Requirement(text)) for text in _of_every_extra()]
    seen = set[tuple[str, frozenset[str]]]()
    while to_do:
        asker, requirement = to_do.pop()
        name = canonicalize_name(requirement.name)
        if name == DISTRIBUTION or not installed_version(name):
            continue
        asked[name].append((asker, requirement))
        if (name, extras := frozenset(requirement.extras)) not in seen:
            seen.add((name, extras))
            to_do += [(f"{name} {installed_version(name)}", needed) for needed in _needs(name, extras)]
    return [found for name in sorted(asked) if (found := _conflict(name, asked[name])) is not None]


def _needs(name: str, extras: frozenset[str]) -> Iterator[Requirement]:
    """What an installed package needs here."""
    for text in metadata.requires(name) or ():
        try:
            requirement = Requirement(text)
        except InvalidRequirement:  # older packages have some; pip passes over them as well
            continue
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": one}) for one in (BASE, *extras)):
            yield requirement


def _conflict(name: str, asked: list[tuple[str, Requirement]]) -> Conflict | None:
    installed = installed_version(name)
    against = {f"{asker} for {_as_typed(requirement)}" for asker, requirement in asked
               if not requirement.specifier.contains(installed, prereleases=True)}
    if not against:
        return None
    bounds = {str(bound) for _, requirement in asked for bound in requirement.specifier}
    return Conflict(name=name, installed=installed, asked=sorted(against),
                    requirement=name + ",".join(sorted(bounds, reverse=True)))


def _of_every_extra() -> list[str]:
    """What is required with and without extras, of this platform."""
    if not CHECKOUT:
        return [text.partition(";")[0] for text in metadata.requires(DISTRIBUTION) or []]
    written = _setup_cfg()
    lists = [written["options"]["install_requires"], *written["options.extras_require"].values()]
    found = [Requirement(line) for text in lists for line in text.splitlines() if line and not line.startswith("#")]
    return [str(one) for one in found if one.marker is None or one.marker.evaluate({"extra": BASE})]


def _setup_cfg() -> configparser.ConfigParser:
    written = configparser.ConfigParser()
    written.read(f"{CHECKOUT}/setup.cfg", encoding="utf-8")
    return written


def _as_typed(requirement: Requirement) -> str:
    """The requirement with its lower bound first; metadata has the bounds in any order."""
    return requirement.name + ",".join(sorted(map(str, requirement.specifier), reverse=True))


def _of_checkout() -> list[tuple[str, str]]:
    """Pairs of extra and requirement; the metadata of an editable installation may be older than its setup.cfg."""
    written = _setup_cfg()
    lists = {BASE: written["options"]["install_requires"], **written["options.extras_require"]}
    return [(extra, line) for extra in EXTRAS for line in lists.get(extra, "").splitlines() if line]


def _of_metadata() -> Iterator[tuple[str, str]]:
    """Pairs of extra and requirement; what is required without an extra is the base."""
    for text in metadata.requires(DISTRIBUTION) or []:
        marker = Requirement(text).marker
        if marker is None or marker.evaluate({"extra": BASE}):
            yield BASE, text
            continue
        yield from ((extra, text) for extra in EXTRAS[1:] if marker.evaluate({"extra": extra}))
