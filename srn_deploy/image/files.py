"""Which files are images, and reading their bytes."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from srn_deploy.errors import UnreadableImage, UnwritableImage
from srn_deploy.image.containers import FORMATS, Container

__all__ = ["FORMATS", "SUFFIXES", "container_of", "is_animation_name", "is_image_name", "read_bytes",
           "read_suffixes", "with_written_suffix"]

_USUAL = {".png": Container.PNG, ".jpg": Container.JPEG, ".jpeg": Container.JPEG, ".webp": Container.WEBP,
          ".tif": Container.TIFF, ".tiff": Container.TIFF, ".bmp": Container.BMP,
          ".avif": Container.AVIF}

_CONTAINERS = _USUAL | dict.fromkeys((".jfif", ".jpe", ".jfi", ".jif", ".pjpeg", ".pjp"), Container.JPEG) | {
    ".dib": Container.BMP}

_READ_ONLY = dict.fromkeys((".heic", ".heif", ".hif"), "pillow_heif") | {".jxl": "pillow_jxl"}
"""Suffixes of formats that are read and not written, to the package that reads them, an extra."""

_ANIMATIONS = frozenset((".gif", ".apng", ".avifs"))
"""Suffixes of animations alone: of them one frame is read where one is asked for."""

SUFFIXES = tuple(_USUAL)
"""The usual suffixes of the formats that are read and written; those of `is_image_name` are all."""


def is_image_name(path: Path) -> bool:
    """Whether the suffix of a path is that of an image format that is read here; some need a package of an extra."""
    suffix = path.suffix.lower()
    return suffix in _CONTAINERS or (suffix in _READ_ONLY and find_spec(_READ_ONLY[suffix]) is not None)


def read_suffixes() -> tuple[str, ...]:
    """All suffixes of images that are read here, the usual ones first; some only where a package of an extra is."""
    return tuple(suffix for suffix in (*_CONTAINERS, *_READ_ONLY) if is_image_name(Path(f"image{suffix}")))


def is_animation_name(path: Path) -> bool:
    """Whether the suffix of a path is that of animations alone; PNG, WebP and AVIF may be images or animations."""
    return path.suffix.lower() in _ANIMATIONS


def with_written_suffix(path: Path) -> Path:
    """The path of the result of an image in a folder: its own, or one in .png where its format is not written."""
    suffix = path.suffix.lower()
    return path.with_suffix(".png") if suffix in _READ_ONLY or suffix in _ANIMATIONS else path


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
    if path.suffix.lower() in _READ_ONLY:
        raise UnwritableImage(f"{path}: images named {path.suffix.lower()} are read, but not written.",
                              remedy=f"Choose one of {', '.join(SUFFIXES)}.")
    if found is None:
        raise UnwritableImage(f"{path}: the suffix {path.suffix.lower()!r} is not that of an image format.",
                              remedy=f"Choose one of {', '.join(SUFFIXES)}, or end it in a slash for a folder.")
    return found
