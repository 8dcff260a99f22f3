"""How a benchmark looks on a terminal: its progress on stderr, its tables on stdout."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from srn_deploy.cli import messages

if TYPE_CHECKING:
    from srn_deploy.benchmark.steady_state import Step
    from srn_deploy.benchmark.tables import Table

SECONDS_BETWEEN_LINES = 5.0
"""Where there is no bar; the first line of each stage is always written."""

Show = Callable[[str, int, int | None], None]
"""Called with what is being done, how many steps of it are done, and of how many where that is known."""


@contextmanager
def progress() -> Iterator[Show]:
    """A bar on a terminal, else lines on stderr."""
    if sys.stderr is None or not sys.stderr.isatty():  # None: a daemon that closed it
        yield _Lines().show
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar, messages.above(console):
        task = bar.add_task("starting", total=None)
        yield lambda what, done, total: bar.update(task, description=what, completed=done, total=total)


@dataclass
class _Lines:
    """Progress as lines of text."""

    stages: set[str] = field(default_factory=set)
    written_s: float = 0.0

    def show(self, what: str, done: int, total: int | None) -> None:
        """Write a line for the first step of each stage, and from time to time after that."""
        now, stage = time.monotonic(), what.partition(":")[0]
        if done == total or (stage in self.stages and now - self.written_s < SECONDS_BETWEEN_LINES):
            return
        self.stages.add(stage)
        self.written_s = now
        messages.say(f"{what} ({done + 1}{'' if total is None else f' of {total}'})")


def of_step(step: Step) -> str:
    """What a steady-state benchmark is doing."""
    return f"{step.stage.capitalize()}: {step.what}" if step.what else f"{step.stage.capitalize()}: rounds"


def draw(preface: Sequence[str], tables: Mapping[str, Table]) -> None:
    """Draw paragraphs, the first of which is a heading, and tables for a terminal on stdout."""
    from rich.console import Console
    from rich.table import Table as Drawn
    from rich.text import Text

    console = Console()
    heading, *paragraphs = preface
    console.print(Text(heading.lstrip("# "), style="bold"))
    for paragraph in paragraphs:
        console.print(Text(paragraph.replace("\n", " ")))
    for title, (head, *rows) in tables.items():
        drawn = Drawn(title=Text(title), title_justify="left")
        for number, name in enumerate(head):
            drawn.add_column(Text(name), justify="left" if number == 0 else "right", overflow="fold")
        for row in rows:
            drawn.add_row(*map(Text, row))
        console.print(drawn)
