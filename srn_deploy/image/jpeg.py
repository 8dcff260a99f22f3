"""JPEG: decoded by libjpeg-turbo's own interface, which tells what OpenCV passes over; encoded by OpenCV."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import cv2
import simplejpeg

from srn_deploy.errors import UnreadableImage
from srn_deploy.image.containers import Unpacked
from srn_deploy.image.picture import Decoded, Pixels

QUALITY = 95

_COLOUR_SPACES = {1: "Gray", 3: "RGB", 4: "CMYK"}

_LEFT_OVER = ("extraneous bytes", "marker 0xd9")
"""libjpeg's words for bytes behind the last pixel: all pixels had been decoded before, without complaint."""


def options(quality: int | None) -> tuple[int, ...]:
    """For the encoder; full colour resolution, because halving it would undo a part of the upscaling."""
    return (cv2.IMWRITE_JPEG_QUALITY, quality or QUALITY,
            cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)


def decode(unpacked: Unpacked, path: Path) -> Decoded:
    """Raises UnreadableImage for a scan that is damaged in a way that libjpeg notices."""
    assert unpacked.jpeg is not None
    space = _COLOUR_SPACES[unpacked.jpeg.components]
    pixels, remarks = decoded_scan(unpacked.picture, space, path)
    if unpacked.jpeg.inverted and space == "CMYK":
        pixels = 255 - pixels
    return Decoded(colour=pixels, is_cmyk=space == "CMYK", remarks=remarks)


def scan_size(data: bytes, path: Path) -> tuple[int, int]:
    """Height and width as the header says, without decoding; raises UnreadableImage."""
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(data)
    except ValueError as error:
        raise _damaged(path, error) from error
    return int(height), int(width)


def decoded_scan(data: bytes, space: str, path: Path) -> tuple[Pixels, tuple[str, ...]]:
    """(H, W, channels) uint8, and what is to be told."""
    try:
        return _decoded(data, space, strict=True), ()
    except ValueError as error:
        if not all(word in str(error) for word in _LEFT_OVER):
            raise _damaged(path, error) from error
    try:
        pixels = _decoded(data, space, strict=False)
    except ValueError as error:
        raise _damaged(path, error) from error
    said = f"{path}: bytes are left over behind the last pixel of the JPEG; if the picture looks damaged, the file is."
    return pixels, (said,)


def _decoded(data: bytes, space: str, *, strict: bool) -> Pixels:
    return cast(Pixels, simplejpeg.decode_jpeg(data, space, strict=strict))


def _damaged(path: Path, error: ValueError) -> UnreadableImage:
    reason = str(error).strip().rstrip(".").removeprefix("Corrupt JPEG data: ")
    return UnreadableImage(f"{path} is a damaged JPEG: {reason}.",
                           remedy="Give a whole file. If it is the only one, open it in an image editor and save what "
                                  "can be seen.")
