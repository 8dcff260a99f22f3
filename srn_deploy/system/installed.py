"""Which versions of libraries are installed, without importing them."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import metadata

from srn_deploy.errors import MissingPackage

_DISTRIBUTIONS = {
    "onnxruntime": ("onnxruntime-gpu", "onnxruntime"),
    "opencv": ("opencv-python-headless", "opencv-python"),
    "tensorrt": ("tensorrt", "tensorrt-cu13", "tensorrt-cu12"),
}
"""Library to the names under which it may be installed, where that is not its own."""


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
    for name in _DISTRIBUTIONS.get(library, (library,)):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None
