"""Picture files and their pixels: PNG, JPEG and WebP; grey or RGB, 8 or 16 bit, with or without alpha."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from srn_deploy.atomic import TEMPORARY_MARK, replacing
from srn_deploy.containers import Block, Container, Metadata, Unpacked, pack, sort_out, unpack
from srn_deploy.errors import OptionError, UnreadableImage, UnsupportedImage, UnwritableImage
from srn_deploy.exif import orientation, upright, upright_xmp

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
"""What is read and written; the case does not matter."""

LARGEST_SIDE_PX = {Container.PNG: 1_000_000, Container.JPEG: 65_500, Container.WEBP: 16_383}
"""What the libraries write and read again: libpng's user limit, libjpeg's JPEG_MAX_DIMENSION, WebP's 14 bits."""

JPEG_QUALITY = 95

# Measured on photographs of 2040 x 1356, one core: 48 ms and 2.70 MB; OpenCV's own choice (every byte
# less its left neighbour, runs) 67 ms and 3.14 MB; level 6 alone 546 ms and 2.70 MB. The average filter
# leaves so little to find again that looking for repetitions only costs time.
PNG_OPTIONS = (cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY,
               cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_AVG)

Pixels = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True, kw_only=True, eq=False)
class Image:
    """One picture, upright. The arrays belong to the holder of the image."""

    pixels: Pixels
    """(H, W, 1) grey or (H, W, 3) RGB; uint8 in 0..255 or uint16 in 0..65535."""
    alpha: Pixels | None = None
    """(H, W, 1) of the same dtype, not premultiplied; None for opaque pictures."""
    metadata: Metadata = ()
    """EXIF, XMP, colour profile: as they stood in the file, but for the orientation, which is upright."""

    @property
    def height(self) -> int:
        """In pixels."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """In pixels."""
        return int(self.pixels.shape[1])

    def as_rgb8(self) -> NDArray[np.uint8]:
        """RGB uint8 (H, W, 3), alpha left away, 16 bit rounded to 8; a fresh array."""
        pixels = self.pixels if self.pixels.dtype == np.uint8 else np.rint(self.pixels / 257.0)
        return np.broadcast_to(pixels, (self.height, self.width, 3)).astype(np.uint8, order="C")


def find_images(folder: Path) -> list[Path]:
    """Every picture file under a folder, sorted; raises UnreadableImage for a folder that cannot be listed.

    Symbolic links to folders are not followed.
    """
    return sorted(_walk(folder))


def _walk(folder: Path) -> Iterator[Path]:
    for root, _, names in os.walk(folder, followlinks=False, onerror=_refuse_folder):
        for name in names:
            if name.lower().endswith(SUFFIXES) and not name.startswith(TEMPORARY_MARK):
                yield Path(root) / name


def _refuse_folder(error: OSError) -> None:
    raise UnreadableImage(f"The folder {error.filename} cannot be listed: {error.strerror}.",
                          remedy="Check the path and its permissions.") from error


def read_image(path: Path) -> Image:
    """Decode a file, turn it upright and keep its metadata.

    Raises UnreadableImage for what is missing, damaged or no picture, UnsupportedImage for an animation.
    A JPEG that is whole but has flipped bits cannot be told from a good one: the format has no checksum.
    """
    try:
        if path.exists() and not path.is_file():  # a pipe would block, a device never end
            raise UnreadableImage(f"{path} cannot be read: it is no file.", remedy="Give the path of a picture file.")
        data = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL character
        reason = error.strerror if isinstance(error, OSError) else error
        raise UnreadableImage(f"{path} cannot be read: {reason}.",
                              remedy="Give the path of a picture file that you may read.") from error
    unpacked = unpack(data, path)
    if unpacked.animated:
        raise UnsupportedImage(f"{path} is an animation, of which only the first frame would be left.",
                               remedy="Save its frames as single pictures.")
    turn = next((orientation(block) for kind, block in unpacked.metadata if kind is Block.EXIF), 1)
    colour, alpha = _split(_turned(_decoded(unpacked, path), turn), unpacked)
    return Image(pixels=colour, alpha=alpha, metadata=_without_turn(unpacked.metadata))


def _decoded(unpacked: Unpacked, path: Path) -> Pixels:
    """(H, W, 1 grey, 3 BGR or 4 BGRA) as they lie in the file, not yet upright."""
    try:
        with _quiet_opencv():
            decoded = cv2.imdecode(np.frombuffer(unpacked.picture, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error as error:
        raise UnreadableImage(f"{path} cannot be decoded: {error.err}.",
                              remedy="The file is damaged, or its picture is too large for OpenCV.") from error
    if decoded is None or decoded.dtype not in (np.uint8, np.uint16):
        raise UnreadableImage(f"{path} cannot be decoded.", remedy="The file is damaged; give a whole one.")
    return cast(Pixels, np.atleast_3d(decoded))


def _split(decoded: Pixels, unpacked: Unpacked) -> tuple[Pixels, Pixels | None]:
    """Grey or RGB, and alpha; fresh arrays."""
    channels = decoded.shape[2]
    if channels == 1:
        return decoded.copy(), _alpha_of_grey(decoded, unpacked.transparent_grey)
    colour = decoded[..., :1].copy() if unpacked.grey_alpha else _reversed(decoded[..., :3])
    return colour, decoded[..., 3:].copy() if channels == 4 else None


def _reversed(colour: Pixels) -> Pixels:
    """BGR to RGB, or back; a fresh array. OpenCV does it in a tenth of numpy's time."""
    return cast(Pixels, cv2.cvtColor(np.ascontiguousarray(colour), cv2.COLOR_BGR2RGB))


