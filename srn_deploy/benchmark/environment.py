"""What a measurement depends on: machine, versions, load, and the state of the GPU."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from srn_deploy.system.cpu_features import cpu_name
from srn_deploy.system.cuda_driver import why_no_gpu
from srn_deploy.system.documents import to_builtins
from srn_deploy.system.installed import installed_versions
from srn_deploy.system.threads import usable_cores

_LIBRARIES = ("srn-deploy", "numpy", "onnxruntime", "openvino", "torch", "opencv")

_EXPECTED_TO_DIFFER = {"date", "load_1min", "after", "ceilings"}
"""Two runs on one machine differ in these."""

NARROW = ("bf16", "int8")
"""Precisions whose ceiling on a CPU is above that of FP32."""


class Ceilings(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The most that a machine was seen to do; 0 is unknown."""

    gflops: float = 0.0
    """In FP32 on a CPU, in FP16 on a GPU."""
    gbytes_per_s: float = 0.0
    narrow_gflops: dict[str, float] = {}
    """On a CPU: narrower precision, as bf16 or int8, to the product in it, where that was measured."""

    @property
    def are_known(self) -> bool:
        """Whether they were measured."""
        return self.gflops > 0 and self.gbytes_per_s > 0

    def of(self, precision: str) -> float:
        """GFLOP/s of the product in a precision; 0 is unknown. A CPU computes FP16 in FP32."""
        return self.narrow_gflops.get(precision, 0.0 if precision in NARROW else self.gflops)

    def larger(self, other: Ceilings) -> Ceilings:
        """The larger of two measurements: a busy machine shows too little."""
        narrow = {name: max(self.narrow_gflops.get(name, 0.0), other.narrow_gflops.get(name, 0.0))
                  for name in {**self.narrow_gflops, **other.narrow_gflops}}
        return Ceilings(gflops=max(self.gflops, other.gflops),
                        gbytes_per_s=max(self.gbytes_per_s, other.gbytes_per_s), narrow_gflops=narrow)


class GpuState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The first GPU at one moment. None: not known."""

    gpu: str
    """Its name, or `none: ` and the reason."""
    driver: str | None = None
    sm_clock_mhz: int | None = None
    memory_clock_mhz: int | None = None
    temperature_c: int | None = None
    gpu_throttled_by: list[str] | None = None
    gpu_state: str | None = None
    """Why clocks and temperature are not known."""


class Environment(GpuState, frozen=True, kw_only=True, omit_defaults=True):
    """What a measurement depends on, and nothing that identifies the machine.

    memory_gib and load_1min are None where the system does not report them.
    """

    date: str
    """UTC, as 2026-01-31."""
    cpu: str
    logical_cores: int
    threads: int
    """How many the measured program was given."""
    memory_gib: int | None
    load_1min: float | None
    """Before measuring: what else was running."""
    gpu: str
    system: str
    python: str
    versions: dict[str, str]
    after: GpuState | None = None
    """When the last pass had ended."""
    ceilings: Ceilings | None = None


def current_environment(*, threads: int) -> Environment:
    """The environment at this moment; call it before measuring, because load_1min counts the measurement as well.

    threads: how many the measured program is given.
    """
    return Environment(
        date=datetime.now(UTC).date().isoformat(),
        cpu=cpu_name(),
        logical_cores=usable_cores(),
        threads=threads,
        memory_gib=_memory_gib(),
        load_1min=round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        gpu=f"none: {reason}" if (reason := why_no_gpu()) else "present",
        system=_system_name(),
        python=platform.python_version(),
        versions=installed_versions(_LIBRARIES),
    )


def with_gpu(environment: Environment, state: GpuState) -> Environment:
    """The environment with what is known of the GPU in more detail."""
    return msgspec.structs.replace(environment, **msgspec.structs.asdict(state))


def differences(before: Environment, after: Environment) -> list[str]:
    """Fields that are not the same, as `name: before -> after`; the date and the load are left out."""
    first, second = _fields(before), _fields(after)
    names = [name for name in {**first, **second} if name not in _EXPECTED_TO_DIFFER]
    return [f"{name}: {first.get(name)} -> {second.get(name)}" for name in names if first.get(name) != second.get(name)]


def _fields(environment: Environment) -> Mapping[str, object]:
    fields: Mapping[str, object] = to_builtins(environment)
    return fields


def _memory_gib() -> int | None:
    if not hasattr(os, "sysconf"):
        return None
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)


def _system_name() -> str:
    """The distribution on Linux, without the kernel's build: that can name its maker."""
    try:
        return f"{platform.freedesktop_os_release()['PRETTY_NAME']} ({platform.machine()})"
    except (OSError, KeyError):
        return f"{platform.system()} ({platform.machine()})"
