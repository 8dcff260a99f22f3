"""Options for the size of results, which a command receives as one `size`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from srn_deploy.cli import values

_MOST_SIDE_PX = 1_000_000
"""`image.output_size` has the same; importing it would load numpy for the help text."""

_SIDE = click.IntRange(min=1, max=_MOST_SIDE_PX)


def size(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --scale, --width, --height, --fit and --max-side; two that contradict each other are wrong usage."""
    @functools.wraps(command)
    def sized(*args: Any, scale: float | None, width: int | None, height: int | None, fit: tuple[int, int] | None,
              max_side: int | None, **others: Any) -> Any:
        from srn_deploy.image.output_size import OutputSize

        with values.wrong_usage():
            asked = OutputSize(scale=scale, width=width, height=height, fit=fit, max_side=max_side)
        return command(*args, size=asked, **others)

    for option in reversed((
            click.option("--scale", type=values.FINITE, metavar="NUMBER",
                         help="Size of a result, as a factor, as in 1.5: that of the model, then reduced.  "
                              "[default: the model's]"),
            click.option("--width", type=_SIDE, metavar="N", help="Width of a result in pixels; the shape is kept."),
            click.option("--height", type=_SIDE, metavar="N", help="Height of a result in pixels; the shape is kept."),
            click.option("--fit", metavar="WxH", callback=_box,
                         help="Largest result inside a box, width x height, as in 1920x1080; the shape is kept."),
            click.option("--max-side", type=_SIDE, metavar="N",
                         help="Reduce results whose longer side is more; alone or with --scale."))):
        sized = option(sized)
    return sized


def _box(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """Parse the value of --fit to (height, width)."""
    if value is None:
        return None
    from srn_deploy.image.output_size import OutputSize, parse_box

    with values.wrong_usage():
        return OutputSize(fit=parse_box(value)).fit
