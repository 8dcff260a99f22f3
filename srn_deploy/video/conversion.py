"""FramePlanes of a frame to RGB and back, in floating point: exact matrices, ranges and positions of chroma.

Written out here, because swscale's usual paths round chroma and matrices to few bits: what a network leaves unchanged
must come out unchanged.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from srn_deploy.image.pixels import Pixels
from srn_deploy.video.colour import LUMA_WEIGHTS, FrameColour
from srn_deploy.video.layout import ColourModel, FramePlanes, PixelLayout

Floats = NDArray[np.float32]

_HEADROOM = {True: (0.0, 1.0, 1.0), False: (16 / 256, 219 / 256, 224 / 256)}
"""Full range or not, to the black level, the height of luma and that of chroma, in units of 2**bits; H.273, 8.3.
Full range counts in units of 2**bits - 1 instead."""


def to_pixels(planes: FramePlanes, layout: PixelLayout, colour: FrameColour) -> tuple[Pixels, Pixels | None]:
    """The planes of a frame as RGB (H, W, 3) or grey (H, W, 1), and alpha (H, W, 1) or None.

    uint8 for frames of 8 bits, otherwise uint16 in 0..65535, whatever the bits: what a network takes. Colours outside
    of RGB are clipped.
    """
    alpha: Pixels | None = None
    if layout.has_alpha:
        shares = planes[-1].astype(np.float32) / np.float32(layout.peak)
        alpha = _quantised(shares[..., None], layout.dtype)
    black, height, chroma_height = _levels(layout, colour)
    channels = [(plane.astype(np.float32) - black) / height for plane in planes[:1]]
    if layout.kind is ColourModel.RGB:
        green, blue, red = ((plane.astype(np.float32) - black) / height for plane in planes[:3])
        channels = [red, green, blue]
    elif layout.kind is ColourModel.YUV:
        middle = np.float32(1 << (layout.bits - 1))
        blue_minus, red_minus = (_enlarged((plane.astype(np.float32) - middle) / chroma_height, layout, colour,
                                           channels[0].shape) for plane in planes[1:3])
        channels = _rgb_of(channels[0], blue_minus, red_minus, colour)
    pixels = np.empty((*channels[0].shape, len(channels)), layout.dtype)
    for number, channel in enumerate(channels):
        pixels[..., number] = _quantised(channel, layout.dtype)
    return pixels, alpha


def to_planes(pixels: Pixels, alpha: Pixels | None, layout: PixelLayout, colour: FrameColour) -> FramePlanes:
    """RGB (H, W, 3) or grey (H, W, 1) with alpha, as `to_pixels` gives them, as the planes of a frame.

    Grey serves every layout. alpha may be None in a layout with alpha: it is opaque then.
    """
    black, height, chroma_height = _levels(layout, colour)
    most = np.float32(np.iinfo(pixels.dtype).max)
    given = [pixels[..., channel].astype(np.float32) / most for channel in range(pixels.shape[2])]
    red, green, blue = given if len(given) == 3 else given * 3
    if layout.kind is ColourModel.RGB:
        planes = [_stored(channel * height + black, layout) for channel in (green, blue, red)]
    elif layout.kind is ColourModel.GREY:
        planes = [_stored(green * height + black, layout)]
    else:
        luma, *chroma = _yuv_of(red, green, blue, colour)
        middle = np.float32(1 << (layout.bits - 1))
        planes = [_stored(luma * height + black, layout),
                  *(_stored(_reduced(plane, layout, colour) * chroma_height + middle, layout) for plane in chroma)]
    if layout.has_alpha:
        shares: Floats = np.ones(pixels.shape[:2], np.float32)
        if alpha is not None:
            shares = alpha[..., 0].astype(np.float32) / np.float32(np.iinfo(alpha.dtype).max)
        planes.append(_stored(shares * np.float32(layout.peak), layout))
    return planes


def _levels(layout: PixelLayout, colour: FrameColour) -> tuple[np.float32, np.float32, np.float32]:
    """Black, and the heights of luma and chroma, in levels of the layout."""
    unit = layout.peak if colour.full_range else 1 << layout.bits
    black, height, chroma = (np.float32(share * unit) for share in _HEADROOM[colour.full_range])
    return black, height, chroma


def _rgb_of(luma: Floats, blue_minus: Floats, red_minus: Floats, colour: FrameColour) -> list[Floats]:
    """H.273, equations 47 to 49, solved for red, green and blue."""
    of_red, of_blue = LUMA_WEIGHTS[colour.matrix]
    of_green = 1 - of_red - of_blue
    red = luma + np.float32(2 * (1 - of_red)) * red_minus
    blue = luma + np.float32(2 * (1 - of_blue)) * blue_minus
    green = (luma - np.float32(of_red) * red - np.float32(of_blue) * blue) / np.float32(of_green)
    return [red, green, blue]


def _yuv_of(red: Floats, green: Floats, blue: Floats, colour: FrameColour) -> list[Floats]:
    """H.273, equations 47 to 49."""
    of_red, of_blue = LUMA_WEIGHTS[colour.matrix]
    luma = (np.float32(of_red) * red + np.float32(1 - of_red - of_blue) * green + np.float32(of_blue) * blue)
    return [luma, (blue - luma) / np.float32(2 * (1 - of_blue)), (red - luma) / np.float32(2 * (1 - of_red))]


def _quantised(shares: Floats, dtype: np.dtype[Any]) -> Pixels:
    """0..1 as all levels of a dtype."""
    levels = np.rint(np.clip(shares, 0, 1) * np.float32(np.iinfo(dtype).max))
    return np.asarray(levels, dtype)


def _stored(levels: Floats, layout: PixelLayout) -> NDArray[Any]:
    return np.asarray(np.rint(np.clip(levels, 0, layout.peak)), layout.dtype)


def _offsets(layout: PixelLayout, colour: FrameColour) -> tuple[float, float]:
    """Where the first chroma sample lies, in luma rows and columns: on the first one, or in the middle of its group."""
    row = 0.0 if colour.chroma == "topleft" else (layout.vertical - 1) / 2
    return row, (layout.horizontal - 1) / 2 if colour.chroma == "center" else 0.0


def _enlarged(chroma: Floats, layout: PixelLayout, colour: FrameColour, shape: tuple[int, ...]) -> Floats:
    """Chroma at every luma sample, by linear interpolation."""
    row, col = _offsets(layout, colour)
    return _along(_along(chroma, 0, layout.vertical, row, shape[0]), 1, layout.horizontal, col, shape[1])


def _along(plane: Floats, axis: int, factor: int, offset: float, length: int) -> Floats:
    if factor == 1:
        return plane
    place = np.clip((np.arange(length) - offset) / factor, 0, plane.shape[axis] - 1)
    first = np.floor(place).astype(np.intp)
    weight = (place - first).astype(np.float32)
    weight = weight[:, None] if axis == 0 else weight
    before = plane.take(first, axis)
    after = plane.take(np.minimum(first + 1, plane.shape[axis] - 1), axis)
    return np.asarray(before + (after - before) * weight, np.float32)


def _reduced(chroma: Floats, layout: PixelLayout, colour: FrameColour) -> Floats:
    """The mean of the luma positions around each chroma sample."""
    row, col = _offsets(layout, colour)
    return _mean_along(_mean_along(chroma, 0, layout.vertical, row == 0), 1, layout.horizontal, col == 0)


def _mean_along(plane: Floats, axis: int, factor: int, on_first: bool) -> Floats:
    """Groups of `factor` samples averaged; on_first: the mean is around the first of each, with half of both ends."""
    if factor == 1:
        return plane
    length = plane.shape[axis]
    count = -(-length // factor)
    weights = [1.0] * factor if not on_first else [0.5, *[1.0] * (factor - 1), 0.5]
    start = -(factor // 2) if on_first else 0
    total: Floats | None = None
    for step, weight in enumerate(weights):
        place = np.clip(np.arange(count) * factor + start + step, 0, length - 1)
        part = plane.take(place, axis) * np.float32(weight / factor)
        total = part if total is None else total + part
    return plane if total is None else total
