"""TIFF 6.0 files with one image: how the pixels are stored, and metadata in the tags of TIFF, Adobe and the ICC."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

from srn_deploy.image.containers.ifd import (
    BYTE,
    HEADER_BYTES,
    LONG,
    UNDEFINED,
    Entry,
    byte_order,
    first_directory,
    read_directory,
    write_directory,
)
from srn_deploy.image.containers.resolution import UNIT_TAG, X_TAG, Y_TAG, as_metadata, from_block, from_entries
from srn_deploy.image.containers.unpacked import (
    Container,
    Metadata,
    MetadataKind,
    TiffLayout,
    Unpacked,
    broken,
    unsupported,
)

BIG_STARTS = (b"II+\0", b"MM\0+")
"""The first bytes of a BigTIFF."""

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 256, 257, 258, 259, 262, 266
_STRIPS, _ORIENTATION, _SAMPLES, _STRIP_HEIGHT, _STRIP_BYTES, _PLANAR = 273, 274, 277, 278, 279, 284
_FAX3_OPTIONS, _FAX4_OPTIONS, _PREDICTOR, _PALETTE = 292, 293, 317, 320
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES, _INKS = 322, 323, 324, 325, 332
_EXTRA, _FORMAT, _JPEG_TABLES = 338, 339, 347
_SUBFILE_TYPE, _OLD_SUBFILE_TYPE = 254, 255
_XMP, _IPTC, _PHOTOSHOP, _PHOTOSHOP_LAYERS, _ICC = 700, 33723, 34377, 37724, 34675
_EXIF, _GPS, _INTEROPERABILITY = 34665, 34853, 40965

_NOT_EXIF = {
    *range(254, 267), 273, *range(277, 282), *range(284, 294), 297, 301, *range(317, 348), *range(512, 533),
    _XMP, _IPTC, _PHOTOSHOP, _PHOTOSHOP_LAYERS, _ICC}
"""Tags for the storage of pixels, and metadata that is carried over separately or not at all.

