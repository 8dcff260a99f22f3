"""One process at a time: locks on files, which the operating system frees even when their holder is killed."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from srn_deploy.system.folders import make_folder

if TYPE_CHECKING:
    from filelock import BaseFileLock

LOCKS_FOLDER = ".locks"

_log = logging.getLogger(__name__)


def lock_path(folder: Path, name: str) -> Path:
    """Where the lock of something in a folder is: `.locks/NAME.lock`. The file is empty and stays."""
    return folder / LOCKS_FOLDER / f"{name}.lock"


@contextmanager
def locked(path: Path, *, busy: str) -> Iterator[None]:
    """Hold a lock while the block runs; the lock file and missing folders are made.

    busy: a sentence that is logged when another process holds the lock. There is no limit to the waiting, because
    builds and downloads take as long as they take; Ctrl-C ends it. Raises OSError where the file cannot be made or
    its file system has no locks.
    """
    lock = _lock(path)
    make_folder(path.parent)
    if not _try_to_acquire(lock):
        _log.info(busy)
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def is_locked(path: Path) -> bool:
    """Whether another holds the lock now; a lock file that does not exist is free. Raises OSError as `locked` does."""
    if not path.exists():
        return False
    lock = _lock(path)
    if not _try_to_acquire(lock):
        return True
    lock.release()
    return False


def try_to_lock(path: Path) -> BaseFileLock | None:
    """Take a lock now, or None where another has it; the caller releases it. Raises OSError as `locked` does."""
    lock = _lock(path)
    make_folder(path.parent)
    return lock if _try_to_acquire(lock) else None


def _lock(path: Path) -> BaseFileLock:
    from filelock import FileLock  # here, because most commands take no lock

    return FileLock(path)


def _try_to_acquire(lock: BaseFileLock) -> bool:
    from filelock import Timeout

    try:
        lock.acquire(blocking=False)
    except Timeout:
        return False
    except NotImplementedError as error:  # how older versions of filelock report it
        raise OSError(errno.ENOLCK, "Its file system has no locks") from error
    return True
