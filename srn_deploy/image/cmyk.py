"""Pictures for the printer (CMYK) to sRGB."""

from __future__ import annotations

import io
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageCms

from srn_deploy.errors import UnsupportedImage
from srn_deploy.image.picture import Decoded, Pixels

_SPACE_AT = slice(16, 20)
"""The field "data colour space" of a profile's header (ICC.1:2022)."""


def to_rgb(decoded: Decoded, profile: bytes | None, path: Path) -> Decoded:
    """RGB through the embedded profile where there is one for CMYK, else plainly; the remark says which."""
    if profile is None or profile[_SPACE_AT] != b"CMYK":
        rgb, how = _plainly(decoded.colour), "without a profile, so colours are approximate"
    elif decoded.colour.dtype != np.uint8:
        raise UnsupportedImage(f"{path} is CMYK in 16 bits with a colour profile, which cannot be applied in 16 bits.",
                               remedy="Convert it to RGB in an image editor, or to 8 bits.")
    else:
        rgb = _through(cast(NDArray[np.uint8], decoded.colour), profile, path)
        how = "through its own profile, which is not carried on"
    said = f"{path}: its CMYK colours are converted to sRGB, {how}."
    return Decoded(colour=rgb, alpha=decoded.alpha, remarks=(*decoded.remarks, said))


def _plainly(inks: Pixels) -> Pixels:
    """What is left of white paper under both an ink and black, taken as filters behind one another."""
    largest = int(np.iinfo(inks.dtype).max)
    left = largest - inks.astype(np.uint32)
    return cast(Pixels, ((left[..., :3] * left[..., 3:] + largest // 2) // largest).astype(inks.dtype))


def _through(inks: NDArray[np.uint8], profile: bytes, path: Path) -> NDArray[np.uint8]:
    """Relative colorimetric with the black points matched, as image editors do by default."""
    try:
        converted = ImageCms.profileToProfile(
            PillowImage.fromarray(np.ascontiguousarray(inks), "CMYK"), ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"), renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC, outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION)
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        raise UnsupportedImage(f"{path} is CMYK with a colour profile that cannot be applied: {error}.",
                               remedy="Convert it to RGB in an image editor.") from error
    return np.array(converted)
