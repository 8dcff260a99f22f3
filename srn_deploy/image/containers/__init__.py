"""The structure of image files: checks that a file is complete, and takes its metadata out or puts it in.

Codecs fill missing parts with grey, drop metadata silently and complain on stderr. So files are checked here before a
codec sees them, and metadata is read and written by the rules of each format. EXIF, XMP, colour profiles, the
resolution, PNG's colour and text chunks, and JPEG's comments are carried over; thumbnails next to EXIF are not.

One module per format (`png`, `jpeg`, `webp`, `tiff`, `bmp`, `heif` with `avif`) finds the pieces, `foreign` names files
of other kinds.
`exif` and `xmp_pixels` change what depends on the size of the image, `moving` all of it at once; `xmp` and `ifd` are
the notations below them, `resolution` is pixels per inch in one notation.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from srn_deploy.image.containers import avif, bmp, heif, jpeg, jpeg_xl, png, tiff, tiff_tags, webp
from srn_deploy.image.containers.bmp import header as bmp_header
from srn_deploy.image.containers.exif import is_georeferenced
from srn_deploy.image.containers.foreign import foreign, is_text
from srn_deploy.image.containers.ifd import BIG_STARTS, HEADER_BYTES, byte_order
from srn_deploy.image.containers.moving import cleaned, consistent, without_repeats
from srn_deploy.image.containers.png import check_pixels as check_png
from srn_deploy.image.containers.resolution import Unit, as_metadata, from_block, from_exif
from srn_deploy.image.containers.unpacked import (
    FORMATS,
    Container,
    Metadata,
    MetadataKind,
    Part,
    TiffLayout,
    Unpacked,
    broken,
    is_profile,
    unsupported,
)

__all__ = ["FORMATS", "Container", "Metadata", "MetadataKind", "TiffLayout", "Unpacked", "bmp_header", "broken",
           "check_png", "cleaned_up", "listed", "pack", "resolution_of_exif", "select_supported", "unpack",
           "unsupported"]


def unpack(data: bytes, path: Path) -> Unpacked:
    """Separate the bytes of an image file into pixels and metadata, without decoding the pixels.

    Raises UnreadableImage if the data is empty, of an unknown format or incomplete, and UnsupportedImage for variants
    that cannot be read correctly; `path` is only used in messages. A damaged colour profile is ignored with a remark.
    """
    return cleaned_up(_unpacked(data, path), path)


def cleaned_up(unpacked: Unpacked, path: Path) -> Unpacked:
    """The same with one block of each kind of metadata, and without what refers to parts that are left behind."""
    first, repeats = without_repeats(unpacked.metadata)
    cleaned_metadata, parts = cleaned(first)
    unpacked = replace(unpacked, metadata=cleaned_metadata, left_behind=unpacked.left_behind + repeats + parts)
    metadata = tuple((kind, block) for kind, block in unpacked.metadata
                     if kind is not MetadataKind.ICC or is_profile(block))
    if len(metadata) == len(unpacked.metadata):
        return unpacked
    remark = f"{path}: the damaged colour profile of the {unpacked.container} is ignored."
    return replace(unpacked, metadata=metadata, remarks=(*unpacked.remarks, remark))


def _unpacked(data: bytes, path: Path) -> Unpacked:
    if not data:
        raise broken(path, "is empty")
    if data.startswith(png.START):
        return png.unpack(data, path)
    if data.startswith(jpeg.START):
        return jpeg.unpack(data, path)
    if webp.is_webp(data):
        return webp.unpack(data, path)
    if byte_order(data.ljust(HEADER_BYTES)) is not None or data[:4] in BIG_STARTS:
        return tiff.unpack(data, path)
    if data.startswith(bmp.START) and not is_text(data):
        return bmp.unpack(data, path)
    if (found := heif.container_by_brands(data)) is not None:
        return heif.unpack(data, path, found)
    if jpeg_xl.is_jpeg_xl(data):
        return jpeg_xl.unpack(data, path)
    raise foreign(data, path) or broken(path, f"is not a {FORMATS} file")


_MOST_NAMED = 12
"""Parts that are named in one line; the rest is counted."""


def listed(parts: tuple[Part, ...]) -> str:
    """Each kind of part with its size in bytes, in the order of the file, for a sentence."""
    sizes: dict[str, int] = {}
    for name, size_bytes in parts:
        sizes[name] = sizes.get(name, 0) + size_bytes
    named = [f"{name}, {size:,} byte{'s' * (size != 1)}" for name, size in sizes.items()]
    more = [f"{len(named) - _MOST_NAMED:,} further parts"] if len(named) > _MOST_NAMED else []
    return "; ".join(named[:_MOST_NAMED] + more)


def pack(container: Container, encoded: bytes, metadata: Metadata, *, height: int, width: int,
         has_alpha: bool) -> bytes:
    """Insert metadata into an encoded file that has none yet, and return the file.

    metadata: what `select_supported` kept. height, width: of the image, in pixels.
    """
    if not metadata:
        return encoded
    if container is Container.PNG:
        return png.pack(encoded, metadata)
    if container is Container.JPEG:
        return jpeg.pack(encoded, metadata)
    if container is Container.TIFF:
        return tiff_tags.pack(encoded, metadata)
    if container is Container.BMP:
        return bmp.pack(encoded, metadata)
    if container is Container.AVIF:
        return avif.pack(encoded, metadata)
    return webp.pack(encoded, metadata, height=height, width=width, has_alpha=has_alpha)


def resolution_of_exif(exif: bytes) -> Metadata:
    """The resolution given in an EXIF block, as metadata of its own; empty if EXIF does not give one."""
    return as_metadata(from_exif(exif))


def select_supported(container: Container, metadata: Metadata, *, is_grey: bool) -> tuple[Metadata, tuple[str, ...]]:
    """Split metadata into what a format can hold, and one sentence for each kind that it cannot.

    is_grey: the pixels are stored as one channel, not as RGB with or without alpha.
    PNG chunks that only say sRGB are dropped without a sentence, because the other formats assume sRGB anyway.
    """
    if container is not Container.PNG:
        metadata = tuple((kind, block) for kind, block in metadata
                         if kind is not MetadataKind.PNG_COLOUR or not png.is_plain_srgb(block))
    reasons = [_why_lost(container, kind, block, is_grey=is_grey) for kind, block in metadata]
    kept = tuple(block for block, reason in zip(metadata, reasons, strict=True) if not reason)
    # A resolution that the kept EXIF repeats is not lost.
    repeated = [from_exif(block) for kind, block in kept if kind is MetadataKind.EXIF]
    reasons = [reason if kind is not MetadataKind.RESOLUTION or from_block(block) not in repeated else ""
               for (kind, block), reason in zip(metadata, reasons, strict=True)]
    lost = tuple(f"The {kind} is left behind: {reason}."
                 for (kind, _), reason in zip(metadata, reasons, strict=True) if reason)
    if container is not Container.TIFF and any(
            kind is MetadataKind.EXIF and is_georeferenced(block) for kind, block in kept):
        lost += (f"The georeference is only in the EXIF of the {container}, where few programs look: write a .tif.",)
    return consistent(kept), lost


_OF_JPEG = (MetadataKind.EXTENDED_XMP, MetadataKind.JPEG_NOTES)
_OF_PNG = (MetadataKind.PNG_COLOUR, MetadataKind.PNG_PLACE, MetadataKind.PNG_TEXT)

_WITHOUT = {
    Container.PNG: _OF_JPEG,
    Container.JPEG: _OF_PNG,
    Container.WEBP: (*_OF_PNG, *_OF_JPEG, MetadataKind.RESOLUTION),
    Container.TIFF: (*_OF_PNG, *_OF_JPEG),
    Container.AVIF: (*_OF_PNG, *_OF_JPEG, MetadataKind.RESOLUTION),
    Container.BMP: (*_OF_PNG, *_OF_JPEG, MetadataKind.EXIF, MetadataKind.XMP),
}
"""The kinds of metadata that a format cannot hold."""


def _why_lost(container: Container, kind: MetadataKind, block: bytes, *, is_grey: bool) -> str:
    """The reason as a clause; empty if the block can be kept."""
    if kind in _WITHOUT[container]:
        return f"{container} has no place for it"
    if kind is MetadataKind.RESOLUTION:
        if container is Container.BMP and from_block(block).unit is Unit.NONE:
            return "BMP has no place for the shape of a pixel alone"
        return jpeg.why_no_density(block) if container is Container.JPEG else ""
    stored = "GRAY" if is_grey else "RGB"
    if kind is MetadataKind.ICC and (mismatch := _why_unsuitable(container, block, stored)):
        return mismatch
    return jpeg.why_too_long(kind, block) if container is Container.JPEG else ""


def _why_unsuitable(container: Container, profile: bytes, stored: str) -> str:
    described = profile[16:20].decode("latin-1").strip()  # the field "data colour space" of ICC.1:2022
    # Many grey JPEG files carry an RGB profile, and readers ignore it.
    if described == stored or (container is Container.JPEG and (described, stored) == ("RGB", "GRAY")):
        return ""
    return f"it describes {described or 'nothing'}, the pixels are stored as {stored}"
