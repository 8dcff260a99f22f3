"""XMP packets for tests, as programs write them."""

from __future__ import annotations

import re

NAMESPACES = {
    "tiff": "http://ns.adobe.com/tiff/1.0/", "exif": "http://ns.adobe.com/exif/1.0/",
    "GPano": "http://ns.google.com/photos/1.0/panorama/", "GCamera": "http://ns.google.com/photos/1.0/camera/",
    "Container": "http://ns.google.com/photos/1.0/container/", "Item": "http://ns.google.com/photos/1.0/container/item/",
    "hdrgm": "http://ns.adobe.com/hdr-gain-map/1.0/", "dcterms": "http://purl.org/dc/terms/",
    "dc": "http://purl.org/dc/elements/1.1/", "xmpNote": "http://ns.adobe.com/xmp/note/",
    "GDepth": "http://ns.google.com/photos/1.0/depthmap/", "crs": "http://ns.adobe.com/camera-raw-settings/1.0/",
    "mwg-rs": "http://www.metadataworkinggroup.com/schemas/regions/",
    "stArea": "http://ns.adobe.com/xmp/sType/Area#", "stDim": "http://ns.adobe.com/xap/1.0/sType/Dimensions#",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "drone-dji": "http://www.dji.com/drone-dji/1.0/", "MPReg": "http://ns.microsoft.com/photo/1.2/t/Region#"}


def packet(attributes: str = "", elements: str = "") -> bytes:
    """A packet with one description; namespaces are declared for the prefixes that it uses."""
    used = [prefix for prefix in NAMESPACES if re.search(rf"[ <]{prefix}:", f" {attributes} {elements}")]
    declared = " ".join(f'xmlns:{prefix}="{NAMESPACES[prefix]}"' for prefix in used)
    return (f'<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
            f'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
            f'<rdf:Description rdf:about="" {declared} {attributes}>{elements}'
            f'</rdf:Description></rdf:RDF></x:xmpmeta>{" " * 40}<?xpacket end="w"?>').encode()


def as_attributes(values: dict[str, str]) -> bytes:
    """Simple properties in the short form of RDF."""
    return packet(attributes=" ".join(f'{name}="{value}"' for name, value in values.items()))


def as_elements(values: dict[str, str]) -> bytes:
    """Simple properties in the long form of RDF."""
    return packet(elements="\n ".join(f"<{name}>{value}</{name}>" for name, value in values.items()))


def value(of: bytes, name: str) -> str | None:
    """The value of a simple property, in either form."""
    found = re.search(rf'(?:{name}="([^"]*)"|<{name}>([^<]*)</{name}>)', of.decode())
    return None if found is None else found.group(1) or found.group(2)


def items(of: bytes, name: str) -> list[str]:
    """The items of a list."""
    found = re.search(rf"<{name}>(.*?)</{name}>", of.decode(), re.DOTALL)
    return re.findall(r"<rdf:li>(.*?)</rdf:li>", found.group(1)) if found else []


def sequence(name: str, *numbers: int) -> str:
    """A list of numbers as an element."""
    return f"<{name}><rdf:Seq>{''.join(f'<rdf:li>{number}</rdf:li>' for number in numbers)}</rdf:Seq></{name}>"
