"""What the CPU is and what it computes fast besides FP32, as far as the system says."""

from __future__ import annotations

import platform
from pathlib import Path

_FLAGS = {"BF16": {"avx512_bf16", "amx_bf16", "bf16"}, "VNNI": {"avx512_vnni", "avx_vnni"},
          "AMX": {"amx_bf16", "amx_int8"}}
"""Feature to the flags of Linux that mean it; `bf16` is ARM's."""


def cpu_features(info: Path = Path("/proc/cpuinfo")) -> dict[str, bool] | None:
    """Whether the CPU has BF16, VNNI (products of INT8) and AMX (matrices of both); None where it is not known."""
    try:
        lines = info.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    named = (line.partition(":") for line in lines)
    flags = next((rest.split() for name, _, rest in named if name.strip() in ("flags", "Features")), None)
    return None if flags is None else {feature: not known.isdisjoint(flags) for feature, known in _FLAGS.items()}


X86 = ("x86_64", "AMD64")
"""Names of the architecture of x86 on Linux and Windows."""


def why_int8_is_worse_here() -> str:
    """A clause for an INT8 graph that loses much on an x86 CPU which is known to have no VNNI; empty on others."""
    if platform.machine() not in X86 or (cpu_features() or {}).get("VNNI", True):
        return ""
    return "this CPU has no VNNI instructions, and without them sums of 8-bit products can overflow"


def cpu_name(info: Path = Path("/proc/cpuinfo")) -> str:
    """The model as the system reports it; the kind of processor where it does not."""
    lines = info.read_text(encoding="utf-8").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
