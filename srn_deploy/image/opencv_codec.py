"""PNG and lossy WebP through OpenCV, without its messages on stderr."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import cv2
import numpy as np

from srn_deploy.errors import UnreadableImage, UnwritableImage
from srn_deploy.image.containers import Unpacked, check_png
from srn_deploy.image.effort import Effort
from srn_deploy.image.pixels import Decoded, Pixels
from srn_deploy.system.threads import fitting_threads

LIMIT_VARIABLE = "OPENCV_IO_MAX_IMAGE_PIXELS"
_LIMIT_PX = 1 << 30
"""OpenCV's limit, unless that environment variable sets another before OpenCV is loaded."""

# The average and Paeth filters leave so few repetitions in a photograph that looking for them only costs time; drawings
# have them, so the smallest file is the smaller of two. The record of benchmarks/effort_table.py has time and size.
_HUFFMAN = (cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY)
_AVERAGE = (cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_AVG)
_PAETH = (cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_PAETH)
_REPETITIONS = (cv2.IMWRITE_PNG_COMPRESSION, 6, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_FILTERED,
                cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_ALL_FILTERS)
PNG_OPTIONS: dict[Effort, tuple[tuple[int, ...], ...]] = {
    Effort.FAST: (_HUFFMAN + _AVERAGE,), Effort.NORMAL: (_HUFFMAN + _PAETH,),
    Effort.SMALL: (_HUFFMAN + _PAETH, _REPETITIONS)}
"""Settings of OpenCV's encoder, of which the one with the smallest file is kept."""


def webp_options(quality: int) -> tuple[int, ...]:
    """Parameters for OpenCV's encoder: quality 1 to 100."""
    return (cv2.IMWRITE_WEBP_QUALITY, quality)


def decode_png(unpacked: Unpacked, path: Path) -> Decoded:
    """Decode a PNG; raises UnreadableImage for damaged pixels."""
    check_png(unpacked, path)
    return decode(unpacked, path)


def decode_webp(unpacked: Unpacked, path: Path) -> Decoded:
    """Decode a WebP; raises UnreadableImage for damaged pixels."""
    return decode(unpacked, path)


def decode(unpacked: Unpacked, path: Path) -> Decoded:
    """Decode pixels whose structure was checked; raises UnreadableImage where they are damaged."""
    _check_limit(unpacked, path)
    decoded = decoded_pixels(unpacked.without_metadata, path)
    channels = decoded.shape[2]
    if channels == 1:
        return Decoded(colour=decoded, alpha=_alpha_of_grey(decoded, unpacked.transparent_grey))
    colour = decoded[..., :1].copy() if unpacked.grey_alpha else reversed_colour(decoded[..., :3])
    return Decoded(colour=colour, alpha=decoded[..., 3:] if channels == 4 else None)


def decoded_pixels(data: bytes, path: Path) -> Pixels:
    """Decode any format that OpenCV knows to uint8 or uint16: (H, W, 1) grey, (H, W, 3) BGR or (H, W, 4) BGRA.

    Raises UnreadableImage.
    """
    try:
        with _quiet_opencv():
            decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise UnreadableImage(f"{path} cannot be decoded: {error.err}.",
                              remedy="The file is damaged; give a complete one.") from error
    if decoded is None or decoded.dtype not in (np.uint8, np.uint16):
        raise UnreadableImage(f"{path} cannot be decoded.", remedy="The file is damaged; give a complete one.")
    return cast(Pixels, np.atleast_3d(decoded))


def _check_limit(unpacked: Unpacked, path: Path) -> None:
    stated = os.environ.get(LIMIT_VARIABLE, "")
    limit = int(stated) if stated.isdecimal() else _LIMIT_PX
    if unpacked.height * unpacked.width > limit:
        raise UnreadableImage(
            f"{path} has {unpacked.width} x {unpacked.height} px, and OpenCV decodes at most {limit} pixels.",
            remedy=f"Start again with the environment variable {LIMIT_VARIABLE}={unpacked.height * unpacked.width}, "
                   "or cut the image into parts.")


def reversed_colour(colour: Pixels) -> Pixels:
    """Convert (H, W, 3) from BGR to RGB or back, into a new array; OpenCV takes a tenth of the time of numpy."""
    cv2.setNumThreads(fitting_threads(cv2.getNumThreads()))
    return cast(Pixels, cv2.cvtColor(np.ascontiguousarray(colour), cv2.COLOR_BGR2RGB))


def _alpha_of_grey(decoded: Pixels, transparent: int | None) -> Pixels | None:
    if transparent is None:
        return None
    alpha = np.full_like(decoded, np.iinfo(decoded.dtype).max)
    alpha[decoded == transparent] = 0
    return alpha


def encode_png(path: Path, colour: Pixels, alpha: Pixels | None, effort: Effort) -> bytes:
    """Encode as PNG without metadata; as `encode_by_opencv`."""
    return min((encode_by_opencv(path, ".png", colour, alpha, options) for options in PNG_OPTIONS[effort]), key=len)


def encode_by_opencv(path: Path, suffix: str, colour: Pixels, alpha: Pixels | None, options: Sequence[int]) -> bytes:
    """Encode in the format of a suffix, without metadata; grey with alpha is stored in four channels.

    colour: (H, W, 1) or (H, W, 3) RGB. alpha: (H, W, 1). options: parameters of OpenCV's encoder. Raises
    UnwritableImage if OpenCV cannot encode it; `path` is only used in messages.
    """
    pixels = colour if colour.shape[2] == 1 else reversed_colour(colour)
    if alpha is not None:
        pixels = np.concatenate([np.broadcast_to(pixels, (*pixels.shape[:2], 3)), alpha], axis=2)
    try:
        with _quiet_opencv():
            written, buffer = cv2.imencode(suffix, np.ascontiguousarray(pixels), options)
    except cv2.error as error:
        raise UnwritableImage(f"{path} cannot be encoded: {error.err}.", remedy="Choose another format.") from error
    if not written:
        raise UnwritableImage(f"{path} cannot be encoded.", remedy="Choose another format, or free memory.")
    return buffer.tobytes()


_quiet_lock = threading.Lock()
_quiet_users = 0
_usual_level = 0


@contextmanager
def _quiet_opencv() -> Iterator[None]:
    """Silence OpenCV's log while any thread is inside: what it would print is raised as an error here."""
    global _quiet_users, _usual_level
    with _quiet_lock:
        _quiet_users += 1
        if _quiet_users == 1:
            _usual_level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        with _quiet_lock:
            _quiet_users -= 1
            if _quiet_users == 0:
                cv2.utils.logging.setLogLevel(_usual_level)
