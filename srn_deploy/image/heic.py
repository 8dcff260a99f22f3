"""HEIC: decoded by pillow-heif, an extra, because HEVC is a codec of its own; it is not written."""

from __future__ import annotations

import io
from pathlib import Path
from typing import cast

import numpy as np

from srn_deploy.errors import UnreadableImage, missing_package
from srn_deploy.image.containers import Unpacked, broken
from srn_deploy.image.levels import widened
from srn_deploy.image.pixels import Decoded, Pixels

EXTRA, PACKAGE = "heif", "pillow-heif"


def decode(unpacked: Unpacked, path: Path) -> Decoded:
    """Decode a HEIC, turned and cropped as it asks, to 8 bits, or to 16 where it has 10 or 12.

    Raises UnreadableImage for damaged pixels, MissingPackage where pillow-heif is not installed.
    """
    try:
        import pillow_heif
    except ImportError as error:
        raise missing_package(PACKAGE, f"{path} is a HEIC image, and reading it", extra=EXTRA) from error
    try:
        opened = pillow_heif.open_heif(io.BytesIO(unpacked.without_metadata), convert_hdr_to_8bit=False)
        pixels = cast(Pixels, np.atleast_3d(np.array(opened)))
    except (OSError, ValueError, RuntimeError, SyntaxError, EOFError) as error:
        raise UnreadableImage(f"{path} cannot be decoded: {str(error).strip().rstrip('.')}.",
                              remedy="The file is damaged; give a complete one.") from error
    if pixels.shape[:2] != (unpacked.height, unpacked.width):
        raise broken(path, "is a damaged HEIC: its pixels have another size than its header says")
    if pixels.dtype == np.uint16 and unpacked.heif is not None:
        bits = min(max(unpacked.heif.bits, 9), 16)
        pixels = widened((pixels >> (16 - bits)).astype(np.uint16), bits)  # they come in the upper bits
    colours = 1 if pixels.shape[2] < 3 else 3
    return Decoded(colour=pixels[..., :colours], alpha=pixels[..., colours:] if pixels.shape[2] > colours else None)
