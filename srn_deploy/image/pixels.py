"""An image in memory."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from srn_deploy.image.containers import Metadata
from srn_deploy.image.containers.moving import moved
from srn_deploy.image.containers.pixel_map import PixelMap

Pixels = NDArray[np.uint8] | NDArray[np.uint16]
"""(H, W, C) as files hold them: uint8 in 0..255 or uint16 in 0..65535."""

Rgb8 = NDArray[np.uint8]
"""An RGB image (H, W, 3) of 8 bits, in 0..255."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Image:
    """An image, turned upright. The arrays belong to whoever holds the image."""

    pixels: Pixels
    """(H, W, 1) grey or (H, W, 3) RGB; uint8 in 0..255 or uint16 in 0..65535."""
    alpha: Pixels | None = None
    """(H, W, 1) of the same dtype, not premultiplied; None for opaque images."""
    metadata: Metadata = ()
    """EXIF, XMP, colour profile, resolution and so on, as in the file, but with the orientation set to upright."""
    remarks: tuple[str, ...] = ()
    """What reading had to change or ignore, as sentences; empty for most files."""

    @property
    def height(self) -> int:
        """In pixels."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """In pixels."""
        return int(self.pixels.shape[1])

    def enlarged(self, pixels: Pixels, alpha: Pixels | None) -> Image:
        """The image with larger pixels of the same kind; what its metadata count in pixels grows with them."""
        grown = PixelMap(height=self.height, width=self.width, new_height=pixels.shape[0], new_width=pixels.shape[1])
        return replace(self, pixels=pixels, alpha=alpha, metadata=moved(self.metadata, grown)[0])

    def as_rgb8(self) -> Rgb8:
        """A new uint8 array (H, W, 3) in RGB, without alpha; grey is repeated and 16 bits are rounded to 8."""
        pixels = self.pixels if self.pixels.dtype == np.uint8 else np.rint(self.pixels / 257.0)
        return np.broadcast_to(pixels, (self.height, self.width, 3)).astype(np.uint8, order="C")


@dataclass(frozen=True, kw_only=True, eq=False)
class Decoded:
    """The pixels that a codec decoded, in the orientation of the file."""

    colour: Pixels
    """(H, W, 1) grey, (H, W, 3) RGB or, with `is_cmyk`, (H, W, 4) cyan, magenta, yellow, black, where 0 is no ink."""
    alpha: Pixels | None = None
    is_cmyk: bool = False
    profile: bytes = b""
    """A colour profile that only the decoder knows; empty for the formats that have it among their metadata."""
    remarks: tuple[str, ...] = ()