def _alpha_of_grey(decoded: Pixels, transparent: int | None) -> Pixels | None:
    if transparent is None:
        return None
    alpha = np.full_like(decoded, np.iinfo(decoded.dtype).max)
    alpha[decoded == transparent] = 0
    return alpha


def _turned(decoded: Pixels, turn: int) -> Pixels:
    """Pixels turned upright from EXIF orientation 1 to 8; a view."""
    if turn >= 5:
        decoded = decoded.swapaxes(0, 1)
    if turn in (3, 4, 7, 8):
        decoded = decoded[::-1]
    if turn in (2, 3, 6, 7):
        decoded = decoded[:, ::-1]
    return decoded


def _without_turn(metadata: Metadata) -> Metadata:
    change = {Block.EXIF: upright, Block.XMP: upright_xmp}
    return tuple((kind, change[kind](block) if kind in change else block) for kind, block in metadata)


def check_writable(path: Path, *, height: int, width: int, has_alpha: bool = False, bits: int = 8) -> None:
    """Raise UnwritableImage or UnsupportedImage before the work, if the format cannot hold the result."""
    container = _container(path)
    if os.path.isdir(path):  # noqa: PTH112  # Path.is_dir raises for names that are too long
        raise UnwritableImage(f"{path} is a folder.", remedy="Name a file in it.")
    if max(height, width) > LARGEST_SIDE_PX[container]:
        raise UnwritableImage(f"{path}: {width} x {height} px is more than {container} can hold "
                              f"({LARGEST_SIDE_PX[container]} a side).", remedy="Write a .png, or a smaller part.")
    if container is Container.JPEG and has_alpha:
        raise UnsupportedImage(f"{path}: JPEG cannot hold the transparency of the input.",
                               remedy="Write a .png or .webp.")
    if bits == 16 and container is not Container.PNG:
        raise UnsupportedImage(f"{path}: {container} cannot hold the 16 bits of the input.", remedy="Write a .png.")


