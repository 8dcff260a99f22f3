"""XMP packets: where each property lies, so that single values are changed and everything else stays as it is.

A packet is parsed by expat and changed in its bytes (Adobe's XMP specification, part 1: RDF/XML, where a simple
property is an attribute or an element). Packets with a document type, which could define entities, are refused.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple
from xml.parsers import expat

_PREFIXES = {
    "http://www.w3.org/1999/02/22-rdf-syntax-ns#": "rdf", "http://ns.adobe.com/tiff/1.0/": "tiff",
    "http://ns.adobe.com/exif/1.0/": "exif", "http://ns.adobe.com/xap/1.0/": "xmp",
    "http://ns.adobe.com/xmp/note/": "xmpNote", "http://purl.org/dc/terms/": "dcterms",
    "http://ns.adobe.com/camera-raw-settings/1.0/": "crs", "http://ns.google.com/photos/1.0/panorama/": "GPano",
    "http://ns.google.com/photos/1.0/camera/": "GCamera", "http://ns.google.com/photos/1.0/container/": "Container",
    "http://ns.google.com/photos/1.0/container/item/": "Item", "http://ns.google.com/photos/dd/1.0/device/": "Device",
    "http://ns.google.com/photos/1.0/depthmap/": "GDepth", "http://ns.google.com/photos/1.0/image/": "GImage",
    "http://ns.google.com/photos/1.0/audio/": "GAudio", "http://ns.adobe.com/hdr-gain-map/1.0/": "hdrgm",
    "http://ns.apple.com/HDRGainMap/1.0/": "HDRGainMap", "http://ns.apple.com/pixeldatainfo/1.0/": "apdi",
    "http://www.metadataworkinggroup.com/schemas/regions/": "mwg-rs",
    "http://ns.adobe.com/xmp/sType/Area#": "stArea", "http://ns.adobe.com/xap/1.0/sType/Dimensions#": "stDim",
    "http://iptc.org/std/Iptc4xmpExt/2008-02-29/": "Iptc4xmpExt",
    "http://ns.microsoft.com/photo/1.2/t/Region#": "MPReg", "http://ns.oplus.com/photos/1.0/camera/": "OpCamera",
    "http://www.dji.com/drone-dji/1.0/": "drone-dji",
}
"""Namespaces that mean something here, with their usual prefixes; a packet may use others."""

_ATTRIBUTE = re.compile(rb"""\s+([^\s=/>]+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_TAG_END = re.compile(rb"\s*/?>")
_LISTS = frozenset({"rdf:Seq", "rdf:Bag", "rdf:Alt"})
_BOMS = ((codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"), (codecs.BOM_UTF16_LE, "utf-16-le"),
         (codecs.BOM_UTF16_BE, "utf-16-be"))
_STARTS = ((b"<\0\0\0", "utf-32-le"), (b"\0\0\0<", "utf-32-be"), (b"<\0", "utf-16-le"), (b"\0<", "utf-16-be"))


_MOST_ELEMENTS, _DEEPEST, _MOST_NAMESPACES = 500_000, 200, 1000
"""Bounds on what is parsed: real packets stay far below them."""


class Value(NamedTuple):
    """A simple value."""

    text: str
    start: int
    end: int
    """Where it lies in the packet."""


class Property(NamedTuple):
    """A property, or the declaration of a namespace."""

    name: str
    """With the usual prefix, whatever the packet's, as in `tiff:Orientation`; `xmlns PREFIX` for a declaration."""
    holder: int
    """The number of the element that it belongs to: properties of one structure share it."""
    values: tuple[Value, ...]
    """One for a simple property, those of its items for a list."""
    start: int
    end: int
    """Where the whole attribute or element lies in the packet."""
    number: int = 0
    """Of its own element, which is the holder of what is inside; 0 for an attribute."""

    @property
    def text(self) -> str:
        """The simple value; empty for a list or a structure."""
        return self.values[0].text.strip() if len(self.values) == 1 else ""


class Edit(NamedTuple):
    """Bytes that replace a range of a packet."""

    start: int
    end: int
    new: str


def removal(found: Property) -> Edit:
    """The edit that takes a property out."""
    return Edit(found.start, found.end, "")


def edited(packet: bytes, change: Callable[[list[Property]], Iterable[Edit]]) -> bytes | None:
    """The packet with the edits that `change` asks for, else the same bytes; None if it is not well-formed."""
    encoding = _encoding(packet)
    try:
        plain = packet if encoding == "utf-8" else packet.decode(encoding).encode()
        edits = sorted(change(list(_properties(plain))), key=lambda edit: (edit.start, -edit.end))
    except (expat.ExpatError, _Refused, UnicodeError, ValueError, IndexError):
        return None
    if not edits:
        return packet
    parts, at = [], 0
    for edit in edits:
        if edit.start >= at:  # an edit inside of what is taken out has no place any more
            parts += [plain[at:edit.start], edit.new.encode()]
            at = edit.end
    whole = b"".join((*parts, plain[at:]))
    return whole if encoding == "utf-8" else whole.decode().encode(encoding)


def _encoding(packet: bytes) -> str:
    return next((name for start, name in (*_BOMS, *_STARTS) if packet.startswith(start)), "utf-8")


class _Refused(Exception):
    """The packet declares a document type, or has more elements than any real one."""


def _refuse_type(*_: object) -> None:
    raise _Refused


@dataclass
class _Element:
    """An element that is open."""

    name: str
    number: int
    start: int
    content_at: int
    is_closed: bool
    """Whether its tag ends itself, as in `<a/>`."""
    namespaces: dict[str, str]
    text: list[str] = field(default_factory=list)
    items: list[Value] = field(default_factory=list)
    is_simple: bool = True


def _properties(packet: bytes) -> Iterator[Property]:
    """Every property, outer ones after those that they contain."""
    found: list[Property] = []
    open_elements = [_Element(name="", number=0, start=0, content_at=0, is_closed=False, namespaces={})]
    parser = expat.ParserCreate("utf-8")
    parser.ordered_attributes = True
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _refuse_type
    count = 0

    def begin(name: str, attributes: list[str]) -> None:
        nonlocal count
        count += 1
        outer, at = open_elements[-1], parser.CurrentByteIndex
        if count > _MOST_ELEMENTS or len(open_elements) > _DEEPEST or len(outer.namespaces) > _MOST_NAMESPACES:
            raise _Refused
        outer.is_simple = False
        spans, end = _spans(packet, at)
        pairs = list(zip(attributes[::2], attributes[1::2], spans, strict=True))
        declared = {key.partition(":")[2]: value for key, value, _ in pairs if key.split(":")[0] == "xmlns"}
        namespaces = outer.namespaces | declared if declared else outer.namespaces
        tag = _TAG_END.match(packet, end)
        closing = tag.group() if tag else b">"
        open_elements.append(_Element(name=_named(name, namespaces), number=count, start=at, is_closed=b"/" in closing,
                                      content_at=end + len(closing), namespaces=namespaces))
        for key, value, (whole_at, value_at, value_end) in pairs:
            label = f"xmlns {_PREFIXES.get(value, value)}" if key.split(":")[0] == "xmlns" else _named(key, namespaces)
            found.append(Property(label, count, (Value(value, value_at, value_end),), whole_at, value_end + 1))

    def finish(name: str) -> None:
        element, outer, at = open_elements.pop(), open_elements[-1], parser.CurrentByteIndex
        end = element.content_at if element.is_closed else packet.index(b">", at) + 1
        value = Value("".join(element.text), element.content_at, element.content_at if element.is_closed else at)
        if element.name == "rdf:li" and element.is_simple and outer.name in _LISTS:
            outer.items.append(value)
        elif element.name in _LISTS:
            outer.items += element.items
        values = (value,) if element.is_simple and not element.is_closed else tuple(element.items)
        found.append(Property(element.name, outer.number, values, element.start, end, element.number))

    parser.StartElementHandler = begin
    parser.EndElementHandler = finish
    parser.CharacterDataHandler = lambda text: open_elements[-1].text.append(text)
    parser.Parse(packet, True)
    yield from found


_TAG_NAME = re.compile(rb"<[^\s/>]+")


def _spans(packet: bytes, at: int) -> tuple[list[tuple[int, int, int]], int]:
    """Of each attribute in a start tag: where it and its value begin, where its value ends; and the tag's own end."""
    name = _TAG_NAME.match(packet, at)
    end = name.end() if name else at
    spans = []
    while (found := _ATTRIBUTE.match(packet, end)) is not None:
        group = 2 if found.group(2) is not None else 3
        spans.append((found.start(), found.start(group), found.end(group)))
        end = found.end()
    return spans, end


def _named(name: str, namespaces: dict[str, str]) -> str:
    """A name with the usual prefix of its namespace; an undeclared prefix is taken for the usual one."""
    prefix, _, local = name.rpartition(":")
    space = namespaces.get(prefix, "")
    return f"{_PREFIXES.get(space, space)}:{local}" if space else name
