"""One frame of an animation, composed as it is shown: GIF, APNG, WebP and AVIF, by Pillow."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import cast

import numpy as np
from PIL import AvifImagePlugin, GifImagePlugin, PngImagePlugin, WebPImagePlugin
from PIL.ImageFile import ImageFile

from srn_deploy.errors import UnreadableImage
from srn_deploy.image.containers import Container, Unpacked, broken, unsupported
from srn_deploy.image.containers.pages import no_such
from srn_deploy.image.pixels import Decoded, Pixels

# Not Image.open, which has its own limit for the number of pixels.
_PLUGINS: dict[Container, type[ImageFile]] = {
    Container.GIF: GifImagePlugin.GifImageFile, Container.PNG: PngImagePlugin.PngImageFile,
    Container.WEBP: WebPImagePlugin.WebPImageFile, Container.AVIF: AvifImagePlugin.AvifImageFile}

_STARTS = (b"GIF87a", b"GIF89a")
_HEADER_BYTES = 13


def is_gif(data: bytes) -> bool:
    """Whether a file starts like a GIF."""
    return data.startswith(_STARTS)


def unpack_gif(data: bytes, path: Path) -> Unpacked:
    """The size of a GIF, from its logical screen; raises UnreadableImage where that is not whole."""
    if len(data) < _HEADER_BYTES:
        raise broken(path, "is a truncated GIF")
    width, height = struct.unpack_from("<HH", data, 6)
    if not (width and height):
        raise broken(path, "is a damaged GIF: its header gives an impossible size")
    return Unpacked(container=Container.GIF, without_metadata=data, height=height, width=width, animated=True)


def decode_frame(data: bytes, unpacked: Unpacked, path: Path, number: int) -> Decoded:
    """The frame of this number, from 1, as (H, W, 1 or 3) of 8 bits and alpha.

    Raises UnreadableImage where there is no such frame or it is damaged, UnsupportedImage for more than 8 bits.
    """
    if unpacked.container not in _PLUGINS:
        raise unsupported(path, f"is an animation in {unpacked.container}")
    if unpacked.heif is not None and unpacked.heif.bits > 8:
        raise unsupported(path, f"is an animation of {unpacked.heif.bits} bits")
    try:
        with _PLUGINS[unpacked.container](io.BytesIO(data)) as opened:
            count = int(getattr(opened, "n_frames", 1))
            if not 1 <= number <= count:
                raise no_such(path, "frame", number, count)
            opened.seek(number - 1)
            opened.load()  # composes the frame, which may change its mode
            if opened.mode.startswith(("I", "F")):
                raise unsupported(path, "is an animation of more than 8 bits")
            is_grey = opened.mode in ("1", "L") and not opened.has_transparency_data
            wanted = "L" if is_grey else "RGBA" if opened.has_transparency_data else "RGB"
            planes = cast(Pixels, np.atleast_3d(np.array(opened.convert(wanted))))
    except (OSError, ValueError, IndexError, SyntaxError, EOFError, OverflowError, KeyError, TypeError,
            struct.error) as error:
        raise UnreadableImage(f"{path} is damaged: its frame {number} cannot be decoded ({error}).",
                              remedy="Give a complete file.") from error
    return Decoded(colour=planes[..., :3], alpha=planes[..., 3:] if planes.shape[2] == 4 else None)
