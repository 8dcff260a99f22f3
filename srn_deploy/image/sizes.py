"""The sizes of image files, read from their headers without decoding."""

from __future__ import annotations

from pathlib import Path

from srn_deploy.image.bands.files import unpack_without_pixels
from srn_deploy.image.reading import FIRST_TURNED_ORIENTATION, MAX_MEGAPIXELS, orientation_of
from srn_deploy.system.arguments import as_path


def image_size(path: str | Path, *, max_megapixels: float = MAX_MEGAPIXELS) -> tuple[int, int]:
    """(height, width) in pixels of the image that `read_image` would return, with the EXIF orientation applied.

    Raises the same errors, except for damage that only a decoder finds.
    """
    unpacked = unpack_without_pixels(as_path(path, "path"), max_megapixels=max_megapixels)
    if orientation_of(unpacked.metadata) >= FIRST_TURNED_ORIENTATION:
        return unpacked.width, unpacked.height
    return unpacked.height, unpacked.width