All other tags describe the image as EXIF does, and become part of the EXIF block.
"""
_LEFT_BEHIND = {_IPTC: "IPTC block", _PHOTOSHOP: "Photoshop block", _PHOTOSHOP_LAYERS: "layer block"}
_NESTED = {_EXIF: (_INTEROPERABILITY,)}
_NO_EXIF_ALONE = {X_TAG, Y_TAG, UNIT_TAG}

_FAX3, _FAX4, _JPEG = 3, 4, 7
_COMPRESSIONS = (1, 2, _FAX3, _FAX4, 5, _JPEG, 8, 32773, 32946)
"""None, three kinds of facsimile, LZW, JPEG, deflate under two numbers, and PackBits."""
_NAMES = {6: "old-style JPEG", 34712: "JPEG 2000", 34887: "LERC", 34925: "LZMA", 50000: "Zstandard", 50001: "WebP"}
_CMYK_INKS = 1
_COLOURS = {0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3}
"""Samples of colour by photometric interpretation: white is zero, black is zero, RGB, palette, CMYK, YCbCr."""
_COLOUR_NAMES = {4: "a transparency mask", 8: "CIELAB colours", 9: "CIELAB colours", 10: "CIELAB colours",
                 32803: "raw pixels of a camera", 32844: "LogL light", 32845: "LogLuv light",
                 34892: "raw pixels of a camera"}
_ALPHA_BITS = (8, 16)


def unpack(data: bytes, path: Path) -> Unpacked:
    """Take a TIFF apart.

    Raises UnreadableImage if it is incomplete, UnsupportedImage for variants that cannot be read correctly.
    """
    order = byte_order(data)
    if order is None:
        raise broken(path, "is a truncated TIFF") if data[:4] not in BIG_STARTS else unsupported(path, "is a BigTIFF")
    directory = read_directory(data, order, first_directory(data, order))
    entries = directory.entries
    values = {tag: entry.numbers(order) for tag, entry in entries.items()}
    width, height = (values.get(tag, ()) for tag in (_WIDTH, _HEIGHT))
    if not directory.is_whole or len(width) != 1 or len(height) != 1 or not (width[0] and height[0]):
        raise broken(path, "is a truncated TIFF, or one without an image")
    layout = _layout(entries, values, order, path)
    _check_kind(layout, entries, values, path)
    _check_whole(layout, height[0], width[0], len(data), path)
    return Unpacked(container=Container.TIFF, without_metadata=data, height=height[0], width=width[0], tiff=layout,
                    metadata=_metadata(data, entries, order),
                    remarks=tuple(f"{path}: the {name} of the TIFF is left behind."
                                  for tag, name in _LEFT_BEHIND.items() if tag in entries),
                    animated=_pages(data, order, directory.next) > 0)


def _layout(entries: dict[int, Entry], values: dict[int, tuple[int, ...]], order: str, path: Path) -> TiffLayout:
    def one(tag: int, default: int) -> int:
        return (values.get(tag) or (default,))[0]

    tiled = _TILES in entries
    offsets, lengths = (values.get(tag, ()) for tag in ((_TILES, _TILE_BYTES) if tiled else (_STRIPS, _STRIP_BYTES)))
    if len(offsets) != len(lengths) or not offsets:
        raise broken(path, "is a damaged TIFF: it does not give the position of its pixels")
    return TiffLayout(
        order=order, bits=one(_BITS, 1), samples=one(_SAMPLES, 1), photometric=one(_PHOTOMETRIC, -1),
        compression=one(_COMPRESSION, 1), predictor=one(_PREDICTOR, 1), is_planar=one(_PLANAR, 1) == 2,
        extra=values.get(_EXTRA, ()), is_tiled=tiled,
        part_height=one(_TILE_HEIGHT, 0) if tiled else min(one(_STRIP_HEIGHT, 2**32 - 1), one(_HEIGHT, 0)),
        part_width=one(_TILE_WIDTH if tiled else _WIDTH, 0), parts=tuple(zip(offsets, lengths, strict=True)),
        palette=values.get(_PALETTE, ()), jpeg_tables=entries[_JPEG_TABLES].stored if _JPEG_TABLES in entries else b"",
        fill_order=one(_FILL_ORDER, 1),
        fax_options=one({_FAX3: _FAX3_OPTIONS, _FAX4: _FAX4_OPTIONS}.get(one(_COMPRESSION, 1), 0), 0))


def _check_kind(layout: TiffLayout, entries: dict[int, Entry], values: dict[int, tuple[int, ...]], path: Path) -> None:
    """Raise UnsupportedImage for variants that would be read incorrectly."""
    colours = _COLOURS.get(layout.photometric)
    if colours is None:
        raise unsupported(path, f"is a TIFF of {_COLOUR_NAMES.get(layout.photometric, 'unknown colours')}")
    if layout.compression not in _COMPRESSIONS:
        name = _NAMES.get(layout.compression, f"number {layout.compression}")
        raise unsupported(path, f"is a TIFF with the unsupported compression {name}")
    if layout.photometric == 6 and layout.compression != _JPEG:
        raise unsupported(path, "is a TIFF of YCbCr colours without JPEG")
    if layout.compression == _JPEG and (layout.bits != 8 or layout.photometric == 3):
        raise unsupported(path, "is a TIFF of JPEG with a palette, or of other than 8 bits")
    if layout.compression in (2, _FAX3, _FAX4) and (layout.bits != 1 or layout.is_tiled):
        raise unsupported(path, "is a TIFF of facsimile pixels in tiles or of more than one bit")
    if len(set(values.get(_BITS, ()))) > 1:
        raise unsupported(path, "is a TIFF whose samples have different bits")
    if set(values.get(_FORMAT, (1,))) - {1, 4}:  # 4: undefined, which is read as unsigned integers
        raise unsupported(path, "is a TIFF of floating-point or signed numbers")
    if _INKS in values and values[_INKS][:1] != (_CMYK_INKS,) and layout.photometric == 5:
        raise unsupported(path, "is a TIFF with inks other than cyan, magenta, yellow and black")
    few_bits = (1, 2, 4) if colours == 1 and layout.samples == 1 else ()
    if layout.bits not in (*few_bits, *_ALPHA_BITS) or (layout.photometric == 3 and layout.bits == 16):
        raise unsupported(path, f"is a TIFF of {layout.bits} bits per sample")
    if not colours <= layout.samples <= colours + 1:
        raise unsupported(path, f"is a TIFF of {layout.samples} samples per pixel, more than colour and transparency")
    if layout.photometric == 3 and len(layout.palette) != 3 << layout.bits:
        raise broken(path, "is a damaged TIFF: its palette is missing or has the wrong length")


def _check_whole(layout: TiffLayout, height: int, width: int, length: int, path: Path) -> None:
    """Raise UnreadableImage unless every strip or tile lies within the file."""
    if not (layout.part_height and layout.part_width):
        raise broken(path, "is a damaged TIFF: its tiles have no size")
    planes = layout.samples if layout.is_planar else 1
    wanted = planes * -(-height // layout.part_height) * -(-width // layout.part_width)
    if len(layout.parts) != wanted or any(offset + size > length or not size for offset, size in layout.parts):
        raise broken(path, "is a truncated TIFF: a part of its pixels is missing")


def _pages(data: bytes, order: str, at: int) -> int:
    """The number of further images, not counting thumbnails and masks."""
    found, seen = 0, set()
    while at and at not in seen:
        seen.add(at)
        entries, _, following, _ = read_directory(data, order, at)
        reduced = (entries[_SUBFILE_TYPE].numbers(order) if _SUBFILE_TYPE in entries else (0,))[:1]
        old = (entries[_OLD_SUBFILE_TYPE].numbers(order) if _OLD_SUBFILE_TYPE in entries else (1,))[:1]
        found += bool(entries) and not (reduced and reduced[0] & 0b101) and old != (2,)
        at = following
    return found


def _metadata(data: bytes, entries: dict[int, Entry], order: str) -> Metadata:
    found = [(kind, entries[tag].stored) for kind, tag in ((MetadataKind.ICC, _ICC), (MetadataKind.XMP, _XMP))
             if tag in entries]
    exif = _exif(data, entries, order)
    return (*found, *(((MetadataKind.EXIF, exif),) if exif else ()), *as_metadata(from_entries(entries, order)))


def _exif(data: bytes, entries: dict[int, Entry], order: str) -> bytes:
    """The descriptive tags as an EXIF block; empty if there is nothing but a resolution or an upright orientation."""
    chosen = {tag: entry for tag, entry in entries.items() if tag not in _NOT_EXIF}
    telling = chosen.keys() - _NO_EXIF_ALONE
    if not telling or (telling == {_ORIENTATION} and chosen[_ORIENTATION].numbers(order) == (1,)):
        return b""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(order + "I", HEADER_BYTES) + _moved(data, chosen, order, order, HEADER_BYTES)


def _moved(data: bytes, entries: dict[int, Entry], before: str, after: str, at: int,
           nested: tuple[int, ...] = (_EXIF, _GPS)) -> bytes:
    """Entries written again for the offset `at`, together with the directories that they point to."""
    inner = {tag: read_directory(data, before, entries[tag].numbers(before)[0]).entries
             for tag in nested if tag in entries and len(entries[tag].numbers(before)) == 1}
    chosen = {tag: entry.in_order(before, after) for tag, entry in entries.items()
              if tag not in (_EXIF, _GPS, _INTEROPERABILITY)}
    pointers = {tag: Entry(tag=tag, kind=LONG, stored=bytes(4)) for tag, found in inner.items() if found}
    behind = at + len(write_directory((*chosen.values(), *pointers.values()), after, at))
    parts = b""
    for tag in pointers:
        pointers[tag] = replace(pointers[tag], stored=struct.pack(after + "I", behind + len(parts)))
        parts += _moved(data, inner[tag], before, after, behind + len(parts), _NESTED.get(tag, ()))
    return write_directory((*chosen.values(), *pointers.values()), after, at) + parts


def pack(encoded: bytes, metadata: Metadata) -> bytes:
    """Insert metadata into a TIFF from `image.tiff.encode`, which is little-endian: a new directory at its end."""
    entries = dict(read_directory(encoded, "<", first_directory(encoded, "<")).entries)
    blocks, at = dict(metadata), len(encoded) + len(encoded) % 2
    if MetadataKind.RESOLUTION in blocks:
        entries |= {entry.tag: entry for entry in from_block(blocks[MetadataKind.RESOLUTION]).entries()}
    for kind, tag, stored_as in ((MetadataKind.ICC, _ICC, UNDEFINED), (MetadataKind.XMP, _XMP, BYTE)):
        if kind in blocks:
            entries[tag] = Entry(tag=tag, kind=stored_as, stored=blocks[kind])
    directory = _with_exif(entries, blocks.get(MetadataKind.EXIF, b""), at)
    return encoded[:4] + struct.pack("<I", at) + encoded[8:].ljust(at - 8, b"\0") + directory


def _with_exif(entries: dict[int, Entry], exif: bytes, at: int) -> bytes:
    """The directory with the tags of an EXIF block added; the file's own tags take precedence."""
    order = byte_order(exif)
    if order is None:
        return write_directory(entries.values(), "<", at)
    found = read_directory(exif, order, first_directory(exif, order)).entries
    described = {tag: entry for tag, entry in found.items() if tag not in _NOT_EXIF and tag not in entries}
    own = {tag: entry.in_order("<", order) for tag, entry in entries.items()}
    return _moved(exif, own | described, order, "<", at)
