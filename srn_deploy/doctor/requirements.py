"""The packages that srn-deploy requires, from the setup.cfg of its checkout or else from its metadata.

And whether those that are installed fit together.
"""

from __future__ import annotations

import configparser
from collections import defaultdict
from collections.abc import Iterator
from importlib import metadata

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from srn_deploy.doctor.conflicts import Conflict
from srn_deploy.doctor.fixes import CHECKOUT
from srn_deploy.doctor.packages import BASE, DISTRIBUTION, EXTRAS, Package, installed_version


def read_requirements() -> list[Package]:
    """The required packages, each once.

    Raises PackageNotFoundError where there is neither a checkout nor metadata.
    """
    found: dict[str, Package] = {}
    for extra, requirement in _own_requirements():
        name = canonicalize_name(requirement.name)
        if name == DISTRIBUTION or name in found:
            continue
        installed = installed_version(name)
        fits = bool(installed) and requirement.specifier.contains(installed, prereleases=True)
        found[name] = Package(name=name, extra=extra, requirement=_as_typed(requirement), installed=installed,
                              fits=fits)
    return list(found.values())


def read_conflicts() -> list[Conflict]:
    """Installed packages whose version one of the others does not take.

    Looked at are those that srn-deploy needs with any of its extras for users, and what these need in turn; what is not
    installed contradicts nothing. Raises PackageNotFoundError where there is neither a checkout nor metadata.
    """
    asked = defaultdict[str, list[tuple[str, Requirement]]](list)
    to_do = [(f"{DISTRIBUTION}[{extra}]" if extra else DISTRIBUTION, needed) for extra, needed in _own_requirements()]
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
    against = [one for one in asked if not one[1].specifier.contains(installed, prereleases=True)]
    if not against:
        return None
    bounds = sorted({str(bound) for _, requirement in asked for bound in requirement.specifier}, reverse=True)
    suits_all = _is_possible(SpecifierSet(",".join(bounds)))
    named = against if suits_all else [one for one in asked if one[1].specifier]
    return Conflict(name=name, installed=installed,
                    asked=sorted({f"{asker} for {_as_typed(requirement)}" for asker, requirement in named}),
                    requirement=name + ",".join(bounds) if suits_all else "",
                    holders=sorted({asker.split()[0] for asker, _ in named if not asker.startswith(DISTRIBUTION)}))


def _is_possible(bounds: SpecifierSet) -> bool:
    """Whether a version can lie within bounds: the lowest of all, one that they name, or one just above it."""
    named = ["0", *(bound.version.removesuffix(".*") for bound in bounds)]
    return any(bounds.contains(f"{version}{above}", prereleases=True) for version in named for above in ("", ".0.0.1"))


def _own_requirements() -> list[tuple[str, Requirement]]:
    """What srn-deploy requires here, with the extra, in the order of the extras; what is for other platforms is not."""
    written = sorted(_of_checkout() if CHECKOUT else _of_metadata(), key=lambda pair: EXTRAS.index(pair[0]))
    found = [(extra, Requirement(text)) for extra, text in written]
    return [(extra, one) for extra, one in found if one.marker is None or one.marker.evaluate({"extra": extra})]


def _as_typed(requirement: Requirement) -> str:
    """The requirement with its lower bound first; metadata has the bounds in any order."""
    return requirement.name + ",".join(sorted(map(str, requirement.specifier), reverse=True))


def _of_checkout() -> list[tuple[str, str]]:
    """Pairs of extra and requirement; the metadata of an editable installation may be older than its setup.cfg."""
    written = configparser.ConfigParser()
    written.read(f"{CHECKOUT}/setup.cfg", encoding="utf-8")
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
