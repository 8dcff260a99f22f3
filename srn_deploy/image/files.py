"""Which files are images, and reading their bytes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from srn_deploy.errors import UnreadableImage, UnwritableImage
from srn_deploy.image.containers import Container
from srn_deploy.system.atomic import TEMPORARY_MARK

_CONTAINERS = {".png": Container.PNG, ".jpg": Container.JPEG, ".jpeg": Container.JPEG, ".webp": Container.WEBP,
               ".tif": Container.TIFF, ".tiff": Container.TIFF, ".bmp": Container.BMP}

SUFFIXES = tuple(_CONTAINERS)
"""Suffixes of the formats that are read and written; their case does not matter."""


def find_images(folder: Path) -> list[Path]:
    """Every image file under a folder and its subfolders, sorted; symbolic links to folders are not followed.

    Raises UnreadableImage for a folder that cannot be listed.
    """
    return sorted(_walk(folder))


def _walk(folder: Path) -> Iterator[Path]:
    for root, _, names in os.walk(folder, followlinks=False, onerror=_refuse_folder):
        for name in names:
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith(TEMPORARY_MARK):
                yield Path(root) / name


def _refuse_folder(error: OSError) -> None:
    raise UnreadableImage(f"The folder {error.filename} cannot be listed: {error.strerror}.",
                          remedy="Check the path and its permissions.") from error


def read_bytes(path: Path) -> bytes:
    """The bytes of a file; raises UnreadableImage if it cannot be read or is not a regular file."""
    try:
        if path.exists() and not path.is_file():  # a pipe would block, a device never end
            raise UnreadableImage(f"{path} cannot be read: it is not a file.", remedy="Give the path of an image file.")
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL character
        reason = error.strerror if isinstance(error, OSError) else error
        raise UnreadableImage(f"{path} cannot be read: {reason}.",
                              remedy="Give the path of an image file that you may read.") from error


def container_of(path: Path) -> Container:
    """The format that belongs to the suffix of a path; raises UnwritableImage for an unknown suffix."""
    found = _CONTAINERS.get(path.suffix.lower())
    if found is None:
        raise UnwritableImage(f"{path}: the suffix {path.suffix.lower()!r} is not that of an image format.",
                              remedy=f"Choose one of {', '.join(SUFFIXES)}.")
    return found
