"""Files that are whole or absent: write beside the target, then rename."""

from __future__ import annotations

import errno
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

if sys.platform != "win32":
    import fcntl

DISK_IS_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
"""Numbers of the errors that a disk or a share of it gives when it takes no more."""

TEMPORARY_MARK = ".srn-part-"
"""How every temporary name begins, so that a search for pictures can pass them over."""

_NEW = ".new"
"""Stands between the name of a lock and the suffix: what is written carries it, the lock does not."""

_LONGEST_SUFFIX_BYTES = 32
"""No format has a longer one; what follows the last dot of a name can be as long as the name."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder; it becomes `path` when the block ends well.

    On any exception, Ctrl-C included, the temporary file is removed and `path` is left as it was.
    The suffix is kept, because writers choose the format by it; missing folders are made. What a
    symbolic link points to is replaced, not the link. The content is on the disk before the name is, so
    that a power cut leaves no half file either. Raises OSError, also where `path` is something else than
    a file: a rename would put a file in the place of a device.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        raise OSError(errno.EEXIST, "It is no file", str(path))
    target.parent.mkdir(parents=True, exist_ok=True)
    lock = target.with_name(f"{TEMPORARY_MARK}{secrets.token_hex(6)}")
    suffix = path.suffix if len(os.fsencode(path.suffix)) <= _LONGEST_SUFFIX_BYTES else ""
    temporary = lock.with_name(f"{lock.name}{_NEW}{suffix}")
    with _held(lock):
        try:
            yield temporary
            _store(temporary)
            os.replace(temporary, target)
        except BaseException:
            with suppress(OSError):  # the first error is the one to tell
                temporary.unlink(missing_ok=True)
            raise


def sweep(folder: Path) -> None:
    """Remove the temporary files of writers that were killed; those of a living one, in any process, stay.

    Where locks are not to be had (Windows, some network file systems) nothing can be told, and all stay.
    """
    try:
        names = [path.name for path in folder.iterdir() if path.name.startswith(TEMPORARY_MARK)]
    except (OSError, ValueError):  # the folder is not there yet, or not ours; ValueError: a NUL in its name
        return
    for lock in (name for name in names if _NEW not in name):
        _remove_if_free(folder / lock, [folder / name for name in names if name.startswith(lock + _NEW)])


@contextmanager
def _held(lock: Path) -> Iterator[None]:
    """Hold a lock of our own while the block runs; the kernel lets go of it when the process dies."""
    if sys.platform == "win32":
        yield
        return
    # A lock beside the file, not on it: some writers put a new file in its place.
    file = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with suppress(OSError):  # no locks here: then nobody sweeps here either
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        with suppress(OSError):
            lock.unlink(missing_ok=True)
        os.close(file)


def _remove_if_free(lock: Path, files: list[Path]) -> None:
    """Remove files and then their lock, if nobody holds it; what cannot be removed stays."""
    if sys.platform == "win32":
        return
    with suppress(OSError):
        file = os.open(lock, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for path in (*files, lock):  # the lock last: files without one would be nobody's, and stay for ever
                path.unlink(missing_ok=True)
        finally:
            os.close(file)


def _store(file: Path) -> None:
    """Bring a file's content to the disk."""
    handle = os.open(file, os.O_RDWR | getattr(os, "O_BINARY", 0))
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
