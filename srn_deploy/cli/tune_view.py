"""How tuning looks: its table as it goes, on stderr, and the ways in their order at the end, on stdout."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from srn_deploy.cli import bench_view, messages

if TYPE_CHECKING:
    from rich.table import Table as Drawn

    from srn_deploy.benchmark.tuning import OnRows, WayRow
    from srn_deploy.tuning.choice import Tuned

HEAD = ("way", "settings", "s per megapixel", "times as fast as the last")


@contextmanager
def progress() -> Iterator[OnRows]:
    """A table that changes on a terminal, else a line on stderr when a stage begins."""
    if sys.stderr is None or not sys.stderr.isatty():  # None: a daemon that closed it
        said: set[str] = set()

        def on_rows(stage: str, rows: Sequence[WayRow]) -> None:
            if stage not in said:
                said.add(stage)
                messages.say(f"Measuring: {stage} ({len(rows)} candidates)")

        yield on_rows
        return
    from rich.console import Console
    from rich.live import Live

    console = Console(stderr=True)
    with Live(console=console, transient=True) as live, messages.above(console):
        yield lambda stage, rows: live.update(_table(stage, rows))


def _table(stage: str, rows: Sequence[WayRow]) -> Drawn:
    from rich.table import Table as Drawn
    from rich.text import Text

    drawn = Drawn(title=Text(f"Measuring: {stage}"), title_justify="left")
    for name in ("way", "settings", "s per megapixel", "rounds"):
        drawn.add_column(Text(name), justify="right" if name in ("s per megapixel", "rounds") else "left")
    for row in rows:
        speed = "" if row.seconds_per_megapixel is None else f"{row.seconds_per_megapixel:.2f}"
        drawn.add_row(Text(row.title), Text(row.settings), Text(speed), Text(str(row.rounds)))
    return drawn


def show(tuned: Tuned, *, drawn: bool) -> None:
    """The ways, the fastest first, as a table for a terminal or as Markdown."""
    from srn_deploy.benchmark.tables import markdown_table

    slowest = tuned.ways[-1].seconds_per_megapixel
    rows = [(one.title, one.way.settings() or "defaults", f"{one.seconds_per_megapixel:.2f}",
             f"{slowest / one.seconds_per_megapixel:.2f}") for one in tuned.ways]
    heading = f"{tuned.model} on {tuned.images}: {tuned.ways[0].title} is the fastest"
    if drawn:
        bench_view.draw([f"# {heading}"], {"": [HEAD, *rows]})
    else:
        click.echo(f"# {heading}\n\n{markdown_table([HEAD, *rows])}")
