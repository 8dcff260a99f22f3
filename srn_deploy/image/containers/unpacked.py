"""What an image file consists of, whatever its format: the common types of this package."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from srn_deploy.errors import UnreadableImage, UnsupportedImage


class Container(StrEnum):
    """A file format."""

    PNG = "PNG"
    JPEG = "JPEG"
    WEBP = "WebP"
    TIFF = "TIFF"
    BMP = "BMP"
    AVIF = "AVIF"
    HEIC = "HEIC"
    GIF = "GIF"
    JXL = "JPEG XL"


class MetadataKind(StrEnum):
    """A kind of metadata; the value is its name in messages. Its bytes are the same in every format."""

    EXIF = "EXIF"
    """From its TIFF header on, without the `Exif` that JPEG puts before it."""
    XMP = "XMP"
    """The XML packet alone."""
    ICC = "colour profile"
    RESOLUTION = "resolution"
    """As `Resolution.block` writes it, which is not the notation of any format."""
    PNG_COLOUR = "PNG colour description"
    """Whole cICP, cHRM, gAMA and sRGB chunks."""
    EXTENDED_XMP = "extended XMP"
    """Whole JPEG segments: what did not fit into the first XMP packet."""
    JPEG_NOTES = "comment or IPTC block"
    """Whole JPEG segments COM and APP13."""
    PNG_PLACE = "PNG position or scale"
    """Whole oFFs and sCAL chunks."""
    WORLD_FILE = "world file"
    """Six numbers as text, from a file beside the image; it is written beside the result."""
    PNG_TEXT = "PNG text"
    """Whole tEXt, zTXt and iTXt chunks, except the iTXt of XMP."""


Metadata = tuple[tuple[MetadataKind, bytes], ...]

FORMATS = "PNG, JPEG, WebP, TIFF, AVIF or BMP"
"""What is read and written, for sentences."""

EXIF_MARK = b"Exif\0\0"
"""Precedes EXIF in JPEG; some programs write it into the other formats too."""


class Part(NamedTuple):
    """A part of a file that is not carried over, because it belongs to the old pixels or is not known."""

    name: str
    """As in `APP11 (C2PA content credentials)`."""
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class PngKind:
    """How the pixels of a PNG are stored."""

    header: bytes
    """The content of IHDR."""
    packed_bytes: int
    """The length of the deflated pixels."""
    packed: bytes
    """The deflated pixels if there are few enough to check, else empty."""


@dataclass(frozen=True, kw_only=True)
class JpegKind:
    """How the colours of a JPEG are stored."""

    components: int
    """1 for grey, 3 for colour, 4 for CMYK."""
    inverted: bool = False
    """Adobe's programs store CMYK inverted, and mark it with an APP14 segment."""


@dataclass(frozen=True, kw_only=True)
class HeifKind:
    """How the pixels of an AVIF or HEIC are stored."""

    bits: int
    """Per sample: 8, 10 or 12."""


@dataclass(frozen=True, kw_only=True)
class TiffLayout:
    """How the pixels of a TIFF are stored; names and values are those of TIFF 6.0."""

    order: str
    """The byte order: `<` or `>`, as in `struct`."""
    bits: int
    samples: int
    """Per pixel."""
    photometric: int
    compression: int
    predictor: int
    is_planar: bool
    extra: tuple[int, ...]
    """What each sample beyond the colour is: 0 unspecified, 1 associated alpha, 2 unassociated alpha."""
    part_height: int
    part_width: int
    """Of a strip or a tile, in pixels."""
    is_tiled: bool
    parts: tuple[tuple[int, int], ...]
    """Offset and length of each strip or tile, in bytes."""
    palette: tuple[int, ...] = ()
    jpeg_tables: bytes = b""
    fill_order: int = 1
    fax_options: int = 0


@dataclass(frozen=True, kw_only=True)
class Unpacked:
    """An image file taken apart; it is complete as far as its structure shows."""

    container: Container
    without_metadata: bytes
    """The same file without its metadata, so that no codec acts on it or complains about it."""
    height: int
    width: int
    """Both in pixels as stored, before the EXIF orientation is applied."""
    metadata: Metadata = ()
    animated: bool = False
    """Whether there is more than one frame or page."""
    remarks: tuple[str, ...] = ()
    """What was ignored although the user may miss it, as sentences."""
    left_behind: tuple[Part, ...] = ()
    """What the file holds besides the image and its metadata."""
    grey_alpha: bool = False
    """A PNG of grey and alpha, which OpenCV decodes to four channels."""
    transparent_grey: int | None = None
    """The decoded level that means transparent in a grey PNG; OpenCV ignores it."""
    png: PngKind | None = None
    jpeg: JpegKind | None = None
    tiff: TiffLayout | None = None
    heif: HeifKind | None = None


_PROFILE_HEADER_BYTES = 128
_PROFILE_SIGNATURE, _PROFILE_SIGNATURE_AT = b"acsp", 36


def is_profile(data: bytes) -> bool:
    """Whether the header of a colour profile has the right length and signature (ICC.1:2022, section 7.2).

    Some writers pad profiles, so more bytes than the length says do not count as damage.
    """
    return _PROFILE_HEADER_BYTES <= int.from_bytes(data[:4], "big") <= len(data) and \
        data.startswith(_PROFILE_SIGNATURE, _PROFILE_SIGNATURE_AT)


def broken(path: Path, what: str) -> UnreadableImage:
    """The error for an incomplete or damaged file; `what` continues a sentence that starts with the path."""
    return UnreadableImage(f"{path} {what}.", remedy=f"Give a complete {FORMATS} file.")


def unsupported(path: Path, what: str) -> UnsupportedImage:
    """The error for a complete file of a variant that cannot be read correctly; `what` continues as in `broken`."""
    return UnsupportedImage(f"{path} {what}.", remedy="Save it as PNG, or as an 8-bit or 16-bit TIFF in grey or RGB.")
