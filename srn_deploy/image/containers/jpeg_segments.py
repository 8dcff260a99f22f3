"""The marked segments of a JPEG (ITU-T T.81 annex B)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from srn_deploy.errors import UnsupportedImage
from srn_deploy.image.containers.unpacked import broken

_START_OF_SCAN, _END = 0xDA, 0xD9
_FILL = 0xFF
_WITHOUT_CONTENT = {0x00, 0x01, _FILL, *range(0xD0, 0xD9)}
_JPEG_LS = 0xF7
_PROCESSES = {0xC3: "lossless JPEG", 0xC5: "hierarchical JPEG", 0xC6: "hierarchical JPEG", 0xC7: "hierarchical JPEG",
              0xCB: "lossless JPEG", 0xCD: "hierarchical JPEG", 0xCE: "hierarchical JPEG", 0xCF: "hierarchical JPEG",
              _JPEG_LS: "JPEG-LS"}
"""Frames that libjpeg does not decode, and which browsers and most programs do not show either."""

# Within coded pixels FF is followed by 0 (a stuffed byte) or a restart marker; anything else ends them.
_END_OF_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def segments(data: bytes, path: Path, at: int = 0) -> Iterator[tuple[int, int, bytes]]:
    """Offset, marker and bytes of each segment up to the end marker; a scan includes its coded pixels.

    at: where the JPEG begins; `path` is only used in messages. Raises UnreadableImage if there is no end
    marker, UnsupportedImage for processes that libjpeg does not decode.
    """
    at += 2
    while (at := data.find(b"\xff", at)) >= 0 and at + 2 <= len(data):
        marker, end = data[at + 1], at + 2
        if marker == _END:
            yield at, marker, data[at:end]
            return
        if marker in _WITHOUT_CONTENT:
            at += 1 if marker == _FILL else 2
            continue
        if marker in _PROCESSES:
            raise UnsupportedImage(f"{path} is a {_PROCESSES[marker]} image, which few programs read.",
                                   remedy="Convert it to PNG with the program that made it.")
        end += int.from_bytes(data[end:end + 2], "big")
        if marker == _START_OF_SCAN:
            found = _END_OF_SCAN.search(data, end)
            end = found.start() if found else len(data) + 1
        if end > len(data):
            break
        yield at, marker, data[at:end]
        at = end
    raise broken(path, "is a truncated JPEG")
