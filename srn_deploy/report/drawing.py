"""Charts as shapes of SVG; colours and fonts come from the style sheet of the page, so that they follow its theme."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from srn_deploy.report.axes import in_digits, linear_ticks, log_ticks, tick_label
from srn_deploy.report.content import ScatterChart, ScatterPoint, SpreadChart, SpreadRow

WIDTH = 480
"""Of every chart, in units of its own; the page scales it."""

CHARACTER_WIDTH = 6.3
"""Of the font of labels, on average and rather too much."""

LINE_HEIGHT = 15

_BARS_END = WIDTH - 4

_ROW_HEIGHT, _BAR_HEIGHT = 36, 10

_LARGEST_RADIUS = 16

_GAP = 3
"""Between a point and its name."""

_PLOT = (52, 12, 468, 300)
"""Left, top, right and bottom of the field of points."""

_SCATTER_HEIGHT = 346


@dataclass(frozen=True, kw_only=True)
class Shape:
    """One element of SVG."""

    tag: str
    attributes: dict[str, str | float]
    text: str = ""
    hint: str = ""
    """Shown where the mouse rests on it, and read aloud."""


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """A chart as shapes."""

    title: str
    width: int
    height: int
    shapes: tuple[Shape, ...]
    description: str
    """What it shows, for those who do not see it."""


def draw_spreads(chart: SpreadChart) -> Drawing:
    """A bar from zero, or a point, for each row, with a line from its lowest to its highest sample."""
    bottom = _ROW_HEIGHT * len(chart.rows) + 6
    ticks = linear_ticks(0.0 if chart.from_zero else min(row.low for row in chart.rows),
                         max(row.high for row in chart.rows))
    shapes = [*_grid(ticks, bottom), *(shape for number, row in enumerate(chart.rows)
                                       for shape in _row(row, number, ticks, chart))]
    values = "; ".join(f"{row.name}: {_value(row)}" for row in chart.rows)
    return Drawing(title=f"{chart.title}, {chart.unit}" if chart.unit else chart.title, width=WIDTH,
                   height=bottom + LINE_HEIGHT + 4, shapes=tuple(shapes), description=values)


def _grid(ticks: Sequence[float], bottom: int) -> Iterator[Shape]:
    step = ticks[1] - ticks[0]
    for tick in ticks:
        x = _on_bars(tick, ticks)
        yield _line(x, 4, x, bottom, "grid")
        anchor = "start" if tick == ticks[0] else "end" if tick == ticks[-1] else "middle"
        yield _text(x, bottom + LINE_HEIGHT, tick_label(tick, step), "tick", anchor=anchor)


def _row(row: SpreadRow, number: int, ticks: Sequence[float], chart: SpreadChart) -> Iterator[Shape]:
    top = _ROW_HEIGHT * number + 4
    middle_y = top + LINE_HEIGHT + 3 + _BAR_HEIGHT / 2
    low, middle, high = (_on_bars(value, ticks) for value in (row.low, row.middle, row.high))
    room = int(WIDTH / CHARACTER_WIDTH) - len(_value(row)) - 2
    shown = row.name if len(row.name) <= room else f"{row.name[:room - 1]}…"
    yield _text(0, top + LINE_HEIGHT - 3, shown, "label", hint="" if shown == row.name else row.name)
    hint = f"{row.name}: {_value(row)} {chart.unit}".rstrip()
    if chart.from_zero:
        yield Shape(tag="rect", hint=hint, attributes={
            "x": 0, "y": _rounded(middle_y - _BAR_HEIGHT / 2), "width": _rounded(max(middle, 1.0)),
            "height": _BAR_HEIGHT, "class": "bar"})
    if row.low != row.high:
        yield _line(low, middle_y, high, middle_y, "spread")
        for end in (low, high):
            yield _line(end, middle_y - 4, end, middle_y + 4, "spread")
    if not chart.from_zero:
        yield Shape(tag="circle", hint=hint, attributes={
            "cx": _rounded(middle), "cy": _rounded(middle_y), "r": 4.5, "class": "point"})
    yield _text(WIDTH, top + LINE_HEIGHT - 3, _value(row), "value", anchor="end")


def _value(row: SpreadRow) -> str:
    spread = f" ({in_digits(row.low)} … {in_digits(row.high)})" if row.low != row.high else ""
    return f"{in_digits(row.middle)}{spread}"


def _on_bars(value: float, ticks: Sequence[float]) -> float:
    return _BARS_END * (value - ticks[0]) / (ticks[-1] - ticks[0])


def draw_scatter(chart: ScatterChart) -> Drawing:
    """The points with their names, which give way to each other."""
    x_ticks = log_ticks(min(point.x for point in chart.points) * 0.8, max(point.x for point in chart.points) * 1.25)
    heights = [point.y for point in chart.points]
    margin = (max(heights) - min(heights)) * 0.06 or 0.5
    y_ticks = linear_ticks(min(heights) - margin, max(heights) + margin)
    logarithms, largest = [math.log(tick) for tick in x_ticks], max(point.area for point in chart.points) or 1.0
    placed = [_Placed(point, _between(math.log(point.x), logarithms, _PLOT[0], _PLOT[2]),
                      _between(point.y, y_ticks, _PLOT[3], _PLOT[1]),
                      max(_LARGEST_RADIUS * math.sqrt(point.area / largest), 3.0)) for point in chart.points]
    shapes = [*_axes(chart, x_ticks, y_ticks), *_points(placed), *_names(placed)]
    values = "; ".join(f"{point.name}: {in_digits(point.x)}, {in_digits(point.y)}" for point in chart.points)
    return Drawing(title=chart.title, width=WIDTH, height=_SCATTER_HEIGHT, shapes=tuple(shapes), description=values)


@dataclass(frozen=True)
class _Placed:
    """A point, where it stands in the drawing, and how large it is there."""

    point: ScatterPoint
    x: float
    y: float
    radius: float


def _axes(chart: ScatterChart, x_ticks: Sequence[float], y_ticks: Sequence[float]) -> Iterator[Shape]:
    left, top, right, bottom = _PLOT
    logarithms = [math.log(tick) for tick in x_ticks]
    for tick in x_ticks:
        x = _between(math.log(tick), logarithms, left, right)
        yield _line(x, top, x, bottom, "grid")
        yield _text(x, bottom + LINE_HEIGHT, f"{tick:,.12g}", "tick", anchor="end" if tick == x_ticks[-1] else "middle")
    for tick in y_ticks:
        y = _between(tick, y_ticks, bottom, top)
        yield _line(left, y, right, y, "grid")
        yield _text(left - 6, y + 4, tick_label(tick, y_ticks[1] - y_ticks[0]), "tick", anchor="end")
    yield _text((left + right) / 2, bottom + 2 * LINE_HEIGHT + 4, chart.x_label, "axis", anchor="middle")
    middle = (top + bottom) / 2
    yield Shape(tag="text", text=chart.y_label, attributes={
        "x": 11, "y": middle, "class": "axis", "text-anchor": "middle", "transform": f"rotate(-90 11 {middle:g})"})


def _points(placed: Sequence[_Placed]) -> Iterator[Shape]:
    for one in placed:
        yield Shape(tag="circle", hint=f"{one.point.name}: {in_digits(one.point.x)}, {in_digits(one.point.y)}",
                    attributes={"cx": _rounded(one.x), "cy": _rounded(one.y), "r": _rounded(one.radius),
                                "class": "marked" if one.point.is_marked else "point"})


def _names(placed: Sequence[_Placed]) -> Iterator[Shape]:
    """Each beside its point, above or below it: the first place where it hides the least."""
    boxes = [(one.x - one.radius, one.y - one.radius, one.x + one.radius, one.y + one.radius) for one in placed]
    for one in sorted(placed, key=lambda one: -one.y):
        width, aside = CHARACTER_WIDTH * len(one.point.name), one.radius + _GAP
        above, below = one.y - aside, one.y + aside + LINE_HEIGHT - 4
        places = [(one.x + aside, one.y + 4, "start"), (one.x - aside, one.y + 4, "end"), (one.x, above, "middle"),
                  (one.x, below, "middle"), (one.x + aside, above, "start"), (one.x + aside, below, "start"),
                  (one.x - aside, above, "end"), (one.x - aside, below, "end")]
        costs = [(_overlaps(_box(place, width), boxes), number) for number, place in enumerate(places)]
        x, y, anchor = places[min(costs)[1]]
        boxes.append(_box((x, y, anchor), width))
        yield _text(x, y, one.point.name, "label", anchor=anchor)


_Box = tuple[float, float, float, float]


def _box(place: tuple[float, float, str], width: float) -> _Box:
    x, y, anchor = place
    left = {"start": x, "middle": x - width / 2, "end": x - width}[anchor]
    return left, y - LINE_HEIGHT + 4, left + width, y + 3


def _overlaps(box: _Box, others: Sequence[_Box]) -> float:
    """How much of the others it covers, and how far it leaves the drawing."""
    covered = sum(max(0.0, min(box[2], other[2]) - max(box[0], other[0]))
                  * max(0.0, min(box[3], other[3]) - max(box[1], other[1])) for other in others)
    outside = max(0.0, _PLOT[0] - box[0]) + max(0.0, box[2] - WIDTH) + max(0.0, -box[1])
    return covered + LINE_HEIGHT * outside


def _between(value: float, ticks: Sequence[float], first: float, last: float) -> float:
    return first + (last - first) * (value - ticks[0]) / (ticks[-1] - ticks[0])


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Shape:
    return Shape(tag="line", attributes={"x1": _rounded(x1), "y1": _rounded(y1), "x2": _rounded(x2),
                                         "y2": _rounded(y2), "class": kind})


def _text(x: float, y: float, text: str, kind: str, *, anchor: str = "start", hint: str = "") -> Shape:
    return Shape(tag="text", text=text, hint=hint, attributes={
        "x": _rounded(x), "y": _rounded(y), "class": kind, "text-anchor": anchor})


def _rounded(value: float) -> float:
    """Whole tenths: no reader sees less, and files stay small."""
    return round(value, 1) + 0.0
