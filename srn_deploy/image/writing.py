"""A picture to a file, and what of it the file can hold."""

from __future__ import annotations

import os
from pathlib import Path

from srn_deploy.errors import OptionError, UnsupportedImage, UnwritableImage
from srn_deploy.image import bmp, jpeg, opencv_codec, tiff
from srn_deploy.image.containers import Container, Metadata, MetadataKind, pack, select_supported
from srn_deploy.image.containers.exif import sized
from srn_deploy.image.files import container_of
from srn_deploy.image.picture import Image
from srn_deploy.system.atomic import replacing

LARGEST_SIDE_PX = {Container.PNG: 1_000_000, Container.JPEG: 65_500, Container.WEBP: 16_383,
                   Container.TIFF: 1_000_000, Container.BMP: 1_000_000}
"""What the libraries write and read again: libpng's user limit, libjpeg's JPEG_MAX_DIMENSION, WebP's 14 bits; TIFF
and BMP have 31 bits, and are held to what the others read."""

WITH_QUALITY = frozenset({Container.JPEG, Container.WEBP})
"""Formats that can be written with losses; the others are always exact."""

LARGEST_PIXELS_BYTES = 4_000_000_000
"""TIFF and BMP count their bytes in 32 bits; what is left is for headers, metadata and what deflate adds to noise."""


def check_writable(path: Path, *, height: int, width: int, has_alpha: bool = False, bits: int = 8) -> None:
    """Raise UnwritableImage or UnsupportedImage before the work, if the format cannot hold the result."""
    container = container_of(path)
    if os.path.isdir(path):  # noqa: PTH112  # Path.is_dir raises for names that are too long
        raise UnwritableImage(f"{path} is a folder.", remedy="Name a file in it.")
    if max(height, width) > LARGEST_SIDE_PX[container]:
        raise UnwritableImage(f"{path}: {width} x {height} px is more than {container} can hold "
                              f"({LARGEST_SIDE_PX[container]} a side).", remedy="Write a .png, or a smaller part.")
    size_bytes = height * width * (3 + has_alpha) * bits // 8
    if container in (Container.TIFF, Container.BMP) and size_bytes > LARGEST_PIXELS_BYTES:
        raise UnwritableImage(f"{path}: {width} x {height} px are {size_bytes / 1e9:.1f} GB, more than {container} "
                              "can hold (4 GB).", remedy="Write a .png, or a smaller part.")
    if container is Container.JPEG and has_alpha:
        raise UnsupportedImage(f"{path}: JPEG cannot hold the transparency of the input.",
                               remedy="Write a .png, .webp, .tif or .bmp.")
    if bits == 16 and container not in (Container.PNG, Container.TIFF):
        raise UnsupportedImage(f"{path}: {container} cannot hold the 16 bits of the input.",
                               remedy="Write a .png or .tif.")


def losses(path: Path, image: Image) -> tuple[str, ...]:
    """What would be left behind if the image were written to this path, as sentences; metadata only.

    What must not be lost, alpha and 16 bits, is an error of `check_writable` instead.
    """
    return _sorted_out(path, image)[1]


def _sorted_out(path: Path, image: Image) -> tuple[Metadata, tuple[str, ...]]:
    return select_supported(container_of(path), image.metadata, is_grey=_stored_grey(path, image))


def write_image(path: Path, image: Image, *, quality: int | None = None) -> tuple[str, ...]:
    """Encode and write, whole or not at all; the suffix chooses the format. Returns what `losses` says.

    quality: 1 to 100 for JPEG (default 95) and WebP (default lossless); the others have none and pass it over.
    """
    if quality is not None and not 1 <= quality <= 100:
        raise OptionError(f"A quality of {quality} is not possible.", remedy="Use 1 to 100.")
    check_writable(path, height=image.height, width=image.width, has_alpha=image.alpha is not None,
                   bits=8 * image.pixels.dtype.itemsize)
    kept, lost = _sorted_out(path, image)
    own = tuple((kind, sized(block, height=image.height, width=image.width) if kind is MetadataKind.EXIF else block)
                for kind, block in kept)
    encoded = pack(container_of(path), _encoded(path, image, quality), own,
                   height=image.height, width=image.width, has_alpha=image.alpha is not None)
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(encoded)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UnwritableImage(f"{path} cannot be written: {reason}.",
                              remedy="Check the folder, its permissions and the free space.") from error
    return lost


def _stored_grey(path: Path, image: Image) -> bool:
    """Whether the file will have one channel of colour.

    OpenCV writes WebP, and PNG of grey with alpha, as RGB; so is BMP with alpha, and its greys are a palette.
    """
    container = container_of(path)
    is_grey = image.pixels.shape[2] == 1
    return is_grey and (container is Container.TIFF or (
        image.alpha is None and container in (Container.PNG, Container.JPEG)))


def _encoded(path: Path, image: Image, quality: int | None) -> bytes:
    """The file without metadata."""
    container = container_of(path)
    if container is Container.TIFF:
        return tiff.encode(image.pixels, image.alpha)
    if container is Container.BMP:
        return bmp.encode(image.pixels, image.alpha)
    options = {Container.PNG: opencv_codec.PNG_OPTIONS, Container.JPEG: jpeg.options(quality),
               Container.WEBP: opencv_codec.webp_options(quality)}[container]
    return opencv_codec.encode(path, "." + container.lower(), image.pixels, image.alpha, options)
