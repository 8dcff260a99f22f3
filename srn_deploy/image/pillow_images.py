"""What Python programs hold an image in: NumPy arrays, and Pillow's images, which come back as Pillow's images."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TypeGuard, TypeVar

import numpy as np
from numpy.typing import NDArray

from srn_deploy.errors import OptionError
from srn_deploy.system.arguments import shown

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

ImageLike = TypeVar("ImageLike", "NDArray[np.generic]", "PillowImage")
"""An image as a NumPy array or as one of Pillow's; what takes one gives back the same kind."""

_AS_THEY_ARE = {"L", "RGB", "RGBA"}
_CONVERTED = {"1": "L", "LA": "RGBA"}
_SIXTEEN_BITS = {"I;16", "I;16L", "I;16B", "I;16N"}

_CURES = {
    "Tensor": "Give tensor.permute(1, 2, 0).cpu().numpy() of one image (C, H, W): uint8 in 0..255, or float32 in 0..1.",
    "str": "To upscale a file use upscale_files, or read it: np.asarray(PIL.Image.open(path)).",
    "list": "Give numpy.array(image, dtype=numpy.uint8) of nested lists, and one call for each of several images.",
    "NoneType": "Give an image; cv2.imread returns None for a file that it cannot read.",
}
_CURES |= {"PosixPath": _CURES["str"], "WindowsPath": _CURES["str"], "Path": _CURES["str"], "tuple": _CURES["list"]}


def is_pillow_image(image: object) -> TypeGuard[PillowImage]:
    """Whether it is an image of Pillow; where Pillow was not imported there is none."""
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(image, pillow.Image)


def pixels_of(image: object) -> NDArray[np.generic]:
    """The pixels of a NumPy array (as it is) or of a Pillow image: (H, W), (H, W, 3) or (H, W, 4), uint8 or uint16.

    Pillow's palettes become RGB, or RGBA where an entry is transparent, and bilevel images grey. Raises OptionError
    for other objects, for images that Pillow cannot read, for its other modes, and for values that are not finite.
    """
    if is_pillow_image(image):
        return _of_pillow(image)
    if not isinstance(image, np.ndarray):
        cure = _CURES.get(type(image).__name__, "Give numpy.asarray(image): uint8 in 0..255, channels last.")
        raise OptionError(f"An image is a NumPy array or a Pillow image, not {shown(image)}.", remedy=cure)
    if image.dtype.kind == "f" and not np.isfinite(image).all():
        raise OptionError("The image has values that are not finite.",
                          remedy="Find out where they come from, or replace them: numpy.nan_to_num(image).")
    return image


def like(image: object, pixels: NDArray[np.generic]) -> NDArray[np.generic] | PillowImage:
    """Pixels as the same kind of object as `image`: a Pillow image, with its colour profile, or the array itself."""
    if not is_pillow_image(image):
        return pixels
    from PIL import Image

    large = Image.fromarray(pixels)
    profile = image.info.get("icc_profile")
    if profile and large.mode != "I;16":
        large.info["icc_profile"] = profile
    return large


def _of_pillow(image: PillowImage) -> NDArray[np.generic]:
    try:
        image.load()  # Pillow reads a file when its pixels are asked for
    except (OSError, ValueError, SyntaxError) as error:
        raise OptionError(f"The Pillow image cannot be read: {str(error)[:200]}.",
                          remedy="Open a complete file, and close it only after its pixels were used.") from error
    mode = image.mode
    if mode in _SIXTEEN_BITS:
        return np.asarray(image).astype(np.uint16)
    if mode == "P":
        wanted = "RGBA" if image.has_transparency_data else "RGB"
    elif mode in _AS_THEY_ARE:
        wanted = "RGBA" if mode in ("L", "RGB") and image.has_transparency_data else mode
    elif mode in _CONVERTED:
        wanted = _CONVERTED[mode]
    else:
        raise OptionError(f"Pillow images of mode {mode} are not taken.",
                          remedy="Convert it to what it stands for, as in image.convert('RGB').")
    return np.asarray(image if wanted == mode else image.convert(wanted))
