"""What a run over images shows: a bar on a terminal, plain lines elsewhere, a summary at the end."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import click

from srn_deploy.cli.messages import above, say
from srn_deploy.cli.run_report import Counts, bottleneck_sentence, run_as_json
from srn_deploy.cli.signals import interrupted
from srn_deploy.errors import ModelNotServed, NoServer
from srn_deploy.inference.file_options import FileOptions
from srn_deploy.inference.jobs import OnTimes, Outcome
from srn_deploy.inference.plan import Job
from srn_deploy.inference.stage_times import StageTimes
from srn_deploy.inference.upscale import OnTile, no_progress
from srn_deploy.system.durations import duration_in_words
from srn_deploy.video.options import OnFrame

SHOWN_MISSING = 5
"""Names of images that were not started."""

FRAMES_EVERY_S = 30.0
"""Between two lines about the frames of a video, where there is no terminal."""


@dataclass(frozen=True, kw_only=True)
class Display:
    """Shows a run as it goes on."""

    on_outcome: Callable[[Outcome], None]
    on_tile: OnTile
    on_frame: OnFrame


@dataclass(frozen=True, kw_only=True)
class UpscaleRun:
    """What is to be done."""

    start: Callable[[Display, OnTimes], Iterator[Outcome]]
    """Starts the work, which reports each tile and frame, and yields what became of each file."""
    is_here: bool
    """The network runs in this process."""
    jobs: Sequence[Job]
    files: FileOptions
    skipped: int
    """Files whose output exists."""
    resume: str
    """How to continue, said after Ctrl-C and on a full disk."""


def show(run: UpscaleRun, *, as_json: bool = False) -> None:
    """Consume a run and report it; exits with code 1 if an image failed, as `stopped` does after Ctrl-C."""
    began, times, outcomes = time.monotonic(), list[StageTimes](), list[Outcome]()
    counts = Counts()
    try:
        with _display(len(run.jobs), shows_results=not as_json) as display:
            for outcome in run.start(display, times.append):
                counts.add(outcome)
                display.on_outcome(outcome)
                outcomes.append(outcome)
    except KeyboardInterrupt:
        raise stopped(counts.written, len(run.jobs), run.resume) from None
    finally:
        if as_json:
            click.echo(json.dumps(run_as_json(outcomes, StageTimes.total(times)), indent=2))
    _summarise(run, counts, time.monotonic() - began)
    if counts.all < len(run.jobs):
        click.echo(_not_started(run, outcomes), err=True)
    if counts.written > 1 and run.is_here and (sentence := bottleneck_sentence(
            StageTimes.total(times), run.jobs, run.files)):
        click.echo(sentence, err=True)
    if counts.failed:
        raise click.exceptions.Exit(1)


def _summarise(run: UpscaleRun, counts: Counts, seconds: float) -> None:
    total = len(run.jobs)
    if total + run.skipped > 1:
        click.echo(f"{counts.written} written, {counts.failed} failed, {run.skipped + counts.finished} skipped, in "
                   f"{seconds:.1f} s ({counts.written / max(seconds, 1e-9):.2f} files/s).", err=True)
    if counts.elsewhere:
        click.echo(f"{counts.elsewhere} left to other runs that are at work: give the same command again to see them "
                   "finished.", err=True)


def _not_started(run: UpscaleRun, outcomes: Sequence[Outcome]) -> str:
    """What is missing after a run that ended early, and how to go on."""
    why, cure = "the disk is full", "Free space"
    if any(isinstance(outcome.error, NoServer | ModelNotServed) for outcome in outcomes):
        why, cure = "the server was lost", "Start it again"
    begun = {outcome.job for outcome in outcomes}
    left = [job for job in run.jobs if job not in begun]
    named = ", ".join(str(job.source) for job in left[:SHOWN_MISSING])
    more = f" and {len(left) - SHOWN_MISSING} more" if len(left) > SHOWN_MISSING else ""
    return f"{len(left)} were not started, because {why}: {named}{more}. {cure}, then: {run.resume}"


def stopped(done: int, total: int, resume: str) -> click.exceptions.Exit:
    """Say how far the work came after Ctrl-C or SIGTERM, and how to continue; returns the exit to raise."""
    say(f"Stopped after {done} of {total}; every file that exists is complete. {resume}")
    return interrupted()


def _print(outcome: Outcome, result: Callable[[str], None]) -> None:
    """The written file as a result; an error with its remedy on stderr. Warnings were logged before."""
    if outcome.elsewhere is not None:
        return
    if outcome.error is None:
        result(str(outcome.job.target))
        return
    named = "" if str(outcome.job.source) in outcome.error.message else f"{outcome.job.source}: "
    say(f"Error: {named}{outcome.error.message}")
    say(outcome.error.remedy)


def _nothing(result: str) -> None:
    """Shows no result: all come at the end."""


@contextmanager
def _display(total: int, *, shows_results: bool) -> Iterator[Display]:
    """A bar on a terminal, otherwise lines only."""
    if sys.stderr is None or not sys.stderr.isatty():  # None: a daemon that closed it
        result = click.echo if shows_results else _nothing
        yield Display(on_outcome=lambda outcome: _print(outcome, result), on_tile=no_progress,
                      on_frame=FrameLines().on_frame)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
               TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress, above(console) as print_above:
        # Where both streams are the terminal, a line on stdout would tear the bar.
        above_bar = print_above if sys.stdout and sys.stdout.isatty() else click.echo
        show_result = above_bar if shows_results else _nothing
        images = progress.add_task("images", total=total, rate="", visible=total > 1)
        tiles = progress.add_task("tiles", total=None, rate="", visible=False)
        frames = progress.add_task("frames", total=None, rate="", visible=False)

        def advance(outcome: Outcome) -> None:
            progress.advance(images)
            progress.update(images, rate=f"{progress.tasks[0].speed or 0.0:.2f}/s")
            _print(outcome, show_result)

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
        say(f"{done} of {total} frames, {rate:.2f} frames/s, {duration_in_words((total - done) / rate)} left.")
