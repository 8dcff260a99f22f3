"""The two runtimes that build and run engines, TensorRT and TensorRT-RTX, behind one interface.

Their Python APIs are the same but for a few names. tests/test_engine_api.py runs this package on stand-ins that have
exactly the names of each supported version.
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


class Runtime(StrEnum):
    """What builds and runs an engine; a plan of one does not run on the other."""

    TENSORRT = "tensorrt"
    TENSORRT_RTX = "tensorrt-rtx"


MODULES = {Runtime.TENSORRT: "tensorrt", Runtime.TENSORRT_RTX: "tensorrt_rtx"}

TITLES = {Runtime.TENSORRT: "TensorRT", Runtime.TENSORRT_RTX: "TensorRT-RTX"}

SUPPORTED = {Runtime.TENSORRT: ((10, 15), (12, 0)), Runtime.TENSORRT_RTX: ((1, 0), (2, 0))}
"""The first supported version, and the first that is not supported any more."""


@dataclass(frozen=True, kw_only=True)
class Library:
    """The imported Python module of a runtime."""

    runtime: Runtime
    trt: Any
    """The module `tensorrt` or `tensorrt_rtx`."""

    @property
    def version(self) -> str:
        """As the module reports it."""
        return str(self.trt.__version__)

    @property
    def title(self) -> str:
        """Name and version for messages, as in `TensorRT 11.4.0`."""
        return f"{TITLES[self.runtime]} {self.version}"

    def target(self, compute_capabilities: tuple[str, ...]) -> str:
        """Where a plan that is built here may run, as part of its identity."""
        if self.runtime is Runtime.TENSORRT_RTX:
            return ", ".join(compute_capabilities) or "the default GPUs of TensorRT-RTX"
        return f"{gpu_name()}; {self.system()}"

    @staticmethod
    def system() -> str:
        """Operating system and processor, as in `Linux x86_64`: a plan runs on no other."""
        return f"{platform.system()} {platform.machine()}"


def open_library(runtime: str, what: str = "Building an engine") -> Library:
    """Import the module of a runtime and check its version.

    runtime: `tensorrt`, `tensorrt-rtx`, or `auto`, which is TensorRT where it is installed and there is a GPU, else
    TensorRT-RTX. what: what the runtime is needed for, for the error message.

    Raises OptionError for another name, MissingPackage, DeviceUnavailable (TensorRT builds on the GPU that it will run
    on) and EngineNotBuilt for an unsupported version. The driver is asked first: without one TensorRT crashes.
    """
    chosen = _chosen(runtime)
    if chosen is Runtime.TENSORRT and (reason := why_no_gpu()):
        raise DeviceUnavailable(f"TensorRT builds on the GPU that it will run on: {reason}.",
                                remedy="Build there, or use --runtime tensorrt-rtx, which builds without a GPU.")
    try:
        module = importlib.import_module(MODULES[chosen])
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and error.name == MODULES[chosen]:
            raise missing_package(chosen, what, extra=chosen) from error
        raise EngineNotBuilt(f"{chosen} is installed but cannot be loaded: {error}.",
                             remedy=f"Install it again: pip install --force-reinstall '.[{chosen}]'") from error
    library = Library(runtime=chosen, trt=module)
    _check_version(library)
    return library


def _chosen(runtime: str) -> Runtime:
    if runtime != "auto":
        try:
            return Runtime(runtime)
        except ValueError as error:
            raise OptionError(f"There is no runtime {runtime!r}.",
                              remedy=f"Use auto, {' or '.join(Runtime)}.") from error
    has_tensorrt = importlib.util.find_spec(MODULES[Runtime.TENSORRT]) is not None
    return Runtime.TENSORRT if has_tensorrt and not why_no_gpu() else Runtime.TENSORRT_RTX


def _check_version(library: Library) -> None:
    first, end = SUPPORTED[library.runtime]
    parts = library.version.split(".")
    found = tuple(int(part) for part in parts[:2] if part.isdecimal())
    if not first <= found < end:
        raise EngineNotBuilt(f"{library.runtime} {library.version} is not supported.",
                             remedy=f"Install a version from {'.'.join(map(str, first))} to below {end[0]}: "
                                    f"pip install '.[{library.runtime}]'")
