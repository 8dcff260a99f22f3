"""Reads an image file into an upright image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import ceil
from pathlib import Path
from types import NoneType
from typing import NamedTuple, cast

import numpy as np

from srn_deploy.errors import OptionError, UnreadableImage, UnsupportedImage
from srn_deploy.image import avif, bmp, cmyk, heic, jpeg, jpeg_xl, opencv_codec, tiff
from srn_deploy.image.containers import Container, Metadata, MetadataKind, Unpacked, listed, resolution_of_exif, unpack
from srn_deploy.image.containers.exif import gives_orientation, orientation, upright
from srn_deploy.image.containers.moving import moved
from srn_deploy.image.containers.pages import no_such, one_page
from srn_deploy.image.containers.pixel_map import PixelMap
from srn_deploy.image.containers.unpacked import Part
from srn_deploy.image.containers.xmp_pixels import upright_xmp
from srn_deploy.image.files import read_bytes
from srn_deploy.image.frames import decode_frame, is_gif, unpack_gif
from srn_deploy.image.pixels import Decoded, Image, Pixels
from srn_deploy.image.sidecars import read_sidecars
from srn_deploy.system.arguments import as_path, check_kind

MAX_MEGAPIXELS = 200.0
"""The largest image that is decoded by default, in megapixels.

