"""One page of a TIFF as a file of its own: the same bytes, whose header leads to that page alone."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from srn_deploy.errors import UnreadableImage
from srn_deploy.image.containers.ifd import Tiff, tiff_of
from srn_deploy.image.containers.tiff import is_image

_MOST_PAGES = 1 << 16


def one_page(data: bytes, path: Path, number: int) -> bytes:
    """The file with only the page of this number, from 1, smaller copies and masks not counted.

    Files that are no TIFF stay as they are. Raises UnreadableImage where there is no such page.
    """
    tiff = tiff_of(data)
    if tiff is None:
        return data
    pages = list(islice(_pages(tiff), _MOST_PAGES))
    if not 1 <= number <= len(pages):
        raise no_such(path, "page", number, len(pages))
    at, next_at = pages[number - 1]
    letter, first_at = ("Q", 8) if tiff.is_big else ("I", 4)
    changed = bytearray(data)
    struct.pack_into(tiff.order + letter, changed, first_at, at)
    if next_at:
        struct.pack_into(tiff.order + letter, changed, next_at, 0)
    return bytes(changed)


def no_such(path: Path, part: str, number: int, count: int) -> UnreadableImage:
    """The error for a frame or page that a file does not have."""
    return UnreadableImage(f"{path} has {count} {part}{'s' * (count != 1)}, and no {part} {number}.",
                           remedy=f"Give one from 1 to {count}." if count > 1 else f"Its only {part} is 1.")


def _pages(tiff: Tiff) -> Iterator[tuple[int, int]]:
    """Where each page begins, and where it says where the next one begins, in bytes."""
    at, seen = tiff.first, set[int]()
    while at and at not in seen:
        seen.add(at)
        page = tiff.directory(at)
        if page.entries and is_image(page, tiff.order):
            yield at, page.next_at
        at = page.next
