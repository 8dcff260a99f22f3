"""Files that are whole or absent: written next to the target, then renamed."""

from __future__ import annotations

import errno
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from srn_deploy.system.folders import make_folder

if sys.platform != "win32":
    import fcntl

DISK_IS_FULL = {errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)}
"""Error numbers of a full disk and of an exhausted quota."""

TEMPORARY_MARK = ".srn-part-"
"""Every temporary name starts with this, so that a search for images can skip them."""

_NEW = ".new"
"""Part of the name of every temporary file, between the name of its lock and its suffix."""

_LONGEST_SUFFIX_BYTES = 32
"""No format has a longer suffix, but what follows the last dot of a name can be as long as the name."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder, which is renamed to `path` when the block ends without an exception.

    On any exception, Ctrl-C included, the temporary file is removed and `path` is left as it was. The temporary name
    has the suffix of `path`, because writers choose the format by it; missing folders are made. A symbolic link is
    followed: its target is replaced. The content is synced to the disk before the rename, so that a power cut leaves
    no partial file. Raises OSError, also where `path` exists and is not a file: a rename would replace a device.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        raise OSError(errno.EEXIST, "It is not a file", str(path))
    make_folder(target.parent)
    lock = target.with_name(f"{TEMPORARY_MARK}{secrets.token_hex(6)}")
    suffix = path.suffix if len(os.fsencode(path.suffix)) <= _LONGEST_SUFFIX_BYTES else ""
    temporary = lock.with_name(f"{lock.name}{_NEW}{suffix}")
    with _held(lock):
        try:
            yield temporary
            _store(temporary)
            os.replace(temporary, target)
        except BaseException:
            with suppress(OSError):  # the first error is the one to report
                temporary.unlink(missing_ok=True)
            raise


def sweep(folder: Path) -> None:
    """Remove the temporary files of writers that were killed; those of running writers, in any process, stay.

    Where there are no locks (Windows, some network file systems) the two cannot be told apart, and all stay.
    """
    try:
        names = [path.name for path in folder.iterdir() if path.name.startswith(TEMPORARY_MARK)]
    except (OSError, ValueError):  # no such folder, or no permission; ValueError: a NUL in its name
        return
    for lock in (name for name in names if _NEW not in name):
        _remove_if_free(folder / lock, [folder / name for name in names if name.startswith(lock + _NEW)])


@contextmanager
def _held(lock: Path) -> Iterator[None]:
    """Hold the lock of one temporary file while the block runs; the kernel releases it when the process dies.

    `fcntl` and not `filelock`: the lock must be created exclusively and removed with the file it stands for, its
    absence must not be an error where the file system has no locks, and a sweep must never follow a link or block on
    a pipe of that name. On Windows nothing is swept, so nothing is locked.
    """
    if sys.platform == "win32":
        yield
        return
    # A lock next to the file, not on it: some writers replace the file they were given.
    file = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with suppress(OSError):  # no locks on this file system: then nothing is swept either
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        with suppress(OSError):
            lock.unlink(missing_ok=True)
        os.close(file)


def _remove_if_free(lock: Path, files: list[Path]) -> None:
    """Remove files and then their lock if no process holds it; what cannot be removed stays."""
    if sys.platform == "win32":
        return
    with suppress(OSError):
        file = os.open(lock, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for path in (*files, lock):  # the lock last: files without a lock would stay for ever
                path.unlink(missing_ok=True)
        finally:
            os.close(file)


def _store(file: Path) -> None:
    """Sync the content of a file to the disk."""
    handle = os.open(file, os.O_RDWR | getattr(os, "O_BINARY", 0))
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
