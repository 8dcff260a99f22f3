"""BMP: decoded by Pillow, which knows its many variants; encoded here, because no library keeps alpha or profiles."""

from __future__ import annotations

import io
from pathlib import Path
from typing import cast

import numpy as np
from PIL import BmpImagePlugin

from srn_deploy.errors import UnreadableImage
from srn_deploy.image.containers import Unpacked, bmp_header
from srn_deploy.image.pixels import Decoded, Pixels

_MASKS = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
"""Red, green, blue and alpha within 32 bits."""

_MODES = {"1": "L", "P": "RGB", "RGBX": "RGB"}
"""Modes that Pillow may decode to, and the mode they are converted to."""


def decode(unpacked: Unpacked, path: Path) -> Decoded:
    """Decode a BMP; a palette of greys becomes grey. Raises UnreadableImage for damaged pixels."""
    try:
        # Not Image.open, which has its own limit for the number of pixels.
        with BmpImagePlugin.BmpImageFile(io.BytesIO(unpacked.without_metadata)) as opened:
            pixels = np.array(opened.convert(_MODES.get(opened.mode, opened.mode)))
    except (OSError, ValueError, IndexError, SyntaxError, OverflowError, KeyError, TypeError) as error:
        raise UnreadableImage(f"{path} is a damaged BMP: {error}.", remedy="Give a complete file.") from error
    planes = cast(Pixels, np.atleast_3d(pixels))
    return Decoded(colour=planes[..., :3], alpha=planes[..., 3:] if planes.shape[2] == 4 else None)


def encode(colour: Pixels, alpha: Pixels | None) -> bytes:
    """Encode 8-bit pixels without metadata: grey as a palette of 256 greys, RGB in 24 bits, with alpha in 32 bits.

    colour: (H, W, 1) or (H, W, 3) uint8. alpha: (H, W, 1) uint8.
    """
    height, width, channels = colour.shape
    if alpha is not None:
        planes = np.concatenate([np.broadcast_to(colour[..., ::-1], (height, width, 3)), alpha], axis=2)
        masks, palette = _MASKS, b""
    else:
        planes, masks = colour[..., ::-1], (0, 0, 0, 0)
        palette = b"".join(bytes([level, level, level, 0]) for level in range(256)) if channels == 1 else b""
    rows = planes.reshape(height, -1)[::-1]
    padded = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4)))
    return bmp_header(height=height, width=width, depth=8 * planes.shape[2], palette=palette,
                      masks=masks) + padded.tobytes()
