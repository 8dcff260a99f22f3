"""Which libraries are installed, and in which versions, without importing them."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from srn_deploy.errors import MissingPackage, missing_package

_DISTRIBUTIONS = {
    "onnxruntime": ("onnxruntime-gpu", "onnxruntime"),
    "opencv": ("opencv-python-headless", "opencv-python"),
    "tensorrt": ("tensorrt", "tensorrt-cu13", "tensorrt-cu12"),
}
"""Library to the names under which it may be installed, where that is not its own."""


def need_packages(modules: Iterable[str], what: str, *, extra: str = "torch",
                  named: Mapping[str, str] = MappingProxyType({})) -> None:
    """Raise MissingPackage, before anything is imported, for the first module that is not installed.

    what: needs them, as the beginning of a sentence. extra: installs them. named: module to the name of its package,
    where that is another one.
    """
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise missing_package(named.get(module, module), what, extra=extra)


def installed_versions(libraries: Iterable[str]) -> dict[str, str]:
    """Library to version, of those that are installed."""
    return {library: version for library in libraries if (version := _version(library))}


def own_version() -> str:
    """The version of srn-deploy that is installed; raises MissingPackage where it runs without being installed."""
    version = _version("srn-deploy")
    if version is None:
        raise MissingPackage("srn-deploy runs without being installed, and its version is not known.",
                             remedy="In the checkout run: pip install .")
    return version


def _version(library: str) -> str | None:
    from importlib import metadata  # here, because every command starts with `need_packages` at hand

    for name in _DISTRIBUTIONS.get(library, (library,)):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None
