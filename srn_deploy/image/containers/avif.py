"""Metadata put into an AVIF that an encoder wrote: items beside its image, byte for byte as they are kept elsewhere."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence

from srn_deploy.image.containers.boxes import box, boxes, fields
from srn_deploy.image.containers.exif import orientation
from srn_deploy.image.containers.heif_items import IN_FILE, TURNS, ItemPlace, Items, read_items
from srn_deploy.image.containers.unpacked import Metadata, MetadataKind

_XMP_TYPE = b"application/rdf+xml"
_HEADER_BYTES = 8


def pack(encoded: bytes, metadata: Metadata) -> bytes:
    """Insert EXIF, XMP and a colour profile into an AVIF of one image that has none of them yet.

    The new items lie in a box of their own before the pixels, where OpenCV expects them.
    """
    items, blocks = read_items(encoded), dict(metadata)
    added: list[tuple[int, bytes, bytes]] = []
    following = max(items.kinds) + 1
    if MetadataKind.EXIF in blocks:
        added.append((following, _entry(following, b"Exif"), bytes(4) + blocks[MetadataKind.EXIF]))
    if MetadataKind.XMP in blocks:
        number = following + len(added)
        added.append((number, _entry(number, b"mime", _XMP_TYPE + b"\0"), blocks[MetadataKind.XMP]))
    new = tuple(_properties(blocks))
    payload = box(b"mdat", *(content for _, _, content in added)) if added else b""
    meta_end = items.meta.start + len(_meta(encoded, items, added, new, 0))
    meta = _meta(encoded, items, added, new, meta_end)
    return encoded[:items.meta.start] + meta + payload + encoded[items.meta.end:]


def _entry(number: int, kind: bytes, more: bytes = b"") -> bytes:
    """An item in the list of items: version 2, not protected, without a name."""
    return box(b"infe", struct.pack(">IHH4s", 2 << 24, number, 0, kind), b"\0", more)


def _meta(data: bytes, items: Items, added: list[tuple[int, bytes, bytes]], new: Sequence[bytes], end: int) -> bytes:
    """The `meta` box with the new items; end: where it ends, in bytes."""
    children: list[bytes] = []
    references = [box(b"cdsc", struct.pack(">HHH", number, 1, items.primary)) for number, _, _ in added]
    has_references = False
    for child in boxes(data, items.meta.content + 4, items.meta.end):
        whole, inner = data[child.start:child.end], data[child.content:child.end]
        if child.kind == b"iinf":
            of = fields(data, child)
            version, _ = of.version_and_flags()
            count = of.number(4 if version else 2) + len(added)
            whole = box(b"iinf", inner[:4], count.to_bytes(4 if version else 2, "big"), data[of.at:child.end],
                        *(entry for _, entry, _ in added))
        elif child.kind == b"iloc":
            whole = _iloc(items, [(number, len(content)) for number, _, content in added], end)
        elif child.kind == b"iref":
            has_references = True
            whole = box(b"iref", inner, *references)
        elif child.kind == b"iprp" and new:
            whole = _iprp(data, items, child.content, child.end, new)
        children.append(whole)
    if references and not has_references:
        children.append(box(b"iref", bytes(4), *references))
    return box(b"meta", data[items.meta.content:items.meta.content + 4], *children)


def _iloc(items: Items, added: Sequence[tuple[int, int]], end: int) -> bytes:
    """Where every item lies: version 1, offsets and lengths of 4 bytes; the new items follow the end of `meta`."""
    payload_bytes = _HEADER_BYTES + sum(length for _, length in added) if added else 0
    growth = end + payload_bytes - items.meta.end
    places = {number: ItemPlace(method=place.method, parts=tuple(
        (offset + (growth if place.method == IN_FILE and offset >= items.meta.end else 0), length)
        for offset, length in place.parts)) for number, place in items.places.items()}
    at = end + _HEADER_BYTES
    for number, length in added:
        places[number] = ItemPlace(method=IN_FILE, parts=((at, length),))
        at += length
    entries = [struct.pack(">HHHH", number, place.method, 0, len(place.parts))
               + b"".join(struct.pack(">II", *part) for part in place.parts) for number, place in places.items()]
    return box(b"iloc", struct.pack(">IHH", 1 << 24, 0x4400, len(entries)), *entries)


def _iprp(data: bytes, items: Items, start: int, end: int, new: Sequence[bytes]) -> bytes:
    """The properties with new ones, which belong to the primary image; turns have to be understood by a reader."""
    first = len(items.properties) + 1
    of_item = {number: [found + 1 for found in indexes] for number, indexes in items.of_item.items()}
    of_item.setdefault(items.primary, []).extend(range(first, first + len(new)))
    essential = _essential(data, start, end) | {
        (first + place, items.primary) for place, one in enumerate(new) if one[4:8] in (b"irot", b"imir")}
    entries = [struct.pack(">HB", number, len(indexes)) + b"".join(
        struct.pack(">H", found | ((found, number) in essential) << 15) for found in indexes)
        for number, indexes in of_item.items()]
    ipco = next(child for child in boxes(data, start, end) if child.kind == b"ipco")
    return box(b"iprp", box(b"ipco", data[ipco.content:ipco.end], *new),
               box(b"ipma", struct.pack(">II", 1, len(entries)), *entries))


def _properties(blocks: Mapping[MetadataKind, bytes]) -> Iterator[bytes]:
    """The colour profile, and the turn that EXIF asks for, because readers of AVIF do not take it from there."""
    if MetadataKind.ICC in blocks:
        yield box(b"colr", b"prof", blocks[MetadataKind.ICC])
    turn = orientation(blocks.get(MetadataKind.EXIF, b""))
    quarters, axis = next(found for found, number in TURNS.items() if number == turn)
    if quarters:
        yield box(b"irot", bytes([quarters]))
    if axis is not None:
        yield box(b"imir", bytes([axis]))


def _essential(data: bytes, start: int, end: int) -> set[tuple[int, int]]:
    """Property and item of every association that a reader has to understand."""
    ipma = next(child for child in boxes(data, start, end) if child.kind == b"ipma")
    of = fields(data, ipma)
    version, flags = of.version_and_flags()
    index_bytes, found = 2 if flags & 1 else 1, set()
    top = 1 << (8 * index_bytes - 1)
    for _ in range(of.number(4)):
        item = of.number(4 if version else 2)
        for _ in range(of.number(1)):
            value = of.number(index_bytes)
            if value & top:
                found.add((value & ~top, item))
    return found
