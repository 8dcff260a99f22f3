"""Picture files as the chunks they are made of: is the file whole, and what travels beside its pixels.

Codecs fill missing parts with grey, lose metadata without a word and complain on stderr; so files are
checked here, and metadata is taken out and put in by the formats' own rules. EXIF, XMP, colour profiles
and PNG's colour chunks travel; comments, thumbnails beside EXIF and print resolution do not.
"""

from __future__ import annotations

from pathlib import Path

from srn_deploy.containers import jpeg, png, webp
from srn_deploy.containers.blocks import Block, Container, Metadata, Unpacked, broken

__all__ = ["Block", "Container", "Metadata", "Unpacked", "pack", "sort_out", "unpack"]


def unpack(data: bytes, path: Path) -> Unpacked:
    """Take a file apart; raises UnreadableImage, naming `path`, if it is empty, of another kind, or not whole."""
    if not data:
        raise broken(path, "is empty")
    if data.startswith(png.START):
        return png.unpack(data, path)
    if data.startswith(jpeg.START):
        return jpeg.unpack(data, path)
    if webp.is_webp(data):
        return webp.unpack(data, path)
    raise broken(path, "is no PNG, JPEG or WebP file")


def pack(container: Container, encoded: bytes, metadata: Metadata, *, height: int, width: int,
         has_alpha: bool) -> bytes:
    """Put metadata that `sort_out` kept into a freshly encoded file, which has none; sizes in pixels."""
    if not metadata:
        return encoded
    if container is Container.PNG:
        return png.pack(encoded, metadata)
    if container is Container.JPEG:
        return jpeg.pack(encoded, metadata)
    return webp.pack(encoded, metadata, height=height, width=width, has_alpha=has_alpha)


def sort_out(container: Container, metadata: Metadata, *, is_grey: bool) -> tuple[Metadata, tuple[str, ...]]:
    """What the container can hold, and a sentence for each block that it cannot.

    PNG chunks that only say sRGB go without a word: that is what the other formats mean anyway.
    is_grey: the pixels are stored as one channel, not as RGB with or without alpha.
    """
    if container is not Container.PNG:
        metadata = tuple((kind, block) for kind, block in metadata
                         if kind is not Block.PNG_COLOUR or not png.is_plain_srgb(block))
    reasons = [_why_lost(container, kind, block, is_grey=is_grey) for kind, block in metadata]
    kept = tuple(block for block, reason in zip(metadata, reasons, strict=True) if not reason)
    lost = tuple(f"The {kind} is left behind: {reason}."
                 for (kind, _), reason in zip(metadata, reasons, strict=True) if reason)
    return kept, lost


def _why_lost(container: Container, kind: Block, block: bytes, *, is_grey: bool) -> str:
    """A clause; empty if the block can be kept."""
    if kind is Block.PNG_COLOUR:
        return "" if container is Container.PNG else f"{container} has no place for it"
    if kind is Block.EXTENDED_XMP:
        return "" if container is Container.JPEG else f"{container} has no place for it"
    if kind is Block.ICC and (mismatch := _why_unsuitable(container, block, stored="GRAY" if is_grey else "RGB")):
        return mismatch
    return jpeg.why_too_long(kind, block) if container is Container.JPEG else ""


def _why_unsuitable(container: Container, profile: bytes, stored: str) -> str:
    described = profile[16:20].decode("latin-1").strip()  # the field "data colour space" of ICC.1:2022
    # Many grey JPEG files carry an RGB profile, and readers pass over it.
    if described == stored or (container is Container.JPEG and (described, stored) == ("RGB", "GRAY")):
        return ""
    return f"it describes {described or 'nothing'}, the pixels are stored as {stored}"
