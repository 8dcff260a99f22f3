"""Files on their way here and files that came: each stays while a tab has it, and is removed after that."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from srn_deploy.web.access import Application, Receive, Scope, Send

ADDRESS = "/gradio_api/upload"

CLAIM_WITHIN_S = 60
"""A tab says which files it has as soon as they came; one that has not by then was closed meanwhile."""

_DIGEST_LENGTH = 64
"""Of the names of the folders in which Gradio keeps files: the SHA-256 of what is in them."""

_Identity = tuple[int, int]


class Uploads:
    """The folder in which Gradio keeps files while they are sent; whole ones lie in folders inside it.

    Equal files of two tabs are one file on the disk, which is replaced when it is sent again: it is another one from
    then on, and is not removed with the tab that had the first. May be used on any thread.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._under_way = 0
        self._used = set[Path]()
        self._claimed: dict[Path, _Identity] = {}
        self._unclaimed: dict[tuple[Path, _Identity], float] = {}

    def watched(self, application: Application) -> Application:
        """The application, after whose uploads the folder is tidied."""
        async def watching(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http" or scope["path"] != ADDRESS:
                await application(scope, receive, send)
                return
            with self._lock:
                self._under_way += 1
            try:
                await application(scope, receive, send)
            finally:
                with self._lock:
                    self._under_way -= 1
                    self._tidy()

        return watching

    def claim(self, paths: Iterable[Path]) -> None:
        """Remember that a tab has these files."""
        with self._lock:
            for path in paths:
                if path.parent.parent == self._folder and (identity := _identity(path)) is not None:
                    self._claimed[path] = identity

    def keep_only(self, used: set[Path]) -> None:
        """Remove what came and is not used, parts of files that never came whole, and Gradio's empty ones."""
        with self._lock:
            self._used = used
            self._tidy()

    def _tidy(self) -> None:
        if self._under_way:  # what is there may be part of it; the folder is tidied when it has come
            return
        for path in self._folder.iterdir():
            if path.is_file():
                _remove(path)
        for path in self._claimed.keys() - self._used:
            if _identity(path) == self._claimed.pop(path):
                _remove(path)
        self._remove_unclaimed()

    def _remove_unclaimed(self) -> None:
        now = time.monotonic()
        self._unclaimed = {found: self._unclaimed.get(found, now) for found in self._found_unclaimed()}
        for (path, _), since in self._unclaimed.items():
            if now - since > CLAIM_WITHIN_S:
                _remove(path)

    def _found_unclaimed(self) -> Iterator[tuple[Path, _Identity]]:
        for folder in self._folder.iterdir():
            if len(folder.name) == _DIGEST_LENGTH:
                for path in folder.iterdir():
                    if path not in self._claimed and (identity := _identity(path)) is not None:
                        yield path, identity


def _identity(path: Path) -> _Identity | None:
    """What tells a file from another one of its name; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _remove(path: Path) -> None:
    """A file, and the folder that is empty without it."""
    with suppress(OSError):
        path.unlink(missing_ok=True)
        path.parent.rmdir()
