"""The demo picture: a house in the hills, with what upscaling is judged by.

Bricks and roof tiles, leaves and grass, lettering, hair-thin wires and spokes, checked cloth, smooth sky.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.pictures.brush import (
    Canvas,
    Colour,
    Layer,
    averaged,
    box,
    canvas_over,
    clouds,
    disc,
    polygon,
    shade,
    stroke,
    write,
)
from benchmarks.pictures.garden import draw_bicycle, draw_fence, draw_grass, draw_tree, draw_washing

HEIGHT_PX, WIDTH_PX = 640, 960
HORIZON_PX = 400


def draw_scene(seed: int = 4) -> NDArray[np.uint8]:
    """RGB uint8 (640, 960, 3); the same seed gives the same picture."""
    random = np.random.default_rng(seed)
    canvas = canvas_over(_land(random, _sky(random)))
    _wires(canvas)
    _house(canvas, random)
    _hoarding(canvas)
    draw_washing(canvas)
    draw_tree(canvas, random, 176, 520)
    draw_fence(canvas, random, 470)
    draw_grass(canvas, random, HORIZON_PX + 76, HEIGHT_PX, WIDTH_PX)
    draw_bicycle(canvas, 726, 560)
    return averaged(canvas)


def _mix(first: Colour, second: Colour, share: NDArray[np.float32]) -> Layer:
    weight = share[..., None]
    ends = [np.array(colour, np.float32) for colour in (first, second)]
    mixed: Layer = (ends[0] * (1 - weight) + ends[1] * weight).astype(np.float32)
    return mixed


def _sky(random: np.random.Generator) -> Layer:
    down = np.linspace(0, 1, HEIGHT_PX, dtype=np.float32)[:, None].repeat(WIDTH_PX, axis=1)
    sky = _mix((70, 126, 196), (246, 226, 200), np.clip(down * 1.7, 0, 1) ** 1.4)
    noise = clouds(random, HEIGHT_PX, WIDTH_PX // 3, coarsest=90)
    wide = cv2.resize(noise, (WIDTH_PX, HEIGHT_PX), interpolation=cv2.INTER_CUBIC)
    cover = np.clip(wide * 0.9 - 0.05 + 0.15 * down, 0, 1)[..., None]
    covered: Layer = (sky * (1 - 0.8 * cover) + np.array((252, 247, 240), np.float32) * 0.8 * cover).astype(np.float32)
    return covered


def _land(random: np.random.Generator, picture: Layer) -> Layer:
    """Three ranges of hills, each nearer, greener and with stronger relief; then the meadow."""
    rows = np.arange(HEIGHT_PX, dtype=np.float32)[:, None]
    ranges: list[tuple[float, float, Colour, Colour, float]] = [
        (250, 70, (128, 148, 178), (176, 186, 200), 0.35),
        (318, 44, (84, 112, 118), (142, 160, 132), 0.7),
        (366, 26, (58, 92, 58), (128, 150, 74), 1.0),
        (HORIZON_PX, 7, (70, 104, 40), (150, 168, 72), 1.0),
    ]
    for top, rise, dark, bright, relief in ranges:
        ridge = top + rise * clouds(random, 1, WIDTH_PX, coarsest=260, fade=0.45)[0]
        surface = clouds(random, HEIGHT_PX, WIDTH_PX, coarsest=64, fade=0.7)
        lit = np.clip(0.5 + relief * 0.9 * (surface - np.roll(surface, (2, 2), (0, 1))) + 0.18 * surface, 0, 1)
        inside = np.clip(rows - ridge[None, :] + 0.5, 0, 1)[..., None]
        picture = picture * (1 - inside) + _mix(dark, bright, lit) * inside
    return picture.astype(np.float32)


def _wires(canvas: Canvas) -> None:
    pole: Colour = (74, 62, 52)
    box(canvas, 906, 150, 911, 470, pole)
    for height in (168, 186):
        box(canvas, 878, height, 939, height + 3, pole)
        for left in (880, 898, 918, 936):
            box(canvas, left - 1, height - 6, left + 1, height, (210, 210, 205))
            across = np.linspace(0, 1, 60)
            sag = 4 * across * (1 - across)
            stroke(canvas, [(left - 1000 * t, height - 6 - 60 * t + (46 + 0.1 * (left - 880)) * s)
                            for t, s in zip(across, sag, strict=True)], (52, 50, 56), 0.34)
            stroke(canvas, [(left + 100 * t, height - 6 - 14 * t) for t in across], (52, 50, 56), 0.34)


def _house(canvas: Canvas, random: np.random.Generator) -> None:
    left, right, eaves, ground = 392, 652, 296, 520
    _bricks(canvas, random, left, eaves, right, ground)
    box(canvas, 590, 176, 622, 250, (150, 74, 58))
    box(canvas, 586, 170, 626, 178, (120, 112, 106))
    _roof(canvas, random, left - 22, right + 22, eaves + 6, 196)
    for x in (414, 500, 586):
        _window(canvas, x, 336, 46, 62)
    _window(canvas, 414, 430, 46, 62)
    _door(canvas, 584, 426, 50, ground)
    box(canvas, 486, 430, 562, 460, (40, 66, 62))
    box(canvas, 488, 432, 560, 458, (236, 228, 206))
    write(canvas, "bakery", 493, 451, 0.62, (150, 38, 34))


def _hoarding(canvas: Canvas) -> None:
    """A board with letters of five sizes: the largest is easy, the smallest lost at a quarter of the size."""
    left, top, right, bottom = 694, 336, 884, 448
    for post in (left + 24, right - 32):
        box(canvas, post, bottom - 4, post + 8, 506, (112, 92, 72))
        box(canvas, post, bottom - 4, post + 2, 506, (146, 124, 100))
    box(canvas, left - 4, top - 4, right + 4, bottom + 4, (86, 74, 64))
    box(canvas, left, top, right, bottom, (244, 238, 220))
    write(canvas, "SRN x4", left + 10, top + 34, 1.35, (160, 36, 34))
    write(canvas, "super resolution", left + 11, top + 59, 0.73, (34, 52, 96))
    write(canvas, "one pixel becomes sixteen", left + 11, top + 77, 0.45, (40, 40, 44))
    write(canvas, "edges, hair lines and texture", left + 11, top + 92, 0.42, (40, 40, 44))
    write(canvas, "0123456789 ABCDEFGHIJ abcdefghij", left + 11, top + 105, 0.3, (40, 40, 44))


def _bricks(canvas: Canvas, random: np.random.Generator, left: int, top: int, right: int, bottom: int) -> None:
    box(canvas, left, top, right, bottom, (196, 184, 168))
    height, width = 5.6, 13.0
    for row in range(int((bottom - top) / height) + 1):
        y = top + row * height
        for column in range(-1, int((right - left) / width) + 1):
            x = left + (column + 0.5 * (row % 2)) * width
            colour = shade((164, 82 + 14 * random.random(), 62), 0.78 + 0.4 * random.random())
            start, end = max(left, x + 0.5), min(right, x + width - 0.6)
            if start < end and y + 0.5 < bottom:
                box(canvas, start, y + 0.5, end, min(bottom, y + height - 0.6), colour)


def _roof(canvas: Canvas, random: np.random.Generator, left: int, right: int, eaves: int, ridge: int) -> None:
    inset = 64
    for row, y in enumerate(np.arange(ridge, eaves, 7.0)):
        share = (y - ridge) / (eaves - ridge)
        start, end = left + inset * (1 - share), right - inset * (1 - share)
        box(canvas, start, y, end, y + 7, (74, 48, 46))
        for x in np.arange(start + 4.5 * (row % 2), end - 4, 9.0):
            tone = shade((152, 84, 66), 0.7 + 0.45 * random.random())
            box(canvas, x + 0.4, y, x + 8.6, y + 3, tone)
            disc(canvas, (x + 4.5, y + 3), (4.1, 3.2), tone)
    for foot, head in ((left + 2, left + inset), (right - 2, right - inset)):
        stroke(canvas, [(foot, eaves), (head, ridge)], (98, 56, 48), 7)
        stroke(canvas, [(foot - 1, eaves - 2), (head - 1, ridge - 2)], (156, 96, 78), 2)
    box(canvas, left + inset - 4, ridge - 3, right - inset + 4, ridge + 2, (98, 56, 48))
    box(canvas, left, eaves, right, eaves + 4, (226, 220, 208))


def _window(canvas: Canvas, left: float, top: float, width: float, height: float) -> None:
    box(canvas, left - 5, top - 5, left + width + 5, top + height + 5, (232, 226, 214))
    for step in range(24):  # the sky in the panes
        share = step / 24
        box(canvas, left, top + height * share, left + width, top + height * (share + 1 / 24),
            shade((108, 140, 168), 0.5 + 0.9 * share))
    polygon(canvas, [(left + 4, top + height), (left + 26, top), (left + 34, top), (left + 12, top + height)],
            (190, 208, 220))
    for part in (1, 2):
        box(canvas, left + width * part / 3 - 0.9, top, left + width * part / 3 + 0.9, top + height, (238, 234, 224))
        box(canvas, left, top + height * part / 3 - 0.9, left + width, top + height * part / 3 + 0.9, (238, 234, 224))
    box(canvas, left - 8, top + height + 5, left + width + 8, top + height + 9, (176, 168, 156))


def _door(canvas: Canvas, left: float, top: float, width: float, ground: float) -> None:
    box(canvas, left - 4, top - 4, left + width + 4, ground, (232, 226, 214))
    box(canvas, left, top, left + width, ground, (38, 84, 88))
    for x in np.arange(left + 5, left + width, 5.0):
        stroke(canvas, [(x, top), (x, ground)], (22, 56, 60), 0.34)
    disc(canvas, (left + width - 7, top + 50), (2.2, 2.2), (222, 186, 90))
