"""A file that is read in parts over a long time, and must not change meanwhile."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from srn_deploy.errors import UnreadableImage


class Stamp(NamedTuple):
    """What shows that a file was not changed."""

    device: int
    inode: int
    size_bytes: int
    modified_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        """That of a file."""
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


class SourceFile:
    """An open file, of which slices can be taken as of bytes; whoever opens it closes it.

    stamp: of an earlier time, from which on the file must not have changed. Raises UnreadableImage where it cannot be
    read or has changed, and so does every slice.
    """

    def __init__(self, path: Path, stamp: Stamp | None = None) -> None:
        self.path = path
        try:
            self._file = path.open("rb", buffering=0)
        except (OSError, ValueError) as error:  # ValueError: a path with a NUL character
            raise (_vanished(path) if stamp is not None and isinstance(error, FileNotFoundError) else
                   _unreadable(path, error)) from error
        self.stamp = stamp or Stamp.of(os.fstat(self._file.fileno()))
        if stamp is not None:
            try:
                self.check()
            except UnreadableImage:
                self.close()
                raise

    def check(self) -> None:
        """Raise UnreadableImage if the file was changed, replaced or removed."""
        try:
            now = Stamp.of(self.path.stat())
        except FileNotFoundError as error:
            raise _vanished(self.path) from error
        except OSError as error:
            raise _unreadable(self.path, error) from error
        if now != self.stamp:
            grew = now.size_bytes - self.stamp.size_bytes
            how = f"grew by {grew:,} bytes" if grew > 0 else f"shrank by {-grew:,} bytes" if grew else "was changed"
            raise UnreadableImage(f"{self.path} {how} while it was read.",
                                  remedy="Wait until the program that writes it has finished, and run it again.")

    def __len__(self) -> int:
        return self.stamp.size_bytes

    def __getitem__(self, part: slice) -> bytes:
        start, stop, _ = part.indices(len(self))
        pieces: list[bytes] = []
        try:
            self._file.seek(start)
            while start < stop and (piece := self._file.read(stop - start)):
                pieces.append(piece)
                start += len(piece)
        except OSError as error:
            raise _unreadable(self.path, error) from error
        if start < stop:
            self.check()
            raise UnreadableImage(f"{self.path} cannot be read: it ends at byte {start:,}.",
                                  remedy="Give a whole file.")
        return b"".join(pieces)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _vanished(path: Path) -> UnreadableImage:
    return UnreadableImage(f"{path} was removed or renamed while it was read.",
                           remedy="Leave images in their place until their results are written, and run it again.")


def _unreadable(path: Path, error: OSError | ValueError) -> UnreadableImage:
    return UnreadableImage(f"{path} cannot be read: {error.strerror if isinstance(error, OSError) else error}.",
                           remedy="Give the path of an image file that you may read.")
