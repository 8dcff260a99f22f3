"""The packages that srn-deploy requires, from the setup.cfg of its checkout or else from its metadata."""

from __future__ import annotations

import configparser
from collections.abc import Iterator
from importlib import metadata

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

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
