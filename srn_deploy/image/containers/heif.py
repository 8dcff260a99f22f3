"""AVIF and HEIC files: HEIF containers, whose items are images and metadata (ISO/IEC 23008-12; AVIF 1.1)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from srn_deploy.image.containers.boxes import Damaged, boxes, fields
from srn_deploy.image.containers.exif import with_orientation
from srn_deploy.image.containers.heif_items import TURNS, Items, content, read_items
from srn_deploy.image.containers.png import chunk
from srn_deploy.image.containers.unpacked import Container, HeifKind, Metadata, MetadataKind, Part, Unpacked, broken

_AVIF_BRANDS = {b"avif", b"avis"}
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_HEIF_BRANDS = {b"mif1", b"msf1"}
_LOOKED_AT_BYTES = 4096

_XMP_TYPE = b"application/rdf+xml"
_NO_KIND = b"free"
_KNOWN_BOXES = {b"ftyp", b"meta", b"mdat", b"moov", b"free", b"skip", b"wide"}
_PLAIN_NAMES = {b"uuid": " (of another standard, such as content credentials)"}
_FIRST_TURNED = 5
_UNSPECIFIED, _BT709, _SRGB_CURVE = 2, 1, 13
"""Code points of ISO/IEC 23091-2."""


def container_by_brands(data: bytes) -> Container | None:
    """AVIF or HEIC by the brands in the first box; None for other files, and for HEIF with neither of them."""
    if data[4:8] != b"ftyp":
        return None
    end = max(16, min(int.from_bytes(data[:4], "big"), len(data), _LOOKED_AT_BYTES))
    brands = [data[8:12], *(data[at:at + 4] for at in range(16, end - 3, 4))]
    for brand in brands:
        if brand in _AVIF_BRANDS:
            return Container.AVIF
        if brand in _HEIC_BRANDS:
            return Container.HEIC
    return None


def unpack(data: bytes, path: Path, container: Container) -> Unpacked:
    """Take an AVIF or HEIC apart; raises UnreadableImage if it is incomplete.

    The turn that the file asks for becomes the EXIF orientation, which it replaces (HEIF, "Transformative item
    properties"). Colours that are neither sRGB nor described by a profile become a cICP chunk.
    """
    try:
        items = read_items(data)
        height, width = _size(data, items)
        turn = _turn(data, items)
        if container is Container.HEIC:  # whose decoder crops and turns the image itself
            height, width = _cropped(data, items, height, width)
            height, width, turn = (width, height, 1) if turn >= _FIRST_TURNED else (height, width, 1)
        return Unpacked(
            container=container, without_metadata=_without_metadata(data, items), height=height, width=width,
            metadata=_metadata(data, items, turn),
            animated=any(box.kind == b"moov" for box in boxes(data, 0, len(data))),
            left_behind=tuple(_left_behind(data, items)), heif=HeifKind(bits=_bits(data, items)))
    except Damaged as error:
        raise broken(path, f"is a truncated or damaged {container}") from error


def _without_metadata(data: bytes, items: Items) -> bytes:
    """The file with metadata as items of a kind that no codec knows: OpenCV fails where they lie behind the pixels."""
    changed = bytearray(data)
    for item, kind in items.kinds.items():
        if kind in (b"Exif", _XMP_TYPE):
            changed[items.kinds_at[item]:items.kinds_at[item] + 4] = _NO_KIND
    return bytes(changed)


def _size(data: bytes, items: Items) -> tuple[int, int]:
    """Height and width of the primary image as stored; raises Damaged where there is none."""
    for box in items.properties_of(items.primary, b"ispe"):
        of = fields(data, box)
        of.version_and_flags()
        width, height = of.number(4), of.number(4)
        if width and height:
            return height, width
    raise Damaged


def _cropped(data: bytes, items: Items, height: int, width: int) -> tuple[int, int]:
    """Height and width after the crop that the file asks for (`clap`): encoders fill up to whole blocks."""
    for box in items.properties_of(items.primary, b"clap"):
        of = fields(data, box)
        across, across_parts, down, down_parts = (of.number(4) for _ in range(4))
        if not (across and across_parts and down and down_parts):
            raise Damaged
        return min(height, round(down / down_parts)), min(width, round(across / across_parts))
    return height, width


def _bits(data: bytes, items: Items) -> int:
    """Bits per sample of the primary image; 8 where the file does not say."""
    for box in items.properties_of(items.primary, b"pixi"):
        of = fields(data, box)
        of.version_and_flags()
        return max((of.number(1) for _ in range(of.number(1))), default=8)
    return 8


def _turn(data: bytes, items: Items) -> int:
    """The EXIF orientation, 1 to 8, of the turn that the file asks for."""
    angles = [fields(data, box).number(1) & 3 for box in items.properties_of(items.primary, b"irot")]
    axes = [fields(data, box).number(1) & 1 for box in items.properties_of(items.primary, b"imir")]
    return TURNS[angles[0] if angles else 0, axes[0] if axes else None]


def _metadata(data: bytes, items: Items, turn: int) -> Metadata:
    """EXIF with the orientation of the file, XMP and colours."""
    about = {source for kind, source, targets in items.references if kind == b"cdsc" and items.primary in targets}
    found: list[tuple[MetadataKind, bytes]] = []
    for item, kind in items.kinds.items():
        if kind == b"Exif" and item in about:
            found.append((MetadataKind.EXIF, _exif(content(data, items, item))))
        elif kind == _XMP_TYPE and item in about:
            found.append((MetadataKind.XMP, content(data, items, item).rstrip(b"\0")))
    exif = with_orientation(dict(found).get(MetadataKind.EXIF, b""), turn)
    others = [(kind, block) for kind, block in found if kind is not MetadataKind.EXIF and block]
    first = [(MetadataKind.EXIF, exif)] if exif else []
    return (*first, *(block for block in found[1:] if first and block[0] is MetadataKind.EXIF), *others,
            *_colours(data, items))


def _exif(payload: bytes) -> bytes:
    """The block from its TIFF header on, whose offset comes first."""
    return payload[4 + int.from_bytes(payload[:4], "big"):]


def _colours(data: bytes, items: Items) -> Iterator[tuple[MetadataKind, bytes]]:
    """The colour profile; else a cICP chunk of PNG for colours that are not those of sRGB."""
    described: dict[bytes, bytes] = {}
    for box in items.properties_of(items.primary, b"colr"):
        of = fields(data, box)
        kind = of.take(4)
        described.setdefault(b"prof" if kind == b"rICC" else kind, of.take(of.end - of.at))
    if profile := described.get(b"prof"):
        yield MetadataKind.ICC, profile
    elif len(codes := described.get(b"nclx", b"")) >= 7:
        primaries, curve = (int.from_bytes(codes[at:at + 2], "big") for at in (0, 2))
        if primaries not in (_BT709, _UNSPECIFIED) or curve not in (_BT709, _SRGB_CURVE, _UNSPECIFIED):
            yield MetadataKind.PNG_COLOUR, chunk(b"cICP", bytes([primaries & 255, curve & 255, 0, 1]))


def _left_behind(data: bytes, items: Items) -> Iterator[Part]:
    """Images besides the primary one, its tiles, its transparency and thumbnails; and boxes that are not known."""
    own = {items.primary}
    for kind, source, targets in items.references:
        if kind == b"dimg" and source == items.primary:
            own |= set(targets)
    for kind, source, _ in items.references:
        if kind == b"thmb" or (kind in (b"auxl", b"cdsc") and _is_alpha_or_metadata(data, items, source)):
            own.add(source)
            own |= {tile for of, whole, tiles in items.references if of == b"dimg" and whole == source
                    for tile in tiles}
    tiles = {tile for kind, source, targets in items.references if kind == b"dimg" and source not in own
             for tile in targets}
    for item, kind in items.kinds.items():
        if item not in own | tiles:
            yield Part(_name(data, items, item, kind), len(content(data, items, item)))
    for box in boxes(data, 0, len(data)):
        if box.kind not in _KNOWN_BOXES:
            name = _PLAIN_NAMES.get(box.kind, "")
            yield Part(f"box {box.kind.decode('latin-1')}{name}", box.end - box.start)


def _is_alpha_or_metadata(data: bytes, items: Items, item: int) -> bool:
    auxiliary = _auxiliary(data, items, item)
    return items.kinds.get(item) in (b"Exif", _XMP_TYPE) or b"alpha" in auxiliary or auxiliary.endswith(b":auxid:1")


def _auxiliary(data: bytes, items: Items, item: int) -> bytes:
    """The name of what an auxiliary image is; empty for other items."""
    for box in items.properties_of(item, b"auxC"):
        of = fields(data, box)
        of.version_and_flags()
        return of.text()
    return b""


def _name(data: bytes, items: Items, item: int, kind: bytes) -> str:
    auxiliary = _auxiliary(data, items, item).lower()
    if b"hdrgainmap" in auxiliary or kind == b"tmap":
        return "gain map (the result is the SDR image)"
    if b"depth" in auxiliary or b"disparity" in auxiliary or b":auxid:2" in auxiliary:
        return "depth map"
    if auxiliary:
        return "auxiliary image"
    return "further image" if kind in (b"av01", b"hvc1", b"grid", b"iden", b"iovl", b"jpeg") else \
        f"item {kind.decode('latin-1')[:40]}"
