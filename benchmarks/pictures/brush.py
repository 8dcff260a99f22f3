"""Brushes: shapes drawn without antialiasing on a canvas FINER times as fine, then averaged.

cv2's plain rasteriser is integer arithmetic; its antialiased lines may change between versions.
Coordinates are those of the finished picture, in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

FINER = 3
_SHIFT = 4  # fractional bits of a coordinate

Colour = tuple[float, float, float]
Point = tuple[float, float]
Canvas = NDArray[np.uint8]
Layer = NDArray[np.float32]


def canvas_over(background: Layer) -> Canvas:
    """A canvas to draw on, from float32 (H, W, C) in 0..255; its own alone."""
    picture = np.clip(np.rint(background), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(picture.repeat(FINER, axis=0).repeat(FINER, axis=1))


def averaged(canvas: Canvas) -> NDArray[np.uint8]:
    """FINER x FINER pixels to one; uint8 (H, W, C)."""
    height, width, channels = canvas.shape[0] // FINER, canvas.shape[1] // FINER, canvas.shape[2]
    blocks = canvas.reshape(height, FINER, width, FINER, channels).sum(axis=(1, 3), dtype=np.uint32)
    means: NDArray[np.uint8] = ((blocks + FINER**2 // 2) // FINER**2).astype(np.uint8)
    return means


def clouds(random: np.random.Generator, height: int, width: int, *, coarsest: float, octaves: int = 6,
           fade: float = 0.55) -> Layer:
    """Fractal noise float32 (height, width), about -1..1: grids of random numbers, each twice as fine and fainter."""
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        cell = coarsest / 2**octave
        if cell < 1:
            break
        grid = random.random((int(height / cell) + 3, int(width / cell) + 3)).astype(np.float32) * 2 - 1
        total += fade**octave * cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    return total


def _points(points: Sequence[Point]) -> NDArray[np.int32]:
    """Picture coordinates to the canvas's, with _SHIFT fractional bits."""
    found: NDArray[np.int32] = np.rint(
        (np.asarray(points, np.float64) + 0.5) * FINER * 2**_SHIFT - 2**(_SHIFT - 1)).astype(np.int32)
    return found


def polygon(canvas: Canvas, points: Sequence[Point], colour: Colour) -> None:
    """Fill a polygon."""
    cv2.fillPoly(canvas, [_points(points)], colour, lineType=cv2.LINE_8, shift=_SHIFT)


def box(canvas: Canvas, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
    """Fill a rectangle."""
    polygon(canvas, [(left, top), (right, top), (right, bottom), (left, bottom)], colour)


def stroke(canvas: Canvas, points: Sequence[Point], colour: Colour, width_px: float = 1.0) -> None:
    """Draw a line through points; a third of a pixel is the thinnest."""
    thickness = max(1, round(width_px * FINER))
    cv2.polylines(canvas, [_points(points)], False, colour, thickness, cv2.LINE_8, _SHIFT)


def disc(canvas: Canvas, centre: Point, axes: tuple[float, float], colour: Colour, angle: float = 0.0,
         width_px: float | None = None) -> None:
    """Fill an ellipse, or draw its outline of a given width."""
    thickness = cv2.FILLED if width_px is None else max(1, round(width_px * FINER))
    middle = _points([centre])[0]
    size = [max(1, round(axis * FINER * 2**_SHIFT)) for axis in axes]
    cv2.ellipse(canvas, [int(value) for value in middle], size, angle, 0, 360, colour, thickness, cv2.LINE_8, _SHIFT)


def write(canvas: Canvas, text: str, left: float, base: float, size: float, colour: Colour) -> None:
    """Lettering by cv2.putText; size 1 is about 21 pixels high. Its shapes belong to OpenCV and may change with it."""
    origin = (round(left * FINER), round(base * FINER))
    cv2.putText(canvas, text, origin, cv2.FONT_HERSHEY_DUPLEX, size * FINER, colour, FINER, cv2.LINE_8)


def shade(colour: Colour, light: float) -> Colour:
    red, green, blue = (min(255.0, max(0.0, part * light)) for part in colour)
    return red, green, blue
