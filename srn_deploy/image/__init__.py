"""Image files and their pixels: PNG, JPEG, WebP, TIFF, AVIF and BMP; grey or RGB, 8 or 16 bits, with or without alpha.

`reading` and `writing` hold the two main functions, with a codec per format (`jpeg`, `tiff`, `bmp`, `avif`,
`opencv_codec` for PNG and lossy WebP, `webp` for lossless); `containers` checks files and handles their metadata.
`alpha` and `bicubic` work on arrays alone.
"""

from __future__ import annotations

from srn_deploy.image.effort import WITH_EFFORT, Effort
from srn_deploy.image.files import FORMATS, SUFFIXES, container_of, is_image_name, read_suffixes
from srn_deploy.image.listing import find_images, without_debris
from srn_deploy.image.pixels import Image, Pixels
from srn_deploy.image.reading import MAX_MEGAPIXELS, check_megapixels, read_image
from srn_deploy.image.sizes import image_size
from srn_deploy.image.writing import WITH_QUALITY, check_quality, check_writable, losses, write_image

__all__ = ["FORMATS", "MAX_MEGAPIXELS", "SUFFIXES", "WITH_EFFORT", "WITH_QUALITY", "Effort", "Image", "Pixels",
           "check_megapixels", "check_quality", "check_writable", "container_of", "find_images", "image_size",
           "is_image_name", "losses", "read_image", "read_suffixes", "without_debris",
           "write_image"]
