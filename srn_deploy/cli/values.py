"""Values of options, checked as they are read: a wrong one is wrong usage, exit code 2, before anything is done."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from srn_deploy.errors import OptionError

Callback = Callable[[click.Context, click.Parameter, Any], Any]


class PositiveNumber(click.FloatRange):
    """A number above 0, at most `most`; NaN is none. The help shows the lower bound alone."""

    def __init__(self, most: float = math.inf) -> None:
        super().__init__(min=0, min_open=True)
        self._most = most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number; NaN passes every comparison of click's own type."""
        number: float = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number.", param, ctx)
        if number > self._most:
            self.fail(f"{value} is larger than {self._most:g}.", param, ctx)
        return number


FINITE = PositiveNumber(most=1e9)
"""Of seconds, minutes and levels: more than any run or file has."""


@contextmanager
def wrong_usage() -> Iterator[None]:
    """Turn an OptionError about a value as it was typed into wrong usage."""
    try:
        yield
    except OptionError as error:
        raise click.BadParameter(f"{error.message} {error.remedy}") from error


def with_suffix(*suffixes: str) -> Callback:
    """A callback for the path of a file that ends in one of these, in upper or lower case."""
    def checked(context: click.Context, parameter: click.Parameter, value: Path | None) -> Path | None:
        if value is not None and value.suffix.lower() not in suffixes:
            raise click.BadParameter(f"{value} does not end in {' or '.join(suffixes)}.")
        return value

    return checked


def tile_side(context: click.Context, parameter: click.Parameter, value: str) -> int | str | None:
    """Parse the value of --tile: auto, none or a number of pixels."""
    if value in ("none", "auto"):
        return None if value == "none" else value
    try:
        side = int(value)
    except ValueError:
        raise click.BadParameter("must be auto, none or a number of pixels") from None
    from srn_deploy.tiling.windows import TileOptions

    with wrong_usage():
        return TileOptions(tile=side).tile


def one_size(context: click.Context, parameter: click.Parameter, value: str) -> str:
    """Check a size of an input, HxW."""
    from srn_deploy.tiling.shapes import ShapeRange

    try:
        shapes = ShapeRange.parse(value)
    except OptionError:
        shapes = None
    if shapes is None or shapes.smallest != shapes.largest:
        raise click.BadParameter(f"{value!r} is not one size; write height x width, as in 339x510.")
    return value


def purpose(context: click.Context, parameter: click.Parameter, value: str) -> str:
    """Check what is to be upscaled: the path of an image or a folder, else a size, HxW."""
    if value and os.path.exists(value):  # noqa: PTH110  # Path.exists raises for names that are too long
        return value
    try:
        return one_size(context, parameter, value)
    except click.BadParameter:
        raise click.BadParameter(f"{value!r} is no file, no folder and no size; write height x width, as in 339x510."
                                 ) from None


def ranges_of_shapes(context: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """Check every range of shapes."""
    from srn_deploy.tiling.shapes import ShapeRange

    with wrong_usage():
        for text in value:
            ShapeRange.parse(text)
    return value


def compute_capabilities(context: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """Check every compute capability."""
    from srn_deploy.engine.options import check_compute_capabilities

    with wrong_usage():
        check_compute_capabilities(value)
    return value


def version(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Check the version of a library: numbers with dots between them."""
    from srn_deploy.serving.options import parsed_version

    with wrong_usage():
        if value is not None:
            parsed_version(value)
    return value


def server_address(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Check that the address of a server has a form that can be connected to."""
    from srn_deploy.serving.address import host_and_port

    with wrong_usage():
        if value is not None:
            host_and_port(value)
    return value


def lr_pattern(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Check that a pattern of small images can be filled in."""
    from srn_deploy.image.pairing import checked_pattern

    with wrong_usage():
        return None if value is None else checked_pattern(value)


def network_class(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Check that the class of a network has the form FILE.py:CLASS; whether it is there is no question of usage."""
    place, _, name = (value or "").rpartition(":")
    if value is not None and not (place and name.isidentifier()):
        raise click.BadParameter(f"{value!r} is not of the form FILE.py:CLASS.")
    return value


def settings(context: click.Context, parameter: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """Check that every correction has the form name=value; which names there are only the network says."""
    from srn_deploy.spec import Corrections

    with wrong_usage():
        Corrections.parse(value)
    return value


def size(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """Parse an amount of memory or disk, as in 4G, to bytes."""
    if value is None:
        return None
    from srn_deploy.system.memory import parsed_size

    with wrong_usage():
        return parsed_size(value)


def listening_host(context: click.Context, parameter: click.Parameter, value: str) -> str:
    """Check that an address to listen on can be one."""
    from srn_deploy.web.options import PageOptions

    with wrong_usage():
        return PageOptions(host=value).host


def token(context: click.Context, parameter: click.Parameter, value: str | None) -> str:
    """Check that a token is long enough, and can stand in an address; without one it is empty."""
    from srn_deploy.web.options import checked_token

    if value is None:
        return ""
    with wrong_usage():
        return checked_token(value)
