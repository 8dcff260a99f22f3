"""What a JPEG holds besides its image and the metadata that is kept: it is named, because no result has it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from srn_deploy.errors import ImageError
from srn_deploy.image.containers.jpeg_segments import segments
from srn_deploy.image.containers.unpacked import Part

_APP0, _APP1, _APP2, _APP11, _APP12, _APP14, _LAST_APP = 0xE0, 0xE1, 0xE2, 0xEB, 0xEC, 0xEE, 0xEF
_FOR_CODECS = ((_APP0, b"JFIF\0"), (_APP2, b"MPF\0"), (_APP12, b"Ducky"), (_APP14, b"Adobe"))
"""Segments about the coding, and the index of further images, which are named where they lie."""
_NAMED = (
    (_APP0, b"JFXX\0", "thumbnail"), (_APP1, b"FLIR\0", "thermal data of FLIR"),
    (_APP2, b"FPXR\0", "FlashPix data"), (_APP2, b"urn:iso:std:iso:ts:21496", "gain map's description"),
    (_APP12, b"[picture info]", "picture info"), (_APP11, b"HDR_RI", "JPEG-HDR data"))
_BOXES, _CREDENTIALS = b"JP", (b"c2pa", b"C2PA")
_IDENTIFIER = re.compile(rb"[A-Za-z][\w:./ -]{2,31}(?=\0)")

_GAIN_MAP = (b"hdrgm:", b"hdr-gain-map", b"aux:hdrgainmap", b"HDRGainMap", b"urn:iso:std:iso:ts:21496")
_DEPTH = (b"aux:disparity", b"aux:depth", b'Semantic="Depth"', b'Semantic="DepthMap"')
_VIDEO = re.compile(rb"ftyp(?:mp4|iso|avc|qt|3g|M4V|MSNV|heic|mmp4)")
_BEGIN = b"\xff\xd8\xff"
_CONTENT = re.compile(rb"[^\0 \r\n\xff]")
"""What is not mere padding."""
_MOST_IMAGES = 50
"""Behind the first one; what follows is one part."""


def segment_part(marker: int, whole: bytes) -> Part | None:
    """A segment of an application as a part that is left behind; None for those that only concern the coding."""
    body = whole[4:]
    if not _APP0 <= marker <= _LAST_APP or any(marker == at and body.startswith(mark) for at, mark in _FOR_CODECS):
        return None
    name = next((name for at, mark, name in _NAMED if marker == at and body.startswith(mark)), "")
    if marker == _APP11 and body.startswith(_BOXES):
        name = "C2PA content credentials" if any(mark in body for mark in _CREDENTIALS) else "JUMBF"
    found = _IDENTIFIER.match(body)
    name = name or (found.group().decode("latin-1") if found else "")
    return Part(f"APP{marker - _APP0}" + (f" ({name})" if name else ""), len(whole))


def parts_behind(rest: bytes, promise: bytes) -> Iterator[Part]:
    """What follows the end of a JPEG: further images, a video, or anything else; nothing for mere padding.

    promise: the XMP of the JPEG, which may say what the parts are.
    """
    at = 0
    for number in count():
        content = _CONTENT.search(rest, at)
        if content is None:
            return
        start = rest.find(_BEGIN, at)
        # A video, or a maker's own, may hold images of its own.
        if number == _MOST_IMAGES or not 0 <= start <= content.start():
            yield Part(_name_of_bytes(rest[at:]), len(rest) - at)
            return
        end = _end_of_jpeg(rest, start)
        yield Part(_name_of_image(rest[start:end], promise), end - start)
        at = end


def _end_of_jpeg(rest: bytes, start: int) -> int:
    """Where a JPEG ends; the end of everything if it is cut off."""
    try:
        return max(at + len(whole) for at, _, whole in segments(rest, Path("behind.jpg"), start))
    except ImageError:
        return len(rest)


def _name_of_bytes(data: bytes) -> str:
    return "video of a motion photo" if _VIDEO.search(data) else "bytes after the end of the JPEG"


def _name_of_image(data: bytes, promise: bytes) -> str:
    if any(mark in data for mark in _GAIN_MAP) or b"GainMap" in promise:
        return "gain map (the result is the SDR image)"
    if any(mark in data for mark in _DEPTH) or any(mark in promise for mark in _DEPTH):
        return "depth map"
    return "further image behind the first"
