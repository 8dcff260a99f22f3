"""A folder that one process at a time may write to: a lock, and a note of who holds it."""

from __future__ import annotations

import errno
import json
import logging
import os
import platform
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from srn_deploy.errors import SrnDeployError
from srn_deploy.system.atomic import replacing
from srn_deploy.system.documents import read_json, to_builtins
from srn_deploy.system.locks import is_locked, lock_path, try_to_lock

NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}
"""Error numbers of file systems without locks."""

_NAME = "run"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who holds a folder."""

    process: int
    host: str

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}"


class HeldFolder:
    """A folder that this process can hold, until `release` or until it ends in any way.

    as_error: makes the error to raise where another process holds the folder, from words such as "process 12 on host".
    The lock is that of the file system, which a network file system passes on to other hosts if it has locks. Where it
    has none, only a running process of this host is noticed, and a warning says so.
    """

    def __init__(self, folder: Path, as_error: Callable[[str], SrnDeployError]) -> None:
        self._folder, self._as_error = folder, as_error
        self._lock = lock_path(folder, _NAME)
        self._note = self._lock.with_suffix(".json")
        self._held = ExitStack()

    def check_free(self) -> None:
        """Raise the error where another holds the folder now. Makes no file."""
        try:
            held = is_locked(self._lock)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            held = self._is_of_running_process()
        if held:
            raise self._busy()

    def acquire(self) -> None:
        """Hold the folder, which is made if it is missing; raises the error where another holds it, and OSError."""
        try:
            lock = try_to_lock(self._lock)
        except OSError as error:
            if error.errno not in NO_LOCKS:
                raise
            if self._is_of_running_process():
                raise self._busy() from error
            _log.warning("The file system of %s has no locks: make sure that no other host writes to it.", self._folder)
        else:
            if lock is None:
                raise self._busy()
            self._held.callback(lock.release)
        self._warn_of_another_host()
        with replacing(self._note) as temporary:
            holder = Holder(process=os.getpid(), host=platform.node())
            temporary.write_text(json.dumps(to_builtins(holder)) + "\n", encoding="utf-8")
        self._held.callback(self._remove_note)

    def release(self) -> None:
        """Let others have the folder; harmless where it is not held."""
        self._held.close()

    def _busy(self) -> SrnDeployError:
        holder = self._holder()
        return self._as_error(str(holder) if holder else "another process")

    def _holder(self) -> Holder | None:
        try:
            return read_json(self._note, Holder, self._as_error)
        except SrnDeployError:  # no note yet, or not a whole one: the lock alone decides
            return None

    def _is_of_running_process(self) -> bool:
        holder = self._holder()
        if holder is None or holder.host != platform.node():
            return False
        try:
            os.kill(holder.process, 0)
        except PermissionError:
            return True
        except (OSError, OverflowError):
            return False
        return True

    def _warn_of_another_host(self) -> None:
        holder = self._holder()
        if holder is not None and holder.host != platform.node():
            _log.warning("%s was last held by %s, which did not say that it ended: make sure that it did.",
                         self._folder, holder)

    def _remove_note(self) -> None:
        with suppress(OSError):
            self._note.unlink(missing_ok=True)
