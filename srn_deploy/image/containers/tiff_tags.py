"""The metadata in the tags of a TIFF: read into one EXIF block, XMP and a profile, and written again."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from srn_deploy.image.containers.ifd import (
    BYTE,
    DIRECTORY,
    DIRECTORY8,
    HEADER_BYTES,
    LONG,
    LONG8,
    UNDEFINED,
    Entry,
    Tiff,
    tiff_of,
    write_directory,
)
from srn_deploy.image.containers.resolution import UNIT_TAG, X_TAG, Y_TAG, as_metadata, from_block, from_entries
from srn_deploy.image.containers.unpacked import Metadata, MetadataKind

XMP, IPTC, PHOTOSHOP, PHOTOSHOP_LAYERS, ICC = 700, 33723, 34377, 37724, 34675
EXIF, GPS, INTEROPERABILITY = 34665, 34853, 40965
_ORIENTATION = 274

OF_OLD_PIXELS = {
    **dict.fromkeys(range(33628, 33632), "MetaMorph's description"), 33920: "Intergraph's matrix",
    34412: "Zeiss's description", 52545: "C2PA content credentials"}
"""Private tags that hold offsets, places or signatures of the old pixels."""

_NOT_EXIF = {
    *range(254, 267), 273, *range(277, 282), 284, *range(286, 294), 297, 301, 317, *range(320, 348),
    *range(512, 533),
    XMP, IPTC, PHOTOSHOP, PHOTOSHOP_LAYERS, ICC, *OF_OLD_PIXELS}
"""Tags for the storage of pixels, and metadata that is carried over separately or not at all.

All other tags describe the image as EXIF does, and become part of the EXIF block.
"""
_NESTED = {EXIF: (INTEROPERABILITY,)}
_NO_EXIF_ALONE = {X_TAG, Y_TAG, UNIT_TAG}


class _Writer(NamedTuple):
    """How directories are written."""

    order: str
    """`<` or `>`, as in `struct`."""
    is_big: bool = False

    def directory(self, entries: Iterable[Entry], at: int) -> bytes:
        """The bytes of a directory for the offset `at`; see `write_directory`."""
        return write_directory(entries, self.order, at, is_big=self.is_big)

    def pointer(self, tag: int, at: int = 0) -> Entry:
        """An entry that holds an offset."""
        kind, letter = (LONG8, "Q") if self.is_big else (LONG, "I")
        return Entry(tag=tag, kind=kind, stored=struct.pack(self.order + letter, at))


def metadata_of(tiff: Tiff, entries: dict[int, Entry]) -> Metadata:
    """The metadata in a directory of a TIFF, as blocks that every format can hold."""
    found = [(kind, entries[tag].stored) for kind, tag in ((MetadataKind.ICC, ICC), (MetadataKind.XMP, XMP))
             if tag in entries]
    exif = _exif(tiff, entries)
    resolution = as_metadata(from_entries(entries, tiff.order))
    return (*found, *(((MetadataKind.EXIF, exif),) if exif else ()), *resolution)


def _exif(tiff: Tiff, entries: dict[int, Entry]) -> bytes:
    """The descriptive tags as an EXIF block; empty if there is nothing but a resolution or an upright orientation."""
    chosen = {tag: entry for tag, entry in entries.items() if tag not in _NOT_EXIF and (
        tag in (EXIF, GPS) or entry.kind not in (DIRECTORY, DIRECTORY8))}
    telling = chosen.keys() - _NO_EXIF_ALONE
    if not telling or (telling == {_ORIENTATION} and chosen[_ORIENTATION].numbers(tiff.order) == (1,)):
        return b""
    mark = b"II*\0" if tiff.order == "<" else b"MM\0*"
    return mark + struct.pack(tiff.order + "I", HEADER_BYTES) + _moved(tiff, chosen, _Writer(tiff.order), HEADER_BYTES)


def _moved(source: Tiff, entries: dict[int, Entry], form: _Writer, at: int,
           nested: tuple[int, ...] = (EXIF, GPS)) -> bytes:
    """Entries written again for the offset `at`, together with the directories that they point to."""
    inner = {tag: source.directory(entries[tag].numbers(source.order)[0]).entries
             for tag in nested if tag in entries and len(entries[tag].numbers(source.order)) == 1}
    fitting = (entry if form.is_big else entry.classic(source.order) for tag, entry in entries.items()
               if tag not in (EXIF, GPS, INTEROPERABILITY))
    chosen = [entry.in_order(source.order, form.order) for entry in fitting if entry is not None]
    pointers = {tag: form.pointer(tag) for tag, found in inner.items() if found}
    behind = at + len(form.directory((*chosen, *pointers.values()), at))
    parts = b""
    for tag in pointers:
        pointers[tag] = form.pointer(tag, behind + len(parts))
        parts += _moved(source, inner[tag], form, behind + len(parts), _NESTED.get(tag, ()))
    return form.directory((*chosen, *pointers.values()), at) + parts


def pack(encoded: bytes, metadata: Metadata) -> bytes:
    """Insert metadata into a TIFF from `image.tiff.encode`, which is little-endian: a new directory at its end."""
    tiff = tiff_of(encoded)
    assert tiff is not None
    entries, at = tiff.directory(tiff.first).entries, len(encoded) + len(encoded) % 2
    directory = directory_with(metadata, entries, at, is_big=tiff.is_big)
    start = struct.pack("<Q", at) if tiff.is_big else struct.pack("<I", at)
    pointer_at = 8 if tiff.is_big else 4
    rest = encoded[pointer_at + len(start):]
    return b"".join((encoded[:pointer_at], start, rest, bytes(at - len(encoded)), directory))


def directory_with(metadata: Metadata, entries: Mapping[int, Entry], at: int, *, is_big: bool) -> bytes:
    """A little-endian directory for the offset `at` of a file: its own tags, and those of the metadata."""
    blocks, all_entries = dict(metadata), dict(entries)
    if MetadataKind.RESOLUTION in blocks:
        all_entries |= {entry.tag: entry for entry in from_block(blocks[MetadataKind.RESOLUTION]).entries()}
    for kind, tag, stored_as in ((MetadataKind.ICC, ICC, UNDEFINED), (MetadataKind.XMP, XMP, BYTE)):
        if kind in blocks:
            all_entries[tag] = Entry(tag=tag, kind=stored_as, stored=blocks[kind])
    return _with_exif(all_entries, blocks.get(MetadataKind.EXIF, b""), _Writer("<", is_big), at)


def _with_exif(entries: dict[int, Entry], exif: bytes, form: _Writer, at: int) -> bytes:
    """The directory with the tags of an EXIF block added; the file's own tags take precedence."""
    block = tiff_of(exif)
    if block is None or block.is_big:
        return form.directory(entries.values(), at)
    found = block.directory(block.first).entries
    described = {tag: entry for tag, entry in found.items() if tag not in _NOT_EXIF and tag not in entries}
    own = {tag: entry.in_order(form.order, block.order) for tag, entry in entries.items()}
    return _moved(block, own | described, form, at)
