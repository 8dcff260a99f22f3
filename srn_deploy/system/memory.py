"""How much memory this process may still take."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from srn_deploy.system.control_groups import groups_with

_LIMITS = (("memory.max", "memory.current", "inactive_file"),
           ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"))
"""Files of control groups, versions 2 and 1: limit, use, and the part of the use that can be reclaimed."""


def available_bytes() -> int | None:
    """Memory available to this process in bytes, within the limits of its control groups; None where unknown."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    left = [free_bytes for group in groups_with("memory") for free_bytes in left_in(group)]
    fields = {name: int(rest.split()[0]) * 1024 for name, _, rest in (line.partition(":") for line in lines)}
    return min([fields.get("MemAvailable", fields["MemFree"]), *left])


def left_in(folder: Path) -> Iterator[int]:
    """Memory that a control group leaves free."""
    for limit, use, spare in _LIMITS:
        try:
            most, used = (int((folder / name).read_text(encoding="utf-8")) for name in (limit, use))
            stat = dict(line.split() for line in (folder / "memory.stat").read_text(encoding="utf-8").splitlines())
        except (OSError, ValueError):  # no such group, or no limit: "max"
            continue
        yield max(0, most - used + int(stat.get(spare, 0)))
