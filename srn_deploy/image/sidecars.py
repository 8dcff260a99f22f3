"""Files beside an image that belong to it: world files, which follow it, and GDAL's, which are named."""

from __future__ import annotations

import os
from pathlib import Path

from srn_deploy.image.containers import Metadata, MetadataKind
from srn_deploy.image.containers.unpacked import Part
from srn_deploy.image.containers.world_file import is_world_file

_LARGEST_BYTES = 4096
"""A world file has six lines; a file that is larger only has the name of one."""


def world_file_of(image: Path) -> Path:
    """The usual name of an image's world file: `.pgw` beside `.png`, `.jgw` beside `.jpg`, `.tfw` beside `.tif`."""
    letters = image.suffix[1:].lower()
    return image.with_suffix(f".{letters[:1]}{letters[-1:]}w")


def read_sidecars(image: Path) -> tuple[Metadata, tuple[Part, ...]]:
    """The world file of an image as metadata, and the files beside it that are left behind."""
    usual = (world_file_of(image), image.with_suffix(f"{image.suffix or '.'}w"), image.with_suffix(".wld"))
    left: list[Part] = []
    metadata: Metadata = ()
    for path in (name for one in usual for name in (one, one.with_suffix(one.suffix.upper()))):
        text = _beginning(path)
        if is_world_file(text):
            metadata = ((MetadataKind.WORLD_FILE, text),)
            break
        left += [Part(f"{path.name}, which is not a world file", path.stat().st_size)] if text else []
    others = (image.with_name(f"{image.name}.aux.xml"), *((image.with_suffix(".prj"),) if metadata else ()))
    return metadata, (*left, *(Part(path.name, path.stat().st_size) for path in others if _is_file(path)))


def _is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113  # Path.is_file raises for names that are too long


def _beginning(path: Path) -> bytes:
    if not _is_file(path):  # a pipe would block
        return b""
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST_BYTES + 1)
    except OSError:
        return b""
