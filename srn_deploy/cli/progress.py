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
from srn_deploy.video.options import OnFrame


@dataclass(frozen=True, kw_only=True)
class Display:
    """Shows a run as it goes on."""

    on_outcome: Callable[[Outcome], None]
    on_tile: OnTile
    on_frame: OnFrame


JobsRun = Callable[[Display], Iterator[Outcome]]
"""Starts the work, which reports each tile and frame, and yields what became of each file."""

FRAMES_EVERY_S = 30.0
"""Between two lines about the frames of a video, where there is no terminal."""


def show(total: int, skipped: int, run: JobsRun, *, resume: str) -> None:
    """Consume a run and report it; exits with code 1 if an image failed, as `stopped` does after Ctrl-C.

    resume: how to continue, said after Ctrl-C and on a full disk.
    """
    began, done, failed = time.monotonic(), 0, 0
    try:
        with _display(total) as display:
            for outcome in run(display):
                failed += outcome.error is not None
                done += outcome.error is None
                display.on_outcome(outcome)
    except KeyboardInterrupt:
        raise stopped(done, total, resume) from None
    if total + skipped > 1:
        seconds = time.monotonic() - began
        click.echo(f"{done} written, {failed} failed, {skipped} skipped, in {seconds:.1f} s "
                   f"({done / max(seconds, 1e-9):.2f} files/s).", err=True)
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
        yield Display(on_outcome=lambda outcome: _print(outcome, click.echo), on_tile=no_progress,
                      on_frame=FrameLines().on_frame)
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
        frames = progress.add_task("frames", total=None, rate="", visible=False)

        def advance(outcome: Outcome) -> None:
            progress.advance(images)
            progress.update(images, rate=f"{progress.tasks[0].speed or 0.0:.2f}/s")
            _print(outcome, result)

        def on_tile(done: int, all_tiles: int) -> None:
            if done == 1:  # a new image, or its alpha: a task that has ended keeps its end
                progress.reset(tiles, total=all_tiles, visible=all_tiles > 1)
            speed = next(task.speed for task in progress.tasks if task.id == tiles)
            progress.update(tiles, completed=done, rate=f"{speed or 0.0:.2f}/s")

        def on_frame(done: int, all_frames: int) -> None:
            task = next(task for task in progress.tasks if task.id == frames)
            if task.total != all_frames or done < task.completed:  # a new video, or one that goes on
                progress.reset(frames, total=all_frames, completed=done, visible=True)
            progress.update(frames, completed=done, rate=f"{task.speed or 0.0:.2f}/s")

        yield Display(on_outcome=advance, on_tile=on_tile, on_frame=on_frame)


class FrameLines:
    """Lines about the frames of a video for those who have no terminal: done, per second, and the time that is left."""

    def __init__(self) -> None:
        self._began = self._said = time.monotonic()
        self._first = self._done = 0

    def on_frame(self, done: int, total: int) -> None:
        """Say where the work is, now and then."""
        now = time.monotonic()
        if done <= self._done or not self._first:
            self._began, self._said, self._first = now, now, done
        self._done = done
        if now - self._said < FRAMES_EVERY_S or done == self._first:
            return
        self._said = now
        rate = (done - self._first) / (now - self._began)
        say(f"{done} of {total} frames, {rate:.2f} frames/s, {lasting((total - done) / rate)} left")


def lasting(seconds: float) -> str:
    """A duration in words, as in "2 h 05 min"."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 1:
        return f"{rest} s"
    return f"{minutes // 60} h {minutes % 60:02} min" if minutes >= 60 else f"{minutes} min {rest:02} s"
