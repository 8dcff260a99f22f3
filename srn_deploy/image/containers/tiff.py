"""TIFF 6.0 files with one image: how the pixels are stored, and metadata in the tags of TIFF, Adobe and the ICC."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from srn_deploy.errors import UnsupportedImage
from srn_deploy.image.containers.ifd import DIRECTORY, DIRECTORY8, Directory, Entry, Sliceable, Tiff, tiff_of
from srn_deploy.image.containers.tiff_tags import (
    EXIF,
    GPS,
    INTEROPERABILITY,
    IPTC,
    OF_OLD_PIXELS,
    PHOTOSHOP,
    PHOTOSHOP_LAYERS,
    metadata_of,
)
from srn_deploy.image.containers.unpacked import Container, Part, TiffLayout, Unpacked, broken, unsupported

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _FILL_ORDER = 256, 257, 258, 259, 262, 266
_STRIPS, _ORIENTATION, _SAMPLES, _STRIP_HEIGHT, _STRIP_BYTES, _PLANAR = 273, 274, 277, 278, 279, 284
_FAX3_OPTIONS, _FAX4_OPTIONS, _PREDICTOR, _PALETTE = 292, 293, 317, 320
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES, _INKS = 322, 323, 324, 325, 332
_EXTRA, _FORMAT, _JPEG_TABLES = 338, 339, 347
_SUBFILE_TYPE, _OLD_SUBFILE_TYPE = 254, 255
_FURTHER, _DNG_VERSION = 330, 50706

_LEFT_BEHIND = {IPTC: "IPTC block", PHOTOSHOP: "Photoshop block", PHOTOSHOP_LAYERS: "Photoshop's layers",
                286: "position on the page", 287: "position on the page", 301: "transfer function",
                337: "target printer", 343: "clipping path"} | OF_OLD_PIXELS
"""Tags that say something of the image, and that no result has; others that are not kept only describe storage."""
_OF_OLD_PIXELS = ((270, b"<OME", "OME-XML description"), (270, b'"shape":', "description of the array's shape"),
                  (42112, b'domain="GEOLOCATION"', "GDAL's geolocation"))
"""Descriptions that repeat the size of the image, or places in it, in a notation of their own."""
_OWN_DIRECTORIES = (_FURTHER, EXIF, GPS, INTEROPERABILITY)

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
_RAW = (32803, 34892)
_SMALLER, _MASK = 1, 4
"""Flags of the kind of page."""
_OLD_JPEG_BYTES = 514
_MOST_PAGES = 200
"""Pages, and further directories, that are looked at."""


def unpack(data: Sliceable, path: Path) -> Unpacked:
    """Take a TIFF or BigTIFF apart; of a file that is not in memory the pixels are left out.

    Raises UnreadableImage if it is incomplete, UnsupportedImage for variants that cannot be read correctly.
    """
    tiff = tiff_of(data)
    if tiff is None:
        raise broken(path, "is a truncated TIFF")
    directory = tiff.directory(tiff.first)
    entries = directory.entries
    _refuse_raw(tiff, directory, path)
    values = {tag: entry.numbers(tiff.order) for tag, entry in entries.items()}
    width, height = (values.get(tag, ()) for tag in (_WIDTH, _HEIGHT))
    if not directory.is_whole or len(width) != 1 or len(height) != 1 or not (width[0] and height[0]):
        raise broken(path, "is a truncated TIFF, or one without an image")
    layout = _layout(entries, values, tiff.order, path)
    _check_kind(layout, entries, values, path)
    _check_whole(layout, height[0], width[0], len(data), path)
    pages = _pages(tiff, directory.next)
    descriptions = {tag: name for tag, mark, name in _OF_OLD_PIXELS if tag in entries and mark in entries[tag].stored}
    kept = {tag: entry for tag, entry in entries.items() if tag not in descriptions}
    return Unpacked(container=Container.TIFF, without_metadata=data if isinstance(data, bytes) else b"",
                    height=height[0], width=width[0], tiff=layout, metadata=metadata_of(tiff, kept),
                    left_behind=tuple(_left_behind(tiff, entries, _LEFT_BEHIND | descriptions, pages)),
                    animated=any(is_image(page, tiff.order) for page in pages))


def _refuse_raw(tiff: Tiff, first: Directory, path: Path) -> None:
    """Raise UnsupportedImage for a camera's raw file, whose first directory is often a small JPEG."""
    pages = [first, *_pages(tiff, first.next)]
    directories = [*pages, *_bounded(inner for page in pages for inner in _further(tiff, page.entries))]
    photometric = {page.entries[_PHOTOMETRIC].numbers(tiff.order)[:1] for page in directories
                   if _PHOTOMETRIC in page.entries}
    is_dng, is_canon = _DNG_VERSION in first.entries, tiff.data[8:11] == b"CR\2"
    if is_dng or is_canon or photometric & {(number,) for number in _RAW}:
        name = "DNG" if is_dng else "Canon CR2" if is_canon else "TIFF-like"
        raise UnsupportedImage(f"{path} is a raw file of a camera ({name}).",
                               remedy="Develop it with a raw converter and save it as PNG or as a TIFF of 16 bits.")


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


def _pages(tiff: Tiff, at: int) -> list[Directory]:
    """The directories that follow one another from an offset on; a circle is passed through once."""
    def chain(at: int) -> Iterator[Directory]:
        seen: set[int] = set()
        while at and at not in seen:
            seen.add(at)
            directory = tiff.directory(at)
            yield directory
            at = directory.next

    return [page for page in _bounded(chain(at)) if page.entries]


def _bounded(directories: Iterable[Directory]) -> list[Directory]:
    """As many directories as a real file has: damaged ones may overlap without end."""
    return list(islice(directories, _MOST_PAGES))


def is_image(page: Directory, order: str) -> bool:
    """Whether a page is an image of its own, and not a smaller copy or a mask of another."""
    reduced, old = (page.entries[tag].numbers(order)[:1] if tag in page.entries else ()
                    for tag in (_SUBFILE_TYPE, _OLD_SUBFILE_TYPE))
    return not (reduced and reduced[0] & (_SMALLER | _MASK)) and old != (2,)


def _further(tiff: Tiff, entries: dict[int, Entry]) -> Iterator[Directory]:
    """The directories below an image."""
    offsets = entries[_FURTHER].numbers(tiff.order) if _FURTHER in entries else ()
    return (tiff.directory(at) for at in offsets)


def _left_behind(tiff: Tiff, entries: dict[int, Entry], names: dict[int, str],
                 pages: list[Directory]) -> Iterator[Part]:
    """What the file holds besides the image and the metadata that is kept; names: of the tags that are not."""
    for tag, entry in entries.items():
        if tag in names:
            yield Part(names[tag], len(entry.stored))
        elif entry.kind in (DIRECTORY, DIRECTORY8) and tag not in _OWN_DIRECTORIES:
            yield Part(f"directory in tag {tag}", len(entry.stored))
    for page in (*pages, *_bounded(_further(tiff, entries))):
        flags = (page.entries[_SUBFILE_TYPE].numbers(tiff.order)[:1] if _SUBFILE_TYPE in page.entries else ()) or (0,)
        name = "transparency mask" if flags[0] & _MASK else "smaller copy" if not is_image(page, tiff.order) \
            else "further image"
        yield Part(name, _packed_bytes(page, tiff.order))


def _packed_bytes(page: Directory, order: str) -> int:
    """The bytes of the pixels of a page."""
    return sum(sum(page.entries[tag].numbers(order)) for tag in (_STRIP_BYTES, _TILE_BYTES, _OLD_JPEG_BYTES)
               if tag in page.entries)
