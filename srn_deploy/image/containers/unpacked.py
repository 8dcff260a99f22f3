"""What a picture file is made of, whatever its format."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from srn_deploy.errors import UnreadableImage, UnsupportedImage


class Container(StrEnum):
    """A file format."""

    PNG = "PNG"
    JPEG = "JPEG"
    WEBP = "WebP"
    TIFF = "TIFF"
    BMP = "BMP"


class MetadataKind(StrEnum):
    """A kind of metadata, by the name that people know; its bytes are the same in every format."""

    EXIF = "EXIF"
    """From its TIFF header on, without JPEG's `Exif` in front."""
    XMP = "XMP"
    """The XML packet alone."""
    ICC = "colour profile"
    RESOLUTION = "resolution"
    """As `resolution.Resolution` writes it, not as any format does."""
    PNG_COLOUR = "PNG colour description"
    """Whole cICP, cHRM, gAMA and sRGB chunks."""
    EXTENDED_XMP = "extended XMP"
    """Whole JPEG segments: what did not fit the first XMP packet."""
    JPEG_NOTES = "comment or IPTC block"
    """Whole JPEG segments COM and APP13."""
    PNG_TEXT = "text beside the picture"
    """Whole tEXt, zTXt and iTXt chunks but for XMP's."""


Metadata = tuple[tuple[MetadataKind, bytes], ...]

EXIF_MARK = b"Exif\0\0"
"""Stands before EXIF in JPEG; some programs write it into the other formats too."""


@dataclass(frozen=True, kw_only=True)
class PngKind:
    """How the pixels of a PNG are stored."""

    header: bytes
    """The content of IHDR."""
    packed_bytes: int
    """The length of the deflated pixels."""
    packed: bytes
    """They themselves where they are few, else empty."""


@dataclass(frozen=True, kw_only=True)
class JpegKind:
    """What the pixels of a JPEG stand for."""

    components: int
    """1 grey, 3 colours, 4 inks."""
    inverted: bool = False
    """Adobe's programs store inks the other way round, and leave their mark."""


@dataclass(frozen=True, kw_only=True)
class TiffLayout:
    """How the pixels of a TIFF are stored; names and numbers are those of TIFF 6.0."""

    order: str
    """`<` or `>`."""
    bits: int
    samples: int
    """Per pixel."""
    photometric: int
    compression: int
    predictor: int
    is_planar: bool
    extra: tuple[int, ...]
    """What each sample beyond the colour is: 0 is not said, 1 associated alpha, 2 alpha."""
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
    """A file that is whole as far as its structure tells."""

    container: Container
    picture: bytes
    """The same file without metadata, so that no codec acts on it or complains about it."""
    height: int
    width: int
    """In pixels, as they lie in the file."""
    metadata: Metadata = ()
    animated: bool = False
    """More pictures than one, whether they are called frames or pages."""
    remarks: tuple[str, ...] = ()
    """What was passed over although somebody may miss it, as sentences."""
    grey_alpha: bool = False
    """A PNG of grey and alpha, which OpenCV decodes to four channels."""
    transparent_grey: int | None = None
    """The decoded level that means transparent in a grey PNG; OpenCV passes it over."""
    png: PngKind | None = None
    jpeg: JpegKind | None = None
    tiff: TiffLayout | None = None


_PROFILE_HEADER_BYTES = 128
_PROFILE_SIGNATURE, _PROFILE_SIGNATURE_AT = b"acsp", 36


def is_profile(data: bytes) -> bool:
    """Whether a colour profile is whole as far as its header tells (ICC.1:2022, section 7.2): length and signature.

    Some writers pad profiles, so that more bytes than the length says are no damage.
    """
    return _PROFILE_HEADER_BYTES <= int.from_bytes(data[:4], "big") <= len(data) and \
        data.startswith(_PROFILE_SIGNATURE, _PROFILE_SIGNATURE_AT)


def broken(path: Path, what: str) -> UnreadableImage:
    """The error for a file that is not whole; `what` continues the sentence that its path begins."""
    return UnreadableImage(f"{path} {what}.", remedy="Give a whole PNG, JPEG, WebP, TIFF or BMP file.")


def unsupported(path: Path, what: str) -> UnsupportedImage:
    """The error for a whole file of a kind that no library here reads right; `what` continues its path."""
    return UnsupportedImage(f"{path} {what}.", remedy="Save it as PNG, or as TIFF with 8 or 16 bits in grey or RGB.")
