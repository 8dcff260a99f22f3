"""Writes an image to a file, and says what the format of the file cannot hold."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import NoneType
from typing import NamedTuple

from srn_deploy.errors import OptionError, UnsupportedImage, UnwritableImage
from srn_deploy.image import avif, bmp, jpeg, opencv_codec, tiff, webp
from srn_deploy.image.containers import Container, Metadata, MetadataKind, pack, select_supported
from srn_deploy.image.containers.exif import with_size
from srn_deploy.image.containers.xmp_pixels import with_size_in_xmp
from srn_deploy.image.effort import Effort
from srn_deploy.image.files import container_of
from srn_deploy.image.pixels import Image
from srn_deploy.image.sidecars import world_file_of
from srn_deploy.system.arguments import as_path, check_kind
from srn_deploy.system.atomic import replacing

LARGEST_SIDE_PX = {Container.PNG: 1_000_000, Container.JPEG: 65_500, Container.WEBP: 16_383,
                   Container.TIFF: 1_000_000, Container.BMP: 1_000_000, Container.AVIF: 32_768}
"""The largest side that the libraries can write and read again: libpng's user limit, libjpeg's JPEG_MAX_DIMENSION and
the 14 bits of WebP. TIFF and BMP have 31 bits, and get the limit of PNG; that of AVIF is libavif's."""

WITH_QUALITY = frozenset({Container.JPEG, Container.WEBP, Container.AVIF})
"""Formats that can be written lossily; the others are always lossless."""

LARGEST_AVIF_PX = 16_384 * 16_384
"""libavif decodes no more unless a program asks for it."""

LARGEST_PIXELS_BYTES = 4_000_000_000
"""BMP has 32-bit sizes; the rest is for headers and the profile. A TIFF that is larger is written as a BigTIFF."""


def check_writable(path: Path, *, height: int, width: int, has_alpha: bool = False, bits: int = 8) -> None:
    """Check before the work whether a file can be written at all.

    height, width: in pixels. bits: per sample, 8 or 16. Raises UnwritableImage for a path or size that cannot be
    written, UnsupportedImage if the format cannot hold transparency or 16 bits.
    """
    container = container_of(path)
    if os.path.isdir(path):  # noqa: PTH112  # Path.is_dir raises for names that are too long
        raise UnwritableImage(f"{path} is a folder.", remedy="Name a file in it.")
    if max(height, width) > LARGEST_SIDE_PX[container]:
        raise UnwritableImage(f"{path}: {width} x {height} px is more than {container} can hold "
                              f"({LARGEST_SIDE_PX[container]} per side).", remedy="Write a .png, or a smaller part.")
    if container is Container.AVIF and height * width > LARGEST_AVIF_PX:
        raise UnwritableImage(f"{path}: {width} x {height} px are {height * width / 1e6:.0f} megapixels, more than "
                              "readers of AVIF take (268).", remedy="Write a .png, or a smaller part.")
    size_bytes = height * width * (3 + has_alpha) * bits // 8
    if container is Container.BMP and size_bytes > LARGEST_PIXELS_BYTES:
        raise UnwritableImage(f"{path}: {width} x {height} px are {size_bytes / 1e9:.1f} GB, more than {container} "
                              "can hold (4 GB).", remedy="Write a .png, or a smaller part.")
    if container is Container.JPEG and has_alpha:
        raise UnsupportedImage(f"{path}: JPEG cannot hold the transparency of the input.",
                               remedy="Write a .png, .webp, .tif or .bmp.")
    if bits == 16 and container not in (Container.PNG, Container.TIFF):
        raise UnsupportedImage(f"{path}: {container} cannot hold the 16 bits of the input.",
                               remedy="Write a .png or .tif.")


def losses(path: Path, image: Image) -> tuple[str, ...]:
    """The metadata that would be lost if the image were written to this path, as sentences.

    Alpha and 16 bits must not be lost, so `check_writable` raises an error for them instead.
    """
    return _kept_and_lost(path, image)[1]


def _kept_and_lost(path: Path, image: Image) -> tuple[Metadata, tuple[str, ...]]:
    return select_supported(container_of(path), image.metadata, is_grey=stored_grey(path, image))


def check_quality(quality: int | None) -> None:
    """Raise OptionError for a quality outside 1..100; None is the default of the format."""
    check_kind(quality, (int, NoneType), "quality", remedy="Use 1 to 100.")
    if quality is not None and not 1 <= quality <= 100:
        raise OptionError(f"A quality of {quality} is not possible.", remedy="Use 1 to 100.")


