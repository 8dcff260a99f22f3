"""JPEG: decoded by libjpeg-turbo's own interface, which reports damage that OpenCV ignores; encoded by OpenCV."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import cv2
import simplejpeg

from srn_deploy.errors import UnreadableImage
from srn_deploy.image.containers import Unpacked
from srn_deploy.image.pixels import Decoded, Pixels

QUALITY = 95
"""Unless the user gives another, 1 to 100."""

_COLOUR_SPACES = {1: "Gray", 3: "RGB", 4: "CMYK"}

_EXTRANEOUS = ("extraneous bytes", "marker 0xd9")
"""libjpeg's words for bytes after the last pixel: by then all pixels have been decoded without complaint."""


def options(quality: int | None) -> tuple[int, ...]:
    """Parameters for OpenCV's encoder, with quality 1 to 100.

    Colour is stored in full resolution, because halving it would undo part of the upscaling.
    """
    return (cv2.IMWRITE_JPEG_QUALITY, quality or QUALITY,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)


def decode(unpacked: Unpacked, path: Path) -> Decoded:
    """Decode a JPEG to grey, RGB or CMYK; raises UnreadableImage for damage that libjpeg notices."""
    assert unpacked.jpeg is not None
    space = _COLOUR_SPACES[unpacked.jpeg.components]
    pixels, remarks = decoded_scan(unpacked.without_metadata, space, path)
    if unpacked.jpeg.inverted and space == "CMYK":
        pixels = 255 - pixels
    return Decoded(colour=pixels, is_cmyk=space == "CMYK", remarks=remarks)


def scan_size(data: bytes, path: Path) -> tuple[int, int]:
    """Height and width in pixels from the header, without decoding; raises UnreadableImage."""
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(data)
    except ValueError as error:
        raise _damaged(path, error) from error
    return int(height), int(width)


def decoded_scan(data: bytes, space: str, path: Path) -> tuple[Pixels, tuple[str, ...]]:
    """Decode to (H, W, channels) uint8 and remarks; raises UnreadableImage.

    space: `Gray`, `RGB` or `CMYK`, as libjpeg-turbo is to convert the pixels.
    """
    try:
        return _decoded(data, space, strict=True), ()
    except ValueError as error:
        if not all(word in str(error) for word in _EXTRANEOUS):
            raise _damaged(path, error) from error
    try:
        pixels = _decoded(data, space, strict=False)
    except ValueError as error:
        raise _damaged(path, error) from error
    remark = f"{path}: the JPEG has extra bytes after its last pixel; if it looks damaged, the file is."
    return pixels, (remark,)


def _decoded(data: bytes, space: str, *, strict: bool) -> Pixels:
    return cast(Pixels, simplejpeg.decode_jpeg(data, space, strict=strict))


def _damaged(path: Path, error: ValueError) -> UnreadableImage:
    reason = str(error).strip().rstrip(".").removeprefix("Corrupt JPEG data: ")
    return UnreadableImage(f"{path} is a damaged JPEG: {reason}.",
                           remedy="Give a complete file. If there is no other, open it in an image editor and save "
                                  "what can be seen.")
