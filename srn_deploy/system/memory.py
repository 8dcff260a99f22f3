"""How much memory this process may still take, and sizes of memory as people write them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from srn_deploy.errors import OptionError
from srn_deploy.system.control_groups import groups_with

_LIMITS = (("memory.max", "memory.current", "inactive_file"),
           ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"))
"""Files of control groups, versions 2 and 1: limit, use, and the part of the use that can be reclaimed."""

_UNITS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}

_SIZE = re.compile(r"(\d+(?:\.\d+)?|\.\d+) ?([KMGT]?)(?:i?B)?", re.ASCII | re.IGNORECASE)


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


def parsed_size(text: str) -> int:
    """Bytes of a size as in "4G", "1.5 GiB", "800MB" or "65536"; a K is 1024 bytes, whatever follows it.

    Raises OptionError for another unit, for what is not a number, and for less than one byte.
    """
    found = _SIZE.fullmatch(text.strip())
    size_bytes = int(float(found[1]) * 1024 ** _UNITS[found[2].upper()]) if found else 0
    if size_bytes < 1:
        raise OptionError(f"{text!r} is not a size of memory.", remedy="Write a number of bytes, or one with K, M, G "
                          "or T, as in 4G.")
    return size_bytes


def size_in_words(size_bytes: float) -> str:
    """As in "1.5 GiB", "20 MiB" or "12 KiB"."""
    for unit, least in (("GiB", 2**30), ("MiB", 2**20)):
        if size_bytes >= least:
            return f"{size_bytes / least:.{1 if size_bytes < 10 * least else 0}f} {unit}"
    return f"{size_bytes / 2**10:.0f} KiB" if size_bytes >= 2**10 else f"{size_bytes:.0f} bytes"