def write_image(path: str | Path, image: Image, *, quality: int | None = None,
                effort: Effort | str = Effort.NORMAL) -> tuple[str, ...]:
    """Encode an image in the format of the suffix and write it, completely or not at all; returns its `losses`.

    A world file, if the image has one, is written beside it.

    quality: 1 to 100 for JPEG (default 95), WebP (default lossless) and AVIF (default 95, with alpha 100, which is
    lossless); ignored for the other formats. effort: fast, normal or small, for PNG and lossless WebP. Raises
    UnwritableImage and UnsupportedImage as `check_writable` does, and OptionError for an impossible quality or effort.
    """
    path = as_path(path, "path")
    check_kind(image, Image, "image", remedy="Give srn_deploy.image.Image(pixels=array).")
    check_quality(quality)
    return store_image(path, encode_image(path, image, quality=quality, effort=Effort.named(effort)))


def encode_image(path: Path, image: Image, *, quality: int | None = None,
                 effort: Effort = Effort.NORMAL) -> EncodedImage:
    """The file that `write_image` would write, in memory: what needs a processor and no disk."""
    check_writable(path, height=image.height, width=image.width, has_alpha=image.alpha is not None,
                   bits=8 * image.pixels.dtype.itemsize)
    stored = stored_metadata(path, image)
    data = pack(container_of(path), _encoded(path, image, quality, effort), stored.own,
                height=image.height, width=image.width, has_alpha=image.alpha is not None)
    return EncodedImage(data, stored)


def store_image(path: Path, encoded: EncodedImage) -> tuple[str, ...]:
    """Write an encoded image, completely or not at all: what needs a disk. Returns the `losses` of the image."""
    with whole_file(path, encoded.stored) as temporary:
        temporary.write_bytes(encoded.data)
    return encoded.stored.lost


class StoredMetadata(NamedTuple):
    """The metadata of an image as a file holds them."""

    own: Metadata
    """In the file itself, with the size of the image."""
    world_file: bytes
    """Beside it; empty if there is none."""
    lost: tuple[str, ...]
    """What the format cannot hold, as sentences."""


class EncodedImage(NamedTuple):
    """A file in memory, and what is written beside it."""

    data: bytes
    stored: StoredMetadata


def stored_metadata(path: Path, image: Image) -> StoredMetadata:
    """What becomes of an image's metadata in a file of this path; of its pixels only their shape is used."""
    kept, lost = _kept_and_lost(path, image)
    size = {MetadataKind.EXIF: with_size, MetadataKind.XMP: with_size_in_xmp}
    own = tuple((kind, size[kind](block, height=image.height, width=image.width) if kind in size else block)
                for kind, block in kept if kind is not MetadataKind.WORLD_FILE)
    return StoredMetadata(own, dict(kept).get(MetadataKind.WORLD_FILE, b""), lost)


@contextmanager
def whole_file(path: Path, stored: StoredMetadata) -> Iterator[Path]:
    """Yield a temporary path that becomes the file when the block ends; a world file is written beside it.

    Raises UnwritableImage where the system refuses to write.
    """
    try:
        with replacing(path) as temporary:
            yield temporary
        if stored.world_file:
            with replacing(world_file_of(path)) as temporary:
                temporary.write_bytes(stored.world_file)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UnwritableImage(f"{path} cannot be written: {reason}.",
                              remedy="Check the folder, its permissions and the free space.") from error


def stored_grey(path: Path, image: Image) -> bool:
    """Whether the file will have a single channel of colour.

    OpenCV writes WebP, and grey PNG with alpha, as RGB. A BMP with alpha is RGB too, and a grey one has a palette.
    """
    container = container_of(path)
    is_grey = image.pixels.shape[2] == 1
    return is_grey and (container is Container.TIFF or (
        image.alpha is None and container in (Container.PNG, Container.JPEG, Container.AVIF)))


def _encoded(path: Path, image: Image, quality: int | None, effort: Effort) -> bytes:
    """The encoded file without metadata."""
    container = container_of(path)
    if container is Container.TIFF:
        return tiff.encode(image.pixels, image.alpha)
    if container is Container.BMP:
        return bmp.encode(image.pixels, image.alpha)
    if container is Container.AVIF:
        return avif.encode(path, image.pixels, image.alpha, quality)
    if container is Container.PNG:
        return opencv_codec.encode_png(path, image.pixels, image.alpha, effort)
    if container is Container.JPEG:
        options = jpeg.options(quality)
    elif quality is None:
        return webp.encode_lossless(path, image.pixels, image.alpha, effort)
    else:
        options = opencv_codec.webp_options(quality)
    return opencv_codec.encode_by_opencv(path, "." + container.lower(), image.pixels, image.alpha, options)
