"""Folders for results: one rule for all commands. Missing ones are made when a file is written."""

from __future__ import annotations

import errno
import os
from pathlib import Path


def make_folder(folder: Path) -> None:
    """Make a folder with its parents; raises OSError whose `strerror` names what is in the way."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise OSError(errno.ENOTDIR, why_not_writable(folder) or error.strerror, str(folder)) from error


def why_no_file(path: Path) -> str:
    """Why a file cannot be written, as `why_not_writable` says it of its folder; empty where nothing is in the way.

    A file that exists is replaced, a device or a folder is not. Raises OSError for a name that is too long.
    """
    if path.exists() and not path.is_file():
        return f"{path} is a folder" if path.is_dir() else f"{path} is not a file"
    return why_not_writable(Path(os.path.realpath(path)).parent)


def why_not_writable(folder: Path) -> str:
    """Why no file can be written into a folder, which is made where it is missing; empty where nothing is in the way.

    Only looks: nothing is made. Raises OSError for a name that is too long.
    """
    existing = folder.absolute()
    while not os.path.lexists(existing) and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        return f"{existing} is not a folder"
    if not os.access(existing, os.W_OK | os.X_OK):
        return f"you may not write to {existing}"
    return ""
