"""What stands before the house: washing, a tree, a fence, a bicycle and grass."""

from __future__ import annotations

from math import cos, pi, sin

import numpy as np

from benchmarks.pictures.brush import Canvas, Colour, Point, box, disc, polygon, shade, stroke


def draw_washing(canvas: Canvas) -> None:
    """A line with a checked and a striped cloth: colours that change every few pixels."""
    line: Colour = (232, 230, 224)
    stroke(canvas, [(240 + 152 * t, 380 + 36 * t * (1 - t)) for t in np.linspace(0, 1, 40)], line, 0.67)
    _cloth(canvas, 262, 383, 52, 66, ((196, 44, 48), (240, 234, 226)), checked=True)
    _cloth(canvas, 328, 384, 44, 56, ((38, 66, 128), (236, 224, 188)), checked=False)


def _cloth(canvas: Canvas, left: float, top: float, width: float, height: float, colours: tuple[Colour, Colour], *,
           checked: bool) -> None:
    cell = 4.0 if checked else 2.4
    for row in range(round(height / cell)):
        for column in range(round(width / cell)):
            which = (row + column) % 2 if checked else column % 2
            x, y = left + column * cell, top + row * cell
            light = 0.86 + 0.14 * sin((x - left) / width * 5 * pi)  # folds
            wave = [1.8 * sin(edge / width * 4 * pi) * (y - top) / height for edge in (x - left, x - left + cell)]
            polygon(canvas, [(x, y + wave[0]), (x + cell, y + wave[1]), (x + cell, y + cell + wave[1]),
                             (x, y + cell + wave[0])], shade(colours[which], light))


def draw_tree(canvas: Canvas, random: np.random.Generator, foot_x: float, foot_y: float) -> None:
    """Branches that divide nine times, and leaves around the thin ones, brighter towards the sun on the left."""
    tips: list[Point] = []
    _branch(canvas, random, (foot_x, foot_y), -pi / 2, 82, 17, tips)
    order = random.permutation(len(tips))
    for layer, light in enumerate((0.5, 0.72, 0.95, 1.2)):
        for index in order[layer::4]:
            x, y = tips[index]
            for _ in range(13):
                spread = random.random() ** 0.5 * (25 - 2 * layer)
                turn = 2 * pi * random.random()
                leaf = (x - 2 * layer + spread * cos(turn), y - 3 * layer + 0.8 * spread * sin(turn))
                tone = light * (0.75 + 0.45 * random.random()) * (1.1 - 0.25 * (leaf[0] - foot_x + 130) / 260)
                disc(canvas, leaf, (3.4, 1.5), shade((92 + 36 * random.random(), 134, 44), tone), 180 * random.random())


def _branch(canvas: Canvas, random: np.random.Generator, start: Point, turn: float, length: float, width: float,
            tips: list[Point]) -> None:
    end = (start[0] + length * cos(turn), start[1] + length * sin(turn))
    stroke(canvas, [start, end], (88, 68, 52), width)
    stroke(canvas, [(start[0] - width / 4, start[1]), (end[0] - width / 4, end[1])], (124, 100, 78), width / 3)
    if width < 4:
        tips.append(end)
    if length > 17:
        for side in (-1, 1):
            bent = turn + side * (0.22 + 0.42 * random.random())
            _branch(canvas, random, end, bent, length * (0.72 + 0.1 * random.random()), width * 0.66, tips)


def draw_fence(canvas: Canvas, random: np.random.Generator, top: float) -> None:
    """Pickets with shaded edges; behind them the meadow shows through."""
    for height in (16, 44):
        box(canvas, 0, top + height, 330, top + height + 5, (196, 188, 174))
        box(canvas, 0, top + height + 5, 330, top + height + 6, (120, 112, 96))
    for left in np.arange(3, 322, 13.0):
        tone = 0.88 + 0.16 * random.random()
        high = top + 3 * random.random()
        foot = top + 68
        polygon(canvas, [(left, high + 5), (left + 3.5, high), (left + 7, high + 5), (left + 7, foot), (left, foot)],
                shade((238, 232, 220), tone))
        box(canvas, left + 6, high + 5, left + 7, top + 68, (150, 142, 126))
        for _ in range(3):
            x = left + 1 + 4 * random.random()
            stroke(canvas, [(x, high + 8), (x + 0.8 * random.random(), top + 66)], (206, 198, 182), 0.34)


def draw_bicycle(canvas: Canvas, left: float, base: float) -> None:
    """Two wheels with spokes as thin as a third of a pixel, and a frame."""
    radius, span = 37.0, 104.0
    hubs = [(left, base), (left + span, base)]
    for hub in hubs:
        disc(canvas, hub, (radius, radius), (34, 34, 38), width_px=3.0)
        disc(canvas, hub, (radius - 3, radius - 3), (176, 178, 184), width_px=1.0)
        for spoke in range(28):
            turn = 2 * pi * spoke / 28
            inner = (hub[0] + 2.5 * cos(turn + 1.2), hub[1] + 2.5 * sin(turn + 1.2))
            outer = (hub[0] + (radius - 3) * cos(turn), hub[1] + (radius - 3) * sin(turn))
            stroke(canvas, [inner, outer], (238, 240, 244), 0.34)
        disc(canvas, hub, (3, 3), (120, 122, 128))
    crank, seat, head = (left + 46, base + 4), (left + 32, base - 54), (left + 84, base - 58)
    for start, end in ((hubs[0], crank), (hubs[0], seat), (crank, seat), (crank, head), (seat, head), (head, hubs[1])):
        stroke(canvas, [start, end], (168, 32, 40), 3.0)
        stroke(canvas, [(start[0], start[1] - 0.8), (end[0], end[1] - 0.8)], (226, 96, 92), 0.67)
    disc(canvas, crank, (9, 9), (60, 60, 64), width_px=1.6)
    stroke(canvas, [(seat[0], seat[1]), (seat[0] - 3, seat[1] - 10)], (70, 70, 74), 2.0)
    stroke(canvas, [(seat[0] - 14, seat[1] - 11), (seat[0] + 9, seat[1] - 12)], (40, 32, 28), 4.0)
    stroke(canvas, [head, (head[0] - 4, head[1] - 16), (head[0] + 12, head[1] - 19), (head[0] + 17, head[1] - 12)],
           (60, 60, 64), 2.0)


def draw_grass(canvas: Canvas, random: np.random.Generator, top: int, bottom: int, width: int) -> None:
    """Thousands of bent blades, longer towards the viewer, and a few flowers."""
    for depth in np.sort(random.random(9000)):
        y = top + (bottom + 14 - top) * depth
        x = width * random.random()
        if 384 < x < 660 and y < 528:
            continue  # the house stands there
        tall, lean = (4 + 20 * depth) * (0.6 + 0.6 * random.random()), 10 * depth * (random.random() - 0.5)
        tone = 0.45 + 0.75 * random.random()
        colour = shade((104 + 40 * random.random(), 146, 52), tone)
        stroke(canvas, [(x, y), (x + 0.3 * lean, y - 0.5 * tall), (x + lean, y - tall)], colour, 0.34 + 0.9 * depth)
        if random.random() < 0.02:
            petal: Colour = ((248, 244, 236), (238, 198, 60), (206, 70, 92))[int(3 * random.random())]
            disc(canvas, (x + lean, y - tall), (1 + 1.6 * depth, 1 + 1.4 * depth), petal)
