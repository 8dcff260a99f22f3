"""Reads and changes the fields of EXIF that upscaling affects: orientation, thumbnail, what is counted in pixels."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import replace
from fractions import Fraction

from srn_deploy.image.containers.geotiff import (
    PIXEL_SCALE,
    RPC,
    TIE_POINTS,
    TRANSFORMATION,
    moved_entries,
    unclear_tags,
)
from srn_deploy.image.containers.ifd import (
    LONG,
    SHORT,
    Directory,
    Entry,
    byte_order,
    first_directory,
    rational,
    read_directory,
    write_directory,
)
from srn_deploy.image.containers.pixel_map import PixelMap
from srn_deploy.image.containers.unpacked import Part

_ORIENTATION, _EXIF_DIRECTORY, _INTEROPERABILITY = 0x0112, 0x8769, 0xA005
_WIDTH, _HEIGHT, _PIXEL_WIDTH, _PIXEL_HEIGHT = 0x0100, 0x0101, 0xA002, 0xA003
_RELATED_WIDTH, _RELATED_HEIGHT = 0x1001, 0x1002
_X_RESOLUTION, _Y_RESOLUTION = 0x011A, 0x011B
_SUBJECT_AREA, _SUBJECT_LOCATION = 0x9214, 0xA214
_FOCAL_PAIRS = ((0xA20E, 0xA20F), (0x920E, 0x920F))
"""FocalPlaneXResolution and FocalPlaneYResolution in EXIF and in TIFF/EP, which has them in the first directory."""
_THUMBNAIL, _THUMBNAIL_BYTES = 0x0201, 0x0202
_DNG_PIXELS = {50719, 50720, 50829, 50830, 51089, 51090, 51091}
"""Places and sizes in the pixels of a sensor, which raw converters copy: DefaultCropOrigin, ActiveArea and so on."""
_SHORT_LIMIT = 2**16


def orientation(exif: bytes) -> int:
    """The orientation, 1 to 8 as EXIF numbers them; 1 (upright) if the block is damaged or does not give one."""
    order, first = _first(exif)
    entry = first.entries.get(_ORIENTATION)
    value = entry.numbers(order)[:1] if entry is not None and entry.kind == SHORT else ()
    return value[0] if value and 1 <= value[0] <= 8 else 1


def gives_orientation(exif: bytes) -> bool:
    """Whether the block says how the image is turned, be it upright."""
    order, first = _first(exif)
    entry = first.entries.get(_ORIENTATION)
    return entry is not None and entry.kind == SHORT and any(1 <= value <= 8 for value in entry.numbers(order)[:1])


def upright(exif: bytes) -> bytes:
    """The same EXIF block with its orientation set to 1, for pixels that have already been turned upright.

    If the pixels were turned, the embedded thumbnail would still be rotated, so it is removed.
    """
    order, first = _first(exif)
    entry = first.entries.get(_ORIENTATION)
    if entry is None or entry.kind != SHORT or not entry.stored:
        return exif
    block = exif if orientation(exif) == 1 else _without_thumbnail(exif, order, first)
    return _patched(block, entry.stored_at, struct.pack(order + "H", 1))


def with_orientation(exif: bytes, turn: int) -> bytes:
    """The same EXIF block with an orientation, 1 to 8; a block of its own where there is none and it is not upright."""
    order, first = _first(exif)
    entry = first.entries.get(_ORIENTATION)
    if entry is not None and entry.kind == SHORT and entry.stored:
        return _patched(exif, entry.stored_at, struct.pack(order + "H", turn))
    if turn == 1:
        return exif
    if byte_order(exif) is None:
        exif, order, first = b"II*\0\x08\0\0\0\0\0\0\0\0\0", "<", Directory({}, 0, 0, is_whole=True)
    new = Entry(tag=_ORIENTATION, kind=SHORT, stored=struct.pack(order + "H", turn))
    return _with_directory(exif, order, {**first.entries, _ORIENTATION: new}, first.next)


def with_size(exif: bytes, *, height: int, width: int) -> bytes:
    """The same EXIF block with every field for the size of the image, in pixels, set to this size."""
    order, first = _first(exif)
    inner = _inner(exif, order, first, _EXIF_DIRECTORY)
    related = _inner(exif, order, inner, _INTEROPERABILITY)
    for found, tag, side in ((first, _WIDTH, width), (first, _HEIGHT, height), (inner, _PIXEL_WIDTH, width),
                             (inner, _PIXEL_HEIGHT, height), (related, _RELATED_WIDTH, width),
                             (related, _RELATED_HEIGHT, height)):
        entry = found.entries.get(tag)
        if entry is not None and entry.count == 1:
            exif = _patched(exif, entry.at + 2, struct.pack(order + "HII", LONG, 1, side))
    return exif


def without_unclear_pixels(exif: bytes) -> tuple[bytes, tuple[Part, ...]]:
    """The block without what counts pixels but cannot be brought to those of a result, and what that is."""
    order, first = _first(exif)
    unclear = unclear_tags(first.entries, order)
    lost = unclear | (first.entries.keys() & _DNG_PIXELS)
    if not lost:
        return exif, ()
    parts = tuple(Part(f"tag {tag} ({'GeoTIFF, of another form' if tag in unclear else 'in pixels of the sensor'})",
                       len(first.entries[tag].stored)) for tag in sorted(lost))
    kept = {tag: entry for tag, entry in first.entries.items() if tag not in lost}
    return _with_directory(exif, order, kept, first.next), parts


def moved_exif(exif: bytes, pixels: PixelMap) -> tuple[bytes, tuple[Part, ...]]:
    """The block with everything that is counted in pixels as it is in the result, and what had to be left out.

    GeoTIFF's tags are among it.
    """
    order, first = _first(exif)
    inner = _inner(exif, order, first, _EXIF_DIRECTORY)
    stated = (_one(inner, tag, order) or _one(first, other, order)
              for tag, other in ((_PIXEL_WIDTH, _WIDTH), (_PIXEL_HEIGHT, _HEIGHT)))
    counted = pixels.counted_in(*stated)
    for directory in (first, inner):
        for old, new in _of_camera(directory, order, counted):
            exif = _with_values(exif, order, old, new)
    first = _first(exif)[1]
    if pixels.swaps and {_X_RESOLUTION, _Y_RESOLUTION} <= first.entries.keys():
        for tag, other in ((_X_RESOLUTION, _Y_RESOLUTION), (_Y_RESOLUTION, _X_RESOLUTION)):
            exif = _with_values(exif, order, first.entries[tag], replace(first.entries[other], tag=tag))
        first = _first(exif)[1]
    entries = moved_entries(first.entries, order, pixels)
    if entries is not first.entries:
        exif = _with_directory(exif, order, entries, first.next)
    left = [Part("RPC coefficients of an image that is turned", len(entry.stored))
            for tag, entry in first.entries.items() if tag == RPC and tag not in entries]
    return with_size(exif, height=pixels.new_height, width=pixels.new_width), tuple(left)


def is_georeferenced(exif: bytes) -> bool:
    """Whether the block holds the tags of GeoTIFF that say where pixels lie."""
    return bool(_first(exif)[1].entries.keys() & {PIXEL_SCALE, TIE_POINTS, TRANSFORMATION, RPC})


def _of_camera(found: Directory, order: str, pixels: PixelMap) -> Iterator[tuple[Entry, Entry]]:
    """Entries of a camera before and after: where the subject is, and how many pixels lie on a unit of the sensor."""
    for tag in (_SUBJECT_AREA, _SUBJECT_LOCATION):
        entry = found.entries.get(tag)
        if entry is not None and entry.kind in (SHORT, LONG) and 2 <= entry.count <= 4:
            numbers = [Fraction(number) for number in entry.numbers(order)]
            new = [*pixels.pixel(numbers[0], numbers[1])]
            new += pixels.sides(numbers[2], numbers[3]) if entry.count == 4 else [pixels.scale_x * one
                                                                                  for one in numbers[2:]]
            yield entry, _of_integers(entry, order, [max(0, round(number)) for number in new])
    for pair in _FOCAL_PAIRS:
        focal = [found.entries[tag] for tag in pair if tag in found.entries]
        values = [entry.positive(order) for entry in focal]
        if len(focal) == 2 and all(values):
            for entry, number in zip(focal, pixels.sides(values[0], values[1]), strict=True):
                yield entry, rational(entry.tag, number).in_order("<", order)


def _of_integers(entry: Entry, order: str, numbers: list[int]) -> Entry:
    kind, letter = (SHORT, "H") if max(numbers) < _SHORT_LIMIT else (LONG, "I")
    return replace(entry, kind=kind, stored=struct.pack(f"{order}{len(numbers)}{letter}",
                                                        *(min(number, 2**32 - 1) for number in numbers)))


def _one(found: Directory, tag: int, order: str) -> int:
    """A single integer; 0 if there is none."""
    numbers = found.entries[tag].numbers(order) if tag in found.entries else ()
    return numbers[0] if len(numbers) == 1 else 0


def _inner(exif: bytes, order: str, outer: Directory, pointer: int) -> Directory:
    """The directory that an entry of another one points to."""
    at = _one(outer, pointer, order)
    return read_directory(exif, order, at) if at else Directory({}, 0, 0, is_whole=False)


def _with_values(exif: bytes, order: str, old: Entry, new: Entry) -> bytes:
    """The block with another entry in the place of one; longer values lie at its end, because nothing is moved."""
    head = struct.pack(order + "HHI", new.tag, new.kind, new.count)
    if len(new.stored) <= 4:
        return _patched(exif, old.at, head + new.stored.ljust(4, b"\0"))
    is_longer = len(new.stored) > max(len(old.stored), 4) or len(old.stored) <= 4
    at = len(exif) + len(exif) % 2 if is_longer else old.stored_at
    exif = _patched(exif, old.at, head + struct.pack(order + "I", at)).ljust(at, b"\0")
    return _patched(exif, at, new.stored)


def _with_directory(exif: bytes, order: str, entries: Mapping[int, Entry], following: int) -> bytes:
    """The block with another first directory, at its end; nothing is moved, because maker notes hold offsets."""
    at = len(exif) + len(exif) % 2
    directory = write_directory(entries.values(), order, at)
    next_at = 2 + 12 * len(entries)
    directory = _patched(directory, next_at, struct.pack(order + "I", following))
    return _patched(exif.ljust(at, b"\0"), 4, struct.pack(order + "I", at)) + directory


def _first(exif: bytes) -> tuple[str, Directory]:
    """Byte order and first directory; an empty directory if this is not an EXIF block."""
    order = byte_order(exif)
    if order is None:
        return "<", Directory({}, 0, 0, is_whole=False)
    return order, read_directory(exif, order, first_directory(exif, order))


def _without_thumbnail(exif: bytes, order: str, first: Directory) -> bytes:
    """The same block without its second directory; nothing is moved, because maker notes hold absolute offsets."""
    second = read_directory(exif, order, first.next).entries
    if not second:
        return exif
    start, length = (second[tag].numbers(order)[:1] or (0,) if tag in second else (0,)
                     for tag in (_THUMBNAIL, _THUMBNAIL_BYTES))
    exif = _patched(exif, first.next_at, bytes(4))
    if not 0 < start[0] <= start[0] + length[0] <= len(exif):
        return exif
    return exif[:start[0]] + (bytes(length[0]) if start[0] + length[0] < len(exif) else b"") \
        + exif[start[0] + length[0]:]


def _patched(block: bytes, at: int, stored: bytes) -> bytes:
    return block[:at] + stored + block[at + len(stored):]
