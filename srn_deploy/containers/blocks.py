"""What a picture file is made of, whatever its format."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from srn_deploy.errors import UnreadableImage


class Container(StrEnum):
    """A file format."""

    PNG = "PNG"
    JPEG = "JPEG"
    WEBP = "WebP"


class Block(StrEnum):
    """A kind of metadata, by the name that people know; its bytes are the same in every format."""

    EXIF = "EXIF"
    """From its TIFF header on, without JPEG's `Exif` in front."""
    XMP = "XMP"
    """The XML packet alone."""
    ICC = "colour profile"
    PNG_COLOUR = "PNG colour description"
    """Whole cICP, cHRM, gAMA and sRGB chunks."""
    EXTENDED_XMP = "extended XMP"
    """Whole JPEG segments: what did not fit the first XMP packet."""


Metadata = tuple[tuple[Block, bytes], ...]

EXIF_MARK = b"Exif\0\0"
"""Stands before EXIF in JPEG; some programs write it into the other formats too."""


@dataclass(frozen=True, kw_only=True)
class Unpacked:
    """A file that is whole as far as its structure tells."""

    picture: bytes
    """The same file without metadata, so that no codec acts on it or complains about it."""
    metadata: Metadata = ()
    animated: bool = False
    grey_alpha: bool = False
    """A PNG of grey and alpha, which OpenCV decodes to four channels."""
    transparent_grey: int | None = None
    """The decoded level that means transparent in a grey PNG; OpenCV passes it over."""


def broken(path: Path, what: str) -> UnreadableImage:
    """The error for a file that is not whole; `what` continues the sentence that its path begins."""
    return UnreadableImage(f"{path} {what}.", remedy="Give a whole PNG, JPEG or WebP file.")
