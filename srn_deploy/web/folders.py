"""The folders of a page: everything that is sent to it and made by it, removed when it is no longer used."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from srn_deploy.system.locks import is_locked, lock_path, try_to_lock

PREFIX = "srn-deploy-web-"

_LOCK = "page"


@contextmanager
def private_folder(parent: Path | None = None) -> Iterator[Path]:
    """Yield a new folder that only this user can read, and remove it with all that is in it when the block ends.

    parent: the folder it is made in; by default that of the system for temporary files. Folders of pages that were
    killed are removed first: those whose lock nobody holds.
    """
    parent = Path(tempfile.gettempdir()) if parent is None else parent
    _remove_abandoned(parent)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent)).resolve()
    lock = None
    with suppress(OSError):  # a file system without locks: then nobody removes it but this process
        lock = try_to_lock(lock_path(folder, _LOCK))
    try:
        yield folder
    finally:
        if lock is not None:
            lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def _remove_abandoned(parent: Path) -> None:
    for folder in parent.glob(f"{PREFIX}*"):
        lock = lock_path(folder, _LOCK)
        with suppress(OSError):  # another user's
            # Without its lock it was made a moment ago, or cannot be judged.
            if not folder.is_symlink() and lock.is_file() and not is_locked(lock):
                shutil.rmtree(folder, ignore_errors=True)
