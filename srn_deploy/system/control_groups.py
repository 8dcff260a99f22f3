"""The control groups of this process: what a container, a batch system or a service manager lets it have."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
"""Where control groups are mounted: version 2 here, or in `unified/`; of version 1 one folder for each controller."""

TABLE = Path("/proc/self/cgroup")
"""The groups of this process: a line `number:controllers:path` each; version 2 names no controllers."""


def groups_with(controller: str) -> tuple[Path, ...]:
    """Folders of every group that limits this process by a controller, from its own to the outermost.

    The limits of all of them hold. A container often sees only its own group, mounted as if it were the outermost one,
    while the table names its path on the host: folders of that path do not exist then. Without control groups there are
    none. They are looked for once: a process stays in its groups, while their limits may change.
    """
    return _found(controller, TABLE, ROOT)


@functools.cache
def _found(controller: str, table: Path, root: Path) -> tuple[Path, ...]:
    try:
        lines = table.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ()
    return tuple(folder for line in lines for folder in _of_line(line, controller, root) if folder.is_dir())


def _of_line(line: str, controller: str, root: Path) -> Iterator[Path]:
    """Where the group of one line of the table and those around it would be."""
    _, controllers, path = (*line.split(":", 2), "", "")[:3]
    if controllers and controller not in controllers.split(","):
        return
    for top in _mounts(controller, controllers, root) if controllers else (root, root / "unified"):
        group = top / path.lstrip("/")
        yield from (folder for folder in (group, *group.parents) if folder.is_relative_to(top))


def _mounts(controller: str, controllers: str, root: Path) -> set[Path]:
    """Where version 1 may be mounted: under all its controllers, in either order of them, or under one."""
    return {root / controller, root / controllers, root / ",".join(reversed(controllers.split(",")))}