The largest single exposures, of cameras with 200 megapixels, have 16,320 x 12,240 pixels; RGB of that size and its
fourfold enlargement take 10 GB.
"""

FIRST_TURNED_ORIENTATION = 5
"""The EXIF orientations 5 to 8 exchange height and width."""

_DECODERS: dict[Container, Callable[[Unpacked, Path], Decoded]] = {
    Container.PNG: opencv_codec.decode_png, Container.WEBP: opencv_codec.decode_webp, Container.JPEG: jpeg.decode,
    Container.TIFF: tiff.decode, Container.BMP: bmp.decode,
    Container.AVIF: avif.decode, Container.HEIC: heic.decode, Container.JXL: jpeg_xl.decode}


def read_image(path: str | Path, *, max_megapixels: float = MAX_MEGAPIXELS, frame: int | None = None) -> Image:
    """Decode a file, turn the image upright by its EXIF orientation and keep its metadata.

    frame: which frame of an animation (GIF too), or page of a TIFF, is taken, from 1.

    Raises UnreadableImage for a file that is missing, damaged, not an image, or larger than `max_megapixels` (known
    from its header, before anything is decoded); UnsupportedImage for animations and for variants that cannot be read
    correctly; OptionError for a limit that is not above 0. Flipped bits in a JPEG cannot always be detected, because
    the format has no checksum.
    """
    return open_image(as_path(path, "path"), max_megapixels=max_megapixels, frame=frame).decoded()


class UndecodedImage(NamedTuple):
    """An image file that was read and taken apart."""

    path: Path
    unpacked: Unpacked
    decode: Callable[[], Decoded]

    def decoded(self) -> Image:
        """The image; raises UnreadableImage and UnsupportedImage as `read_image` does."""
        decoded, unpacked = self.decode(), self.unpacked
        if decoded.is_cmyk:
            decoded = cmyk.to_rgb(decoded, dict(unpacked.metadata).get(MetadataKind.ICC), self.path)
            unpacked = replace(unpacked, metadata=tuple(block for block in unpacked.metadata
                                                        if block[0] is not MetadataKind.ICC))
        if decoded.profile:
            unpacked = replace(unpacked, metadata=(*unpacked.metadata, (MetadataKind.ICC, decoded.profile)))
        described = describe(unpacked, self.path)
        return Image(pixels=_turned(decoded.colour, described.turn),
                     alpha=None if decoded.alpha is None else _turned(decoded.alpha, described.turn),
                     metadata=described.metadata, remarks=described.remarks + decoded.remarks)


def open_image(path: Path, *, max_megapixels: float = MAX_MEGAPIXELS, frame: int | None = None) -> UndecodedImage:
    """The first half of `read_image`, which decodes nothing; raises its errors as far as they are known by then."""
    if frame is not None:
        return _one_frame(path, frame, max_megapixels)
    unpacked = unpack_checked(path, max_megapixels=max_megapixels)
    return UndecodedImage(path, unpacked, partial(_DECODERS[unpacked.container], unpacked, path))


def _one_frame(path: Path, frame: int, max_megapixels: float) -> UndecodedImage:
    check_megapixels(max_megapixels)
    check_frame(frame)
    data = one_page(read_bytes(path), path, frame)
    unpacked = unpack_gif(data, path) if is_gif(data) else unpack(data, path)
    _refuse_bombs(unpacked, path, max_megapixels)
    if unpacked.animated:
        return UndecodedImage(path, unpacked, partial(decode_frame, data, unpacked, path, frame))
    if frame != 1 and unpacked.container is not Container.TIFF:
        raise no_such(path, "frame", frame, 1)
    return UndecodedImage(path, unpacked, partial(_DECODERS[unpacked.container], unpacked, path))


def check_frame(frame: int | None) -> None:
    """Raise OptionError for a number of a frame that is not 1 or more; None is the only image of a file."""
    check_kind(frame, (int, NoneType), "frame", remedy="Give a number from 1.")
    if frame is not None and frame < 1:
        raise OptionError(f"There is no frame {frame}.", remedy="Frames and pages are counted from 1.")


class Description(NamedTuple):
    """What a file says of its image."""

    metadata: Metadata
    """For the upright image."""
    turn: int
    """The EXIF orientation of the pixels, 1 to 8."""
    remarks: tuple[str, ...]


def describe(unpacked: Unpacked, path: Path) -> Description:
    """The metadata of a file and of those beside it, for the image once it is turned upright."""
    beside, beside_parts = read_sidecars(path)
    metadata = unpacked.metadata + beside
    turn = orientation_of(metadata)
    metadata, parts = _without_turn(metadata, turn, unpacked)
    left_behind = unpacked.left_behind + parts + beside_parts
    remarks = (f"{path}: left behind: {listed(left_behind)}.",) if left_behind else ()
    return Description(_with_resolution(metadata), turn, unpacked.remarks + remarks)


def unpack_checked(path: Path, *, max_megapixels: float = MAX_MEGAPIXELS) -> Unpacked:
    """Read a file and take it apart without decoding its pixels; raises the errors of `read_image` up to there."""
    check_megapixels(max_megapixels)
    unpacked = unpack(read_bytes(path), path)
    check_one_image(unpacked, path, max_megapixels)
    return unpacked


def check_one_image(unpacked: Unpacked, path: Path, max_megapixels: float) -> None:
    """Raise UnreadableImage for more than `max_megapixels`, UnsupportedImage for several frames or pages."""
    _refuse_bombs(unpacked, path, max_megapixels)
    if unpacked.animated:
        kind, part = ("a TIFF of several pages", "page") if unpacked.container is Container.TIFF else \
            ("an animation", "frame")
        raise UnsupportedImage(f"{path} is {kind}, of which only the first {part} would be kept.",
                               remedy=f"Name the {part} to take: for upscale --frame 1, in Python "
                                      f"read_image(path, frame=1); or save each {part} as an image of its own.")


def check_megapixels(most: float) -> None:
    """Raise OptionError for a limit that is not a number above 0."""
    remedy = "Give a number above 0; inf lifts the limit."
    check_kind(most, (int, float), "max_megapixels", remedy=remedy)
    if not most > 0:  # NaN is not a limit either
        raise OptionError(f"A limit of {most:g} megapixels is not possible.", remedy=remedy)


def orientation_of(metadata: Metadata) -> int:
    """The EXIF orientation, 1 to 8; 1 (upright) if there is no EXIF."""
    return next((orientation(block) for kind, block in metadata if kind is MetadataKind.EXIF), 1)


def _refuse_bombs(unpacked: Unpacked, path: Path, max_megapixels: float) -> None:
    megapixels = unpacked.height * unpacked.width / 1e6
    if megapixels > max_megapixels:
        raise UnreadableImage(
            f"{path} has {unpacked.width} x {unpacked.height} px, {_in_digits(megapixels)} megapixels; "
            f"more than {_in_digits(max_megapixels)} are not decoded by default.",
            remedy="If you trust the file and have the memory for it, lift the limit: for upscale with "
                   f"--max-megapixels {ceil(megapixels)}, in Python with read_image(path, max_megapixels=...).")


def _in_digits(megapixels: float) -> str:
    """A number without exponent; small ones are exact to the pixel."""
    digits = 0 if megapixels >= 100 else 6
    return f"{megapixels:.{digits}f}".rstrip("0").rstrip(".") if digits else f"{megapixels:.0f}"


def _turned(decoded: Pixels, turn: int) -> Pixels:
    """Pixels turned upright from EXIF orientation 1 to 8, as a contiguous array."""
    if turn >= FIRST_TURNED_ORIENTATION:
        decoded = decoded.swapaxes(0, 1)
    if turn in (3, 4, 7, 8):
        decoded = decoded[::-1]
    if turn in (2, 3, 6, 7):
        decoded = decoded[:, ::-1]
    return cast(Pixels, np.ascontiguousarray(decoded))


def _without_turn(metadata: Metadata, turn: int, unpacked: Unpacked) -> tuple[Metadata, tuple[Part, ...]]:
    """Metadata for the upright image, and what of it had to be left out."""
    change: dict[MetadataKind, Callable[[bytes], bytes]] = {MetadataKind.EXIF: upright}
    if any(kind is MetadataKind.EXIF and gives_orientation(block) for kind, block in metadata):
        change[MetadataKind.XMP] = upright_xmp  # alone it says how programs that heed it show the pixels
    metadata = tuple((kind, change[kind](block) if kind in change else block) for kind, block in metadata)
    if turn == 1:
        return metadata, ()
    height, width = unpacked.height, unpacked.width
    new_height, new_width = (width, height) if turn >= FIRST_TURNED_ORIENTATION else (height, width)
    return moved(metadata, PixelMap(height=height, width=width, new_height=new_height, new_width=new_width, turn=turn))


def _with_resolution(metadata: Metadata) -> Metadata:
    """Add the resolution in EXIF if the format itself does not give one."""
    if any(kind is MetadataKind.RESOLUTION for kind, _ in metadata):
        return metadata
    return metadata + resolution_of_exif(dict(metadata).get(MetadataKind.EXIF, b""))
