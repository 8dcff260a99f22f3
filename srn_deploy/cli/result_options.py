"""Options for what results are: their size, names and times, which a command receives as `wanted` and `name`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from srn_deploy.cli import values

_MOST_SIDE_PX = 1_000_000
"""`image.output_size` has the same; importing it would load numpy for the help text."""

_SIDE = click.IntRange(min=1, max=_MOST_SIDE_PX)


def results(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options; two that contradict each other are wrong usage."""
    @functools.wraps(command)
    def with_wanted(*args: Any, scale: float | None, width: int | None, height: int | None,
                    fit: tuple[int, int] | None, max_side: int | None, frame: int | None, keep_times: bool,
                    name: str | None, **others: Any) -> Any:
        from srn_deploy.image.output_size import OutputSize
        from srn_deploy.inference.naming import NamePattern
        from srn_deploy.inference.result_options import ResultOptions

        with values.wrong_usage():
            size = OutputSize(scale=scale, width=width, height=height, fit=fit, max_side=max_side)
            if name is not None:
                NamePattern(name).needs_model(size)
        return command(*args, wanted=ResultOptions(size=size, keep_times=keep_times, frame=frame), name=name, **others)

    for option in reversed(_OPTIONS):
        with_wanted = option(with_wanted)
    return with_wanted


def _box(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """Parse the value of --fit to (height, width)."""
    if value is None:
        return None
    from srn_deploy.image.output_size import OutputSize, parse_box

    with values.wrong_usage():
        return OutputSize(fit=parse_box(value)).fit


def _pattern(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Check that the pattern of --name can be filled in."""
    if value is not None:
        from srn_deploy.inference.naming import NamePattern

        with values.wrong_usage():
            NamePattern(value)
    return value


_OPTIONS = (
    click.option("--scale", type=values.FINITE, metavar="NUMBER",
                 help="Size of a result, as a factor, as in 1.5: that of the model, then reduced.  "
                      "[default: the model's]"),
    click.option("--width", type=_SIDE, metavar="N", help="Width of a result in pixels; the shape is kept."),
    click.option("--height", type=_SIDE, metavar="N", help="Height of a result in pixels; the shape is kept."),
    click.option("--fit", metavar="WxH", callback=_box,
                 help="Largest result inside a box, width x height, as in 1920x1080; the shape is kept."),
    click.option("--max-side", type=_SIDE, metavar="N",
                 help="Reduce results whose longer side is more; alone or with --scale."),
    click.option("--name", metavar="PATTERN", callback=_pattern,
                 help="Names of the results in the folder OUT, as in {stem}_x{scale}{suffix}.  "
                      "[default: those of the images]"),
    click.option("--frame", type=click.IntRange(min=1), metavar="N",
                 help="Frame of an animation (GIF, APNG, WebP, AVIF), or page of a TIFF, to take, from 1; without it "
                      "they are refused."),
    click.option("--keep-times", is_flag=True, help="Give each result the modification time of its image."))
