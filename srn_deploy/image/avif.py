"""AVIF: decoded by OpenCV, which keeps 10 and 12 bits; written in 8 by OpenCV without loss, by Pillow with it.

OpenCV halves the resolution of colour where it loses anything, which would undo part of the upscaling; Pillow cannot
write without loss. Both carry libavif. Metadata are put in by `containers.avif`.
"""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import features

from srn_deploy.errors import UnsupportedImage, UnwritableImage
from srn_deploy.image.containers import Unpacked, broken
from srn_deploy.image.levels import widened
from srn_deploy.image.opencv_codec import decoded_pixels, encode_by_opencv, reversed_colour
from srn_deploy.image.pixels import Decoded, Pixels
from srn_deploy.system.threads import threads_in_use

QUALITY = 95
"""Unless the user gives another, 1 to 100. Measured on a photograph enlarged to 765 x 509: 133 KB and 44.7 dB, where
JPEG at its default takes 164 KB for 43.3 dB."""
LOSSLESS = 100
_SPEED, _LOSSLESS_SPEED = 8, 9
"""Of 0 to 10. On the same photograph 6 instead of 8 takes four times as long for 0.4 dB more at 16 % more bytes, and
without loss 8 instead of 9 twice as long for 6 % less."""


def decode(unpacked: Unpacked, path: Path) -> Decoded:
    """Decode an AVIF to 8 bits, or to 16 where it has 10 or 12; raises UnreadableImage for damaged pixels."""
    if not cv2.haveImageWriter("any.avif"):
        raise UnsupportedImage(f"{path} is an AVIF image, which this build of OpenCV does not read.",
                               remedy="Install opencv-python-headless from PyPI, or save the image as PNG.")
    pixels = decoded_pixels(unpacked.without_metadata, path)
    if pixels.shape[:2] != (unpacked.height, unpacked.width):
        raise broken(path, "is a damaged AVIF: its pixels have another size than its header says")
    if pixels.dtype == np.uint16 and unpacked.heif is not None:
        pixels = widened(pixels, min(max(unpacked.heif.bits, 9), 16))
    channels = pixels.shape[2]
    colour = pixels if channels == 1 else reversed_colour(pixels[..., :3])
    return Decoded(colour=colour, alpha=pixels[..., 3:] if channels == 4 else None)


def encode(path: Path, colour: Pixels, alpha: Pixels | None, quality: int | None) -> bytes:
    """Encode 8 bits without metadata; quality 1 to 100, where 100 is without any loss.

    Unless a quality is given, an image with alpha is written without loss too, because alpha has the quality of colour.

    colour: (H, W, 1) or (H, W, 3) uint8. alpha: (H, W, 1) uint8. Raises UnwritableImage; `path` is only used in
    messages.
    """
    if quality == LOSSLESS or (quality is None and alpha is not None):
        options = (cv2.IMWRITE_AVIF_QUALITY, LOSSLESS, cv2.IMWRITE_AVIF_SPEED, _LOSSLESS_SPEED)
        return encode_by_opencv(path, ".avif", colour, alpha, options)
    if not features.check("avif"):
        raise UnwritableImage(f"{path}: this build of Pillow does not write AVIF.",
                              remedy="Install Pillow from PyPI, or choose another format.")
    pixels = colour[..., 0] if colour.shape[2] == 1 else colour
    if alpha is not None:
        pixels = np.concatenate([np.broadcast_to(colour, (*colour.shape[:2], 3)), alpha], axis=2)
    buffer = io.BytesIO()
    try:
        Pillow.fromarray(np.ascontiguousarray(pixels)).save(
            buffer, "AVIF", quality=quality or QUALITY, subsampling="4:0:0" if pixels.ndim == 2 else "4:4:4",
            speed=_SPEED, max_threads=threads_in_use())
    except (OSError, ValueError) as error:
        raise UnwritableImage(f"{path} cannot be encoded: {error}.", remedy="Choose another format.") from error
    return buffer.getvalue()
