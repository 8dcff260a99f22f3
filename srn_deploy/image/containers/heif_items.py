"""The items of a HEIF file (ISO/IEC 23008-12), as AVIF and HEIC are: images, metadata, and what belongs together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from srn_deploy.image.containers.boxes import Box, Damaged, Fields, boxes, fields

IN_FILE, IN_META = 0, 1
"""Where the bytes of an item lie: by offsets in the file, or in the `idat` box of `meta`."""

_MOST_ITEMS = 1 << 16

TURNS = {(0, None): 1, (1, None): 8, (2, None): 3, (3, None): 6, (0, 0): 4, (0, 1): 2, (1, 0): 5, (1, 1): 7,
         (2, 0): 2, (2, 1): 4, (3, 0): 7, (3, 1): 5}
"""Quarter turns against the clock and the axis of a mirror, to the EXIF orientation that says the same."""


@dataclass(frozen=True, kw_only=True)
class ItemPlace:
    """Where the bytes of an item lie."""

    method: int
    parts: tuple[tuple[int, int], ...]
    """Offset and length of each part, in bytes; a length of 0 goes to the end."""


@dataclass(frozen=True, kw_only=True)
class Items:
    """The `meta` box of a file, taken apart."""

    meta: Box
    primary: int
    kinds: dict[int, bytes]
    """By the number of the item: `av01`, `hvc1`, `grid`, `Exif`; for `mime` the type of its content."""
    kinds_at: dict[int, int]
    """Where the file says the kind of an item, in bytes."""
    places: dict[int, ItemPlace]
    properties: tuple[Box, ...]
    of_item: dict[int, tuple[int, ...]]
    """Indexes into the properties, from 0, in the order in which they apply."""
    references: tuple[tuple[bytes, int, tuple[int, ...]], ...]
    """Kind, from which item, to which."""
    inner: Box | None
    """The `idat` box."""

    def properties_of(self, item: int, kind: bytes) -> Iterator[Box]:
        """The properties of an item of one kind."""
        return (self.properties[index] for index in self.of_item.get(item, ())
                if index < len(self.properties) and self.properties[index].kind == kind)


def read_items(data: bytes) -> Items:
    """The items of a file; raises Damaged where its `meta` box is missing, incomplete or beyond the file."""
    meta = next((box for box in boxes(data, 0, len(data)) if box.kind == b"meta"), None)
    if meta is None:
        raise Damaged
    found = {box.kind: box for box in boxes(data, meta.content + 4, meta.end)}
    if not {b"pitm", b"iinf", b"iloc", b"iprp"} <= found.keys():
        raise Damaged
    stored = {box.kind: box for box in boxes(data, found[b"iprp"].content, found[b"iprp"].end)}
    if not {b"ipco", b"ipma"} <= stored.keys():
        raise Damaged
    kinds = list(_kinds(data, found[b"iinf"]))
    items = Items(meta=meta, primary=_primary(fields(data, found[b"pitm"])),
                  kinds={item: kind for item, kind, _ in kinds}, kinds_at={item: at for item, _, at in kinds},
                  places=dict(_places(fields(data, found[b"iloc"]))),
                  properties=tuple(boxes(data, stored[b"ipco"].content, stored[b"ipco"].end)),
                  of_item=dict(_associations(fields(data, stored[b"ipma"]))),
                  references=tuple(_references(data, found[b"iref"])) if b"iref" in found else (),
                  inner=found.get(b"idat"))
    _check_places(data, items)
    return items


def content(data: bytes, items: Items, item: int) -> bytes:
    """The bytes of an item; empty for places that are not read."""
    place = items.places.get(item)
    if place is None or place.method not in (IN_FILE, IN_META) or (place.method == IN_META and items.inner is None):
        return b""
    start = items.inner.content if place.method == IN_META and items.inner is not None else 0
    end = items.inner.end if place.method == IN_META and items.inner is not None else len(data)
    return b"".join(data[start + offset:start + offset + length if length else end] for offset, length in place.parts)


def _check_places(data: bytes, items: Items) -> None:
    """Raise Damaged where a part of an item lies beyond the file, as in one that is truncated."""
    for place in items.places.values():
        if place.method == IN_FILE and any(offset + length > len(data) for offset, length in place.parts):
            raise Damaged


def _primary(of: Fields) -> int:
    version, _ = of.version_and_flags()
    return of.number(4 if version else 2)


def _kinds(data: bytes, iinf: Box) -> Iterator[tuple[int, bytes, int]]:
    of = fields(data, iinf)
    version, _ = of.version_and_flags()
    of.number(4 if version else 2)
    for box in boxes(data, of.at, iinf.end):
        entry = fields(data, box)
        version, _ = entry.version_and_flags()
        if box.kind != b"infe" or version < 2:
            continue
        item, _, kind = entry.number(4 if version > 2 else 2), entry.number(2), entry.take(4)
        at = entry.at - 4
        if kind == b"mime":
            entry.text()
            kind = entry.text()
        yield item, kind, at


def _places(of: Fields) -> Iterator[tuple[int, ItemPlace]]:
    version, _ = of.version_and_flags()
    sizes = of.number(2)
    offset_bytes, length_bytes, base_bytes = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    index_bytes = sizes & 15 if version else 0
    for _ in range(min(of.number(4 if version == 2 else 2), _MOST_ITEMS)):
        item = of.number(4 if version == 2 else 2)
        method = of.number(2) & 15 if version else IN_FILE
        of.number(2)
        base = of.number(base_bytes)
        parts = []
        for _ in range(of.number(2)):
            of.number(index_bytes)
            parts.append((base + of.number(offset_bytes), of.number(length_bytes)))
        yield item, ItemPlace(method=method, parts=tuple(parts))


def _associations(of: Fields) -> Iterator[tuple[int, tuple[int, ...]]]:
    version, flags = of.version_and_flags()
    index_bytes = 2 if flags & 1 else 1
    essential = 1 << (8 * index_bytes - 1)
    for _ in range(min(of.number(4), _MOST_ITEMS)):
        item = of.number(4 if version else 2)
        found = [of.number(index_bytes) & ~essential for _ in range(of.number(1))]
        yield item, tuple(index - 1 for index in found if index)


def _references(data: bytes, iref: Box) -> Iterator[tuple[bytes, int, tuple[int, ...]]]:
    of = fields(data, iref)
    version, _ = of.version_and_flags()
    number_bytes = 4 if version else 2
    for box in boxes(data, of.at, iref.end):
        one = fields(data, box)
        source = one.number(number_bytes)
        yield box.kind, source, tuple(one.number(number_bytes) for _ in range(one.number(2)))
