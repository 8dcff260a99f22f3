"""What the probes report, as classes; a report goes from its subprocess to the doctor as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class VersionReport:
    """A library that was loaded."""

    version: str
    """Empty where the library does not say."""


@dataclass(frozen=True, kw_only=True)
class GpuReport:
    """One GPU that the driver sees."""

    name: str
    free_bytes: int
    """0: the driver does not report it."""


@dataclass(frozen=True, kw_only=True)
class DriverReport:
    """The NVIDIA driver."""

    reason: str
    """Why no GPU can be used; empty where one can."""
    version: str = ""
    """Empty where the driver does not say."""
    cuda: str = ""
    """The newest CUDA version that it supports."""
    gpus: Sequence[GpuReport] = ()


@dataclass(frozen=True, kw_only=True)
class GraphReport:
    """The tiny graph ran."""

    runtime: str


@dataclass(frozen=True, kw_only=True)
class OpenVinoReport:
    """The tiny graph ran on OpenVINO."""

    no_bf16: str
    """Why OpenVINO does not compute in BF16 on this CPU; empty where it does."""


@dataclass(frozen=True, kw_only=True)
class CudaLibrariesReport:
    """The shared libraries of ONNX Runtime's CUDA provider."""

    cuda: str
    """The version it was built for; empty for a build without CUDA."""
    names: Sequence[str]
    """File names; empty where they are not checked on this system."""
    missing: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class TorchReport:
    """PyTorch, imported and tried on the GPU."""

    version: str
    cuda: str
    """The version it was built for; empty for a build for the CPU."""
    reason: str
    """Why it cannot use a GPU; empty where it can, and for a CPU build on a machine with a GPU."""


@dataclass(frozen=True, kw_only=True)
class PycudaReport:
    """PyCUDA, which opened the GPU."""

    reason: str
    """Why there was no GPU to open; empty where there was one."""


@dataclass(frozen=True, kw_only=True)
class EnginesReport:
    """The engines in the cache."""

    engines: Mapping[str, str]
    """File name to why the engine does not run here; empty where it does."""
