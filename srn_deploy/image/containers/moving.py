"""Metadata that follows its image: turned upright, enlarged, and without references to parts that are left behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from srn_deploy.image.containers.exif import moved_exif, without_unclear_pixels
from srn_deploy.image.containers.extended_xmp import joined, split, with_reference
from srn_deploy.image.containers.pixel_map import PixelMap
from srn_deploy.image.containers.png_blocks import moved_places
from srn_deploy.image.containers.resolution import from_block
from srn_deploy.image.containers.unpacked import Metadata, MetadataKind, Part
from srn_deploy.image.containers.world_file import moved_world_file
from srn_deploy.image.containers.xmp_pixels import moved_xmp, without_extension, without_lost_parts

_ONCE = (MetadataKind.EXIF, MetadataKind.XMP)

_Change = Callable[[bytes], tuple[bytes, tuple[Part, ...]]]


def moved(metadata: Metadata, pixels: PixelMap) -> tuple[Metadata, tuple[Part, ...]]:
    """Metadata with everything that is counted in pixels as it is in the result, and what had to be left out."""
    metadata, left = _xmp_changed(metadata, lambda packet: moved_xmp(packet, pixels))
    blocks: list[tuple[MetadataKind, bytes]] = []
    for kind, block in metadata:
        if kind is MetadataKind.EXIF:
            moved_block, parts = moved_exif(block, pixels)
            blocks.append((kind, moved_block))
            left += parts
        elif kind is MetadataKind.PNG_PLACE:
            places, parts = moved_places(block, pixels)
            blocks += [(kind, places)] if places else []
            left += parts
        elif kind is MetadataKind.WORLD_FILE:
            blocks.append((kind, moved_world_file(block, pixels)))
        elif kind is MetadataKind.RESOLUTION and pixels.swaps:
            found = from_block(block)
            blocks.append((kind, replace(found, x=found.y, y=found.x).block()))
        else:
            blocks.append((kind, block))
    return tuple(blocks), left


def cleaned(metadata: Metadata) -> tuple[Metadata, tuple[Part, ...]]:
    """Metadata whose XMP refers to no other part of the file and whose EXIF can be moved, and what is left behind."""
    metadata, left = _xmp_changed(metadata, without_lost_parts)
    blocks: list[tuple[MetadataKind, bytes]] = []
    for kind, block in metadata:
        kept, parts = without_unclear_pixels(block) if kind is MetadataKind.EXIF else (block, ())
        blocks.append((kind, kept))
        left += parts
    return tuple(blocks), left


def without_repeats(metadata: Metadata) -> tuple[Metadata, tuple[Part, ...]]:
    """Metadata with the first of several EXIF or XMP blocks, which is the one that readers take; and the others."""
    kept: list[tuple[MetadataKind, bytes]] = []
    left: list[Part] = []
    for kind, block in metadata:
        if kind in _ONCE and any(kind is known for known, _ in kept):
            left.append(Part(f"further {kind}", len(block)))
        else:
            kept.append((kind, block))
    return tuple(kept), tuple(left)


def consistent(metadata: Metadata) -> Metadata:
    """Metadata whose XMP refers to an extension only if that is there too."""
    if any(kind is MetadataKind.EXTENDED_XMP for kind, _ in metadata):
        return metadata
    return tuple((kind, without_extension(block) if kind is MetadataKind.XMP else block) for kind, block in metadata)


def _xmp_changed(metadata: Metadata, change: _Change) -> tuple[Metadata, tuple[Part, ...]]:
    """Metadata with XMP and its extension changed; the main packet names its extension by a digest."""
    changed: list[tuple[MetadataKind, bytes]] = []
    left: list[Part] = []
    extension = b""
    for kind, block in metadata:
        is_extension = kind is MetadataKind.EXTENDED_XMP
        packet = joined(block) if is_extension else block if kind is MetadataKind.XMP else b""
        new, parts = change(packet) if packet else (packet, ())
        left += parts
        if new == packet:
            changed.append((kind, block))
        elif new:
            changed.append((kind, split(new) if is_extension else new))
            extension = new if is_extension else extension
    if not extension:
        return tuple(changed), tuple(left)
    return tuple((kind, with_reference(block, extension) if kind is MetadataKind.XMP else block)
                 for kind, block in changed), tuple(left)
