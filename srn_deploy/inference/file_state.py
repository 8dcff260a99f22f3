"""What tells whether a file is still the same, and its name as a document can hold it."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class FileState:
    """What tells whether a file is still the same."""

    bytes: int
    modified_ns: int


def plain_text(text: str) -> str:
    """Text without the bytes of a file name that is not valid text, which no JSON can hold."""
    return text.encode(errors="replace").decode()


def state_of(path: Path) -> FileState | None:
    """Size and time of a file; None for one that is gone, and for what is no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return FileState(bytes=found.st_size, modified_ns=found.st_mtime_ns) if stat.S_ISREG(found.st_mode) else None
