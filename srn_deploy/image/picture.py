"""A picture in memory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from srn_deploy.image.containers import Metadata

Pixels = NDArray[np.uint8] | NDArray[np.uint16]


@dataclass(frozen=True, kw_only=True, eq=False)
class Image:
    """One picture, upright. The arrays belong to the holder of the image."""

    pixels: Pixels
    """(H, W, 1) grey or (H, W, 3) RGB; uint8 in 0..255 or uint16 in 0..65535."""
    alpha: Pixels | None = None
    """(H, W, 1) of the same dtype, not premultiplied; None for opaque pictures."""
    metadata: Metadata = ()
    """EXIF, XMP, colour profile, resolution: as they stood in the file, but for the orientation, which is upright."""
    remarks: tuple[str, ...] = ()
    """What reading had to change or to pass over, as sentences; empty for most files."""

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


@dataclass(frozen=True, kw_only=True, eq=False)
class Decoded:
    """What a codec made of a file, as it lies there: not yet upright."""

    colour: Pixels
    """(H, W, 1) grey, (H, W, 3) RGB or, with `is_cmyk`, (H, W, 4) cyan, magenta, yellow, black: 0 is no ink."""
    alpha: Pixels | None = None
    is_cmyk: bool = False
    remarks: tuple[str, ...] = ()
