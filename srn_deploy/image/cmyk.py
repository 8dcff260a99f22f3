"""Converts CMYK, the inks of printing, to sRGB."""

from __future__ import annotations

import io
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageCms

from srn_deploy.errors import UnsupportedImage
from srn_deploy.image.pixels import Decoded, Pixels

_SPACE_AT = slice(16, 20)
"""The field "data colour space" of a profile's header (ICC.1:2022)."""


def to_rgb(decoded: Decoded, profile: bytes | None, path: Path) -> Decoded:
    """Convert CMYK to RGB through its embedded profile, or by a plain formula if there is no CMYK profile.

    decoded: colour (H, W, 4) uint8 or uint16, where 0 is no ink. profile: the bytes of an ICC profile. A remark
    says which way was taken. Raises UnsupportedImage for a profile that cannot be applied.
    """
    if profile is None or profile[_SPACE_AT] != b"CMYK":
        rgb, how = _without_profile(decoded.colour), "without a profile, so colours are approximate"
    elif decoded.colour.dtype != np.uint8:
        raise UnsupportedImage(f"{path} is CMYK in 16 bits with a colour profile, which cannot be applied in 16 bits.",
                               remedy="Convert it to RGB in an image editor, or to 8 bits.")
    else:
        rgb = _through_profile(cast(NDArray[np.uint8], decoded.colour), profile, path)
        how = "through its own profile, which is not kept"
    remark = f"{path}: its CMYK colours are converted to sRGB, {how}."
    return Decoded(colour=rgb, alpha=decoded.alpha, remarks=(*decoded.remarks, remark))


def _without_profile(inks: Pixels) -> Pixels:
    """The light that white paper reflects through each ink and black, taken as two filters one after the other."""
    largest = int(np.iinfo(inks.dtype).max)
    left = largest - inks.astype(np.uint32)
    return cast(Pixels, ((left[..., :3] * left[..., 3:] + largest // 2) // largest).astype(inks.dtype))


def _through_profile(inks: NDArray[np.uint8], profile: bytes, path: Path) -> NDArray[np.uint8]:
    """Relative colorimetric with black point compensation, the default of image editors."""
    try:
        converted = ImageCms.profileToProfile(
            PillowImage.fromarray(np.ascontiguousarray(inks), "CMYK"), ImageCms.ImageCmsProfile(io.BytesIO(profile)),
            ImageCms.createProfile("sRGB"), renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC, outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION)
    except (ImageCms.PyCMSError, OSError, ValueError) as error:
        raise UnsupportedImage(f"{path} is CMYK with a colour profile that cannot be applied: {error}.",
                               remedy="Convert it to RGB in an image editor.") from error
    return np.array(converted)
