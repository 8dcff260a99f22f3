"""Files that are whole or absent: write beside the target, then rename."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

TEMPORARY_MARK = ".srn-part-"
"""How every temporary name begins, so that a search for pictures can pass them over."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; it becomes `path` when the block ends well.

    On any exception, Ctrl-C included, the temporary file is removed and `path` is left as it was.
    The suffix is kept, because writers choose the format by it; missing folders are made. What a
    symbolic link points to is replaced, not the link. Raises OSError, also where `path` is something
    else than a file: a rename would put a file in the place of a device.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        raise OSError(errno.EEXIST, "It is no file", str(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f"{TEMPORARY_MARK}{secrets.token_hex(6)}{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, target)
    except BaseException:
        with suppress(OSError):  # the first error is the one to tell
            temporary.unlink(missing_ok=True)
        raise