def losses(path: Path, image: Image) -> tuple[str, ...]:
    """What would be left behind if the image were written to this path, as sentences; metadata only.

    What must not be lost, alpha and 16 bits, is an error of `check_writable` instead.
    """
    return sort_out(_container(path), image.metadata, is_grey=_stored_grey(path, image))[1]


def write_image(path: Path, image: Image, *, quality: int | None = None) -> tuple[str, ...]:
    """Encode and write, whole or not at all; the suffix chooses the format. Returns what `losses` says.

    quality: 1 to 100 for JPEG (default 95) and WebP (default lossless); PNG has none and passes it over.
    """
    if quality is not None and not 1 <= quality <= 100:
        raise OptionError(f"A quality of {quality} is not possible.", remedy="Use 1 to 100.")
    check_writable(path, height=image.height, width=image.width, has_alpha=image.alpha is not None,
                   bits=8 * image.pixels.dtype.itemsize)
    container = _container(path)
    kept, lost = sort_out(container, image.metadata, is_grey=_stored_grey(path, image))
    encoded = pack(container, _encoded(path, image, _options(container, quality)), kept,
                   height=image.height, width=image.width, has_alpha=image.alpha is not None)
    try:
        with replacing(path) as temporary:
            temporary.write_bytes(encoded)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UnwritableImage(f"{path} cannot be written: {reason}.",
                              remedy="Check the folder, its permissions and the free space.") from error
    return lost


def _container(path: Path) -> Container:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UnwritableImage(f"{path}: the suffix {suffix!r} names no picture format.",
                              remedy=f"Choose one of {', '.join(SUFFIXES)}.")
    return {".png": Container.PNG, ".webp": Container.WEBP}.get(suffix, Container.JPEG)


def _stored_grey(path: Path, image: Image) -> bool:
    """Whether the file will have one channel: OpenCV writes WebP, and grey with alpha, as RGB."""
    return image.pixels.shape[2] == 1 and image.alpha is None and _container(path) is not Container.WEBP


def _options(container: Container, quality: int | None) -> tuple[int, ...]:
    if container is Container.PNG:
        return PNG_OPTIONS
    if container is Container.JPEG:
        # Full colour resolution: halving it would undo a part of the upscaling.
        return (cv2.IMWRITE_JPEG_QUALITY, quality or JPEG_QUALITY,
                cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)
    if quality is None:  # the colour below full transparency is kept too
        return (cv2.IMWRITE_WEBP_LOSSLESS_MODE, cv2.IMWRITE_WEBP_LOSSLESS_PRESERVE_COLOR)
    return (cv2.IMWRITE_WEBP_QUALITY, quality)


def _encoded(path: Path, image: Image, options: tuple[int, ...]) -> bytes:
    """The file without metadata."""
    colour = image.pixels if image.pixels.shape[2] == 1 else _reversed(image.pixels)
    if image.alpha is not None:
        colour = np.concatenate([np.broadcast_to(colour, (*colour.shape[:2], 3)), image.alpha], axis=2)
    try:
        with _quiet_opencv():
            written, buffer = cv2.imencode("." + _container(path).lower(), np.ascontiguousarray(colour), options)
    except cv2.error as error:
        raise UnwritableImage(f"{path} cannot be encoded: {error.err}.", remedy="Choose another format.") from error
    if not written:
        raise UnwritableImage(f"{path} cannot be encoded.", remedy="Choose another format, or free memory.")
    return buffer.tobytes()


_quiet_lock = threading.Lock()
_quiet_users = 0
_usual_level = 0


@contextmanager
def _quiet_opencv() -> Iterator[None]:
    """Silence OpenCV's log while anyone is inside: what it would tell becomes our error."""
    global _quiet_users, _usual_level
    with _quiet_lock:
        _quiet_users += 1
        if _quiet_users == 1:
            _usual_level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        with _quiet_lock:
            _quiet_users -= 1
            if _quiet_users == 0:
                cv2.utils.logging.setLogLevel(_usual_level)
