"""JPEG XL: decoded by pillow-jxl-plugin, an extra; it is not written."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np

from srn_deploy.errors import UnreadableImage, missing_package
from srn_deploy.image.containers import Unpacked, broken, unsupported
from srn_deploy.image.pixels import Decoded, Pixels
from srn_deploy.system.threads import threads_in_use

EXTRA, PACKAGE = "jxl", "pillow-jxl-plugin"

_MODES = {"L": (1, np.uint8), "LA": (2, np.uint8), "RGB": (3, np.uint8), "RGBA": (4, np.uint8), "I;16": (1, np.uint16)}
"""Channels and dtype of what the decoder gives."""
_MAKER, _MAKER_AT = b"jxl ", 4
_SRGB_NAMES = (*(name.encode("utf-16-be") for name in ("RGB_D65_SRG_Per_SRG", "RGB_D65_SRG_Rel_SRG", "Gra_D65_Per_SRG",
                                                       "Gra_D65_Rel_SRG")), b"cicp\0\0\0\0\x01\x0d\0\x01")
"""In the profiles that libjxl makes up for files that only say sRGB: their names, or the code points of sRGB."""


def decode(unpacked: Unpacked, path: Path) -> Decoded:
    """Decode a JPEG XL, turned as it asks; grey keeps 16 bits. Its colour profile comes with the pixels.

    Raises UnreadableImage for damaged pixels, UnsupportedImage for colour of more than 8 bits and for floating point,
    MissingPackage where pillow-jxl-plugin is not installed.
    """
    try:
        import pillow_jxl
    except ImportError as error:
        raise missing_package(PACKAGE, f"{path} is a JPEG XL image, and reading it", extra=EXTRA) from error
    try:
        _, found, data, profile, _ = pillow_jxl.Decoder(num_threads=threads_in_use())(unpacked.without_metadata)
    except (RuntimeError, ValueError, OSError) as error:
        raise UnreadableImage(f"{path} cannot be decoded.",
                              remedy="The file is damaged; give a complete one.") from error
    if found.mode not in _MODES:
        raise unsupported(path, f"is a JPEG XL of other than 8 bits in colour ({found.mode})")
    channels, dtype = _MODES[found.mode]
    if (found.height, found.width) != (unpacked.height, unpacked.width):
        raise broken(path, "is a damaged JPEG XL: its pixels have another size than its header says")
    pixels = cast(Pixels, np.frombuffer(data, dtype).reshape(found.height, found.width, channels))
    colours = 1 if channels < 3 else 3
    profile = profile or b""
    is_made_up = profile.startswith(_MAKER, _MAKER_AT) and any(name in profile for name in _SRGB_NAMES)
    return Decoded(colour=pixels[..., :colours], alpha=pixels[..., colours:] if channels > colours else None,
                   profile=b"" if is_made_up else profile)
