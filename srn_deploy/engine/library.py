"""The two libraries that build engines, TensorRT and TensorRT-RTX, opened as one.

Their Python surfaces are the same but for a few names; tests/test_engine_api.py proves every name that
is used here against what each version has.
"""

from __future__ import annotations

import importlib
import importlib.util
import platform
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from srn_deploy.errors import DeviceUnavailable, EngineNotBuilt, OptionError, missing_package
from srn_deploy.system.cuda_driver import gpu_name, why_no_gpu


class Flavour(StrEnum):
    """Which library; plans are not interchangeable."""

    TENSORRT = "tensorrt"
    TENSORRT_RTX = "tensorrt-rtx"


MODULES = {Flavour.TENSORRT: "tensorrt", Flavour.TENSORRT_RTX: "tensorrt_rtx"}

TITLES = {Flavour.TENSORRT: "TensorRT", Flavour.TENSORRT_RTX: "TensorRT-RTX"}

SUPPORTED = {Flavour.TENSORRT: ((10, 15), (12, 0)), Flavour.TENSORRT_RTX: ((1, 0), (2, 0))}
"""From (included) to (excluded)."""


@dataclass(frozen=True, kw_only=True)
class Library:
    """An imported library that can build on this machine."""

    flavour: Flavour
    trt: Any
    """The module."""

    @property
    def version(self) -> str:
        """As the library tells it."""
        return str(self.trt.__version__)

    @property
    def title(self) -> str:
        """Name and version, for people."""
        return f"{TITLES[self.flavour]} {self.version}"

    def target(self, compute_capabilities: tuple[str, ...]) -> str:
        """Where a plan may run, for the identity."""
        if self.flavour is Flavour.TENSORRT_RTX:
            return ", ".join(compute_capabilities) or "the default GPUs of TensorRT-RTX"
        return f"{gpu_name()}; {self.system()}"

    @staticmethod
    def system() -> str:
        """Plans are of one operating system and processor."""
        return f"{platform.system()} {platform.machine()}"


def open_library(runtime: str, what: str = "Building an engine") -> Library:
    """`tensorrt`, `tensorrt-rtx`, or `auto`: TensorRT where it and a GPU are there, else TensorRT-RTX.

    what: what needs it, for the error.

    Raises MissingPackage, DeviceUnavailable (TensorRT builds on the GPU it will run on) and EngineNotBuilt
    for a version outside the supported ones. The driver is asked first: without one TensorRT crashes.
    """
    flavour = _chosen(runtime)
    if flavour is Flavour.TENSORRT and (reason := why_no_gpu()):
        raise DeviceUnavailable(f"TensorRT builds on the GPU that it will run on: {reason}.",
                                remedy="Build there, or use --runtime tensorrt-rtx, which builds without a GPU.")
    try:
        module = importlib.import_module(MODULES[flavour])
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and error.name == MODULES[flavour]:
            raise missing_package(flavour, what, extra=flavour) from error
        raise EngineNotBuilt(f"{flavour} is installed, but cannot be loaded: {error}.",
                             remedy=f"Install it anew: pip install --force-reinstall '.[{flavour}]'") from error
    library = Library(flavour=flavour, trt=module)
    _check_version(library)
    return library


def _chosen(runtime: str) -> Flavour:
    if runtime != "auto":
        try:
            return Flavour(runtime)
        except ValueError as error:
            raise OptionError(f"There is no runtime {runtime!r}.",
                              remedy=f"Use auto, {' or '.join(Flavour)}.") from error
    has_tensorrt = importlib.util.find_spec(MODULES[Flavour.TENSORRT]) is not None
    return Flavour.TENSORRT if has_tensorrt and not why_no_gpu() else Flavour.TENSORRT_RTX


def _check_version(library: Library) -> None:
    first, end = SUPPORTED[library.flavour]
    parts = library.version.split(".")
    found = tuple(int(part) for part in parts[:2] if part.isdecimal())
    if not first <= found < end:
        raise EngineNotBuilt(f"{library.flavour} {library.version} is not supported.",
                             remedy=f"Install a version from {'.'.join(map(str, first))} to below {end[0]}: "
                                    f"pip install '.[{library.flavour}]'")
