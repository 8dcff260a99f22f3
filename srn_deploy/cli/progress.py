"""How a run over pictures looks: a bar on a terminal, plain lines elsewhere, a summary at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import click

from srn_deploy.cli.options import INTERRUPTED
from srn_deploy.inference.jobs import Job, OnWarning, Outcome
from srn_deploy.inference.upscale import OnTile

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Listeners:
    """Whom a run tells what; none of them tears the bar."""

    on_outcome: Callable[[Outcome], None]
    on_tile: OnTile
    on_warning: OnWarning
    tell: Say
    """A sentence on what runs, without its full stop."""


Run = Callable[[Listeners], Iterator[Outcome]]


def show(total: int, skipped: int, run: Run, *, go_on: str) -> None:
    """Consume a run and report it; exits with code 1 if a picture failed, 130 after Ctrl-C.

    go_on: what to say of going on after Ctrl-C.
    """
    began, done, failed = time.monotonic(), 0, 0
    try:
        with _bar(total) as listeners:
            for outcome in run(listeners):
                failed += outcome.error is not None
                done += outcome.error is None
                listeners.on_outcome(outcome)
    except KeyboardInterrupt:
        click.echo(f"Stopped after {done} of {total}; every file that is there is whole. {go_on}", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None
    if total + skipped > 1:
        seconds = time.monotonic() - began
        click.echo(f"{done} written, {failed} failed, {skipped} there already, in {seconds:.1f} s "
                   f"({done / max(seconds, 1e-9):.2f} pictures/s).", err=True)
    if done + failed < total:
        click.echo(f"{total - done - failed} were not begun, because the disk takes no more. Free space, then: "
                   f"{go_on}", err=True)
    if failed:
        raise click.exceptions.Exit(1)


def _tell(outcome: Outcome, result: Say, remark: Say) -> None:
    """The written file as a result; a failure with its remedy as remarks. Losses were told before the work."""
    if outcome.error is not None:
        named = "" if str(outcome.job.source) in outcome.error.message else f"{outcome.job.source}: "
        remark(f"Error: {named}{outcome.error.message}")
        remark(outcome.error.remedy)
        return
    for damage in outcome.damage:
        remark(f"Warning: {outcome.job.source}: {damage}")
    result(str(outcome.job.target))


def _warning(remark: Say) -> OnWarning:
    """Says a sentence on a picture, and on which where it does not say so itself."""
    def warn(job: Job, sentence: str) -> None:
        named = "" if str(job.source) in sentence else f"{job.source}: "
        remark(f"Warning: {named}{sentence}")
    return warn


def _to_stderr(line: str) -> None:
    click.echo(line, err=True)


@contextmanager
def _bar(total: int) -> Iterator[Listeners]:
    """A bar on a terminal, else lines alone."""
    if sys.stderr is None or not sys.stderr.isatty():  # None: a daemon that closed it
        yield Listeners(on_outcome=lambda outcome: _tell(outcome, click.echo, _to_stderr),
                        on_tile=lambda done, all_tiles: None, on_warning=_warning(_to_stderr),
                        tell=lambda line: _to_stderr(f"{line}."))
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TextColumn("{task.fields[rate]}"), TimeRemainingColumn())

    def above(line: str) -> None:
        """A line above the bar; a path is no markup."""
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    # Where both streams are the terminal, a line on stdout would tear the bar.
    result = above if sys.stdout and sys.stdout.isatty() else click.echo
    with Progress(*columns, console=console, transient=True) as progress:
        pictures = progress.add_task("pictures", total=total, rate="", visible=total > 1)
        tiles = progress.add_task("tiles", total=None, rate="", visible=False)

        def advance(outcome: Outcome) -> None:
            progress.advance(pictures)
            progress.update(pictures, rate=f"{progress.tasks[0].speed or 0.0:.2f}/s")
            _tell(outcome, result, above)

        def on_tile(done: int, all_tiles: int) -> None:
            if done == 1:  # a new picture, or its alpha: a task that has ended keeps its end
                progress.reset(tiles, total=all_tiles, visible=all_tiles > 1)
            speed = next(task.speed for task in progress.tasks if task.id == tiles)
            progress.update(tiles, completed=done, rate=f"{speed or 0.0:.2f}/s")

        yield Listeners(on_outcome=advance, on_tile=on_tile, on_warning=_warning(above),
                        tell=lambda line: above(f"{line}."))
