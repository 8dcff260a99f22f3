"""What a run over images shows: a bar on a terminal, plain lines elsewhere, a summary at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import click

from srn_deploy.cli.messages import above, say
from srn_deploy.cli.signals import interrupted
from srn_deploy.inference.jobs import Outcome
from srn_deploy.inference.upscale import OnTile, no_progress

JobsRun = Callable[[OnTile], Iterator[Outcome]]
"""Starts the work, which reports each tile, and yields what became of each image."""


@dataclass(frozen=True, kw_only=True)
class Display:
    """Shows a run as it goes on."""

    on_outcome: Callable[[Outcome], None]
    on_tile: OnTile


def show(total: int, skipped: int, run: JobsRun, *, resume: str) -> None:
    """Consume a run and report it; exits with code 1 if an image failed, as `stopped` does after Ctrl-C.

    resume: how to continue, said after Ctrl-C and on a full disk.
    """
    began, done, failed = time.monotonic(), 0, 0
    try:
        with _display(total) as display:
            for outcome in run(display.on_tile):
                failed += outcome.error is not None
                done += outcome.error is None
                display.on_outcome(outcome)
    except KeyboardInterrupt:
        raise stopped(done, total, resume) from None
    if total + skipped > 1:
        seconds = time.monotonic() - began
        click.echo(f"{done} written, {failed} failed, {skipped} skipped, in {seconds:.1f} s "
                   f"({done / max(seconds, 1e-9):.2f} images/s).", err=True)
    if done + failed < total:
        click.echo(f"{total - done - failed} were not started, because the disk is full. Free space, then: {resume}",
                   err=True)
    if failed:
        raise click.exceptions.Exit(1)


def stopped(done: int, total: int, resume: str) -> click.exceptions.Exit:
    """Say how far the work came after Ctrl-C or SIGTERM, and how to continue; returns the exit to raise."""
    say(f"Stopped after {done} of {total}; every file that exists is complete. {resume}")
    return interrupted()


def _print(outcome: Outcome, result: Callable[[str], None]) -> None:
    """The written file as a result; an error with its remedy on stderr. Warnings were logged before."""
    if outcome.error is None:
        result(str(outcome.job.target))
        return
    named = "" if str(outcome.job.source) in outcome.error.message else f"{outcome.job.source}: "
    say(f"Error: {named}{outcome.error.message}")
    say(outcome.error.remedy)


@contextmanager
def _display(total: int) -> Iterator[Display]:
    """A bar on a terminal, otherwise lines only."""
    if sys.stderr is None or not sys.stderr.isatty():  # None: a daemon that closed it
        yield Display(on_outcome=lambda outcome: _print(outcome, click.echo), on_tile=no_progress)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress, above(console) as print_above:
        # Where both streams are the terminal, a line on stdout would tear the bar.
        result = print_above if sys.stdout and sys.stdout.isatty() else click.echo
        images = progress.add_task("images", total=total, rate="", visible=total > 1)
        tiles = progress.add_task("tiles", total=None, rate="", visible=False)

        def advance(outcome: Outcome) -> None:
            progress.advance(images)
            progress.update(images, rate=f"{progress.tasks[0].speed or 0.0:.2f}/s")
            _print(outcome, result)

        def on_tile(done: int, all_tiles: int) -> None:
            if done == 1:  # a new image, or its alpha: a task that has ended keeps its end
                progress.reset(tiles, total=all_tiles, visible=all_tiles > 1)
            speed = next(task.speed for task in progress.tasks if task.id == tiles)
            progress.update(tiles, completed=done, rate=f"{speed or 0.0:.2f}/s")

        yield Display(on_outcome=advance, on_tile=on_tile)
