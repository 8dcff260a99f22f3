"""`srn-deploy train`: from a recipe and folders of images to a checkpoint."""

from __future__ import annotations

import math
import shlex
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import click

from srn_deploy.cli import messages, options, signals, values
from srn_deploy.cli.options import lr_pattern

if TYPE_CHECKING:
    from rich.console import Console

    from srn_deploy.training.schedule import Progress

DATA_VARIABLE = "SRN_TRAIN_DATA"

PLAIN_LINE_EVERY_S = 60.0
"""Where there is no terminal to show a bar."""


@click.command(short_help="Train a network by a recipe.")
@click.argument("recipe")
@click.option("--data", type=options.FILE, envvar=DATA_VARIABLE, multiple=True,
              help=f"Folder of HR images, searched with its subfolders; may be repeated. [default: ${DATA_VARIABLE}]")
@lr_pattern
@click.option("--out", type=options.OUTPUT_FOLDER,
              help="Folder of the run, for state, log, curve and checkpoint. [default: runs/RECIPE]")
@click.option("--resume", is_flag=True, help="Continue where the run in --out last saved.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True,
              help="Where to train; auto uses a GPU if one works, and says which device it chose.")
@click.option("--steps", type=click.IntRange(min=1), metavar="N",
              help="Length of the whole run in steps. [default: the recipe's]")
@click.option("--budget", "minutes", type=values.FINITE, metavar="MINUTES",
              help="Length of the whole run in minutes, instead of steps.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), metavar="N",
              help="Seed of the first weights and the patches. [default: the recipe's]")
@click.option("--initial", type=options.FILE,
              help="Checkpoint to start with. [default: that of the recipe RECIPE follows, next to --out]")
@click.option("--teacher", type=options.FILE,
              help="Checkpoint to learn from. [default: that of RECIPE's teacher, next to --out]")
@options.threads
def train(recipe: str, data: tuple[Path, ...], out: Path | None, **chosen: Any) -> None:
    """Train the network of RECIPE, a shipped recipe or a .toml file, and print the checkpoint's path.

    Images are found in the layouts of DIV2K, Flickr2K and LSDIR, in HR/ and LR/ folders, or in any folder. Ctrl-C
    saves the run, and --resume continues it. `srn-deploy recipes` lists the shipped recipes.
    """
    from srn_deploy.training import RunOptions
    from srn_deploy.training import train as train_recipe

    if chosen["steps"] and chosen["minutes"]:
        raise click.UsageError("--steps and --budget both say how long to train; give one of them.")
    folders, target = _required(data), out or Path("runs") / Path(recipe).stem
    try:
        with _display(recipe) as display:
            checkpoint = train_recipe(recipe, folders, target, RunOptions(**chosen), report=display.report)
    except KeyboardInterrupt as interrupt:
        given = click.get_current_context().params | {"data": folders, "out": target}
        messages.say(_stopped(str(interrupt), given))
        raise signals.interrupted() from interrupt
    click.echo(checkpoint)


def _required(data: tuple[Path, ...]) -> tuple[Path, ...]:
    if not data:
        raise click.UsageError(
            f"There are no images to train with. Give a folder with --data or ${DATA_VARIABLE}: any folder of sharp "
            "photographs. The paper's are DIV2K (data.vision.ee.ethz.ch/cvl/DIV2K), Flickr2K (linked by the EDSR "
            "authors' code) and LSDIR (its authors' page), all for academic use.")
    return data


def _stopped(message: str, params: dict[str, object]) -> str:
    """What to say after Ctrl-C, with the command that continues the run."""
    words = ["srn-deploy", "train", str(params["recipe"])]
    for name in ("data", "lr_pattern", "out", "device", "steps", "minutes", "seed", "initial", "teacher", "threads"):
        given = params[name]
        for value in given if isinstance(given, tuple) else () if given is None else (given,):
            words += ["--budget" if name == "minutes" else f"--{name.replace('_', '-')}", str(value)]
    message = message or "Stopped at once; what was saved before is kept."
    return f"{message}\nContinue with: {shlex.join([*words, '--resume'])}"


class _Display(Protocol):
    """Shows the progress of a run on stderr."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *exception: object) -> None: ...
    def report(self, progress: Progress) -> None:
        """Show how far the run has come."""


def _display(title: str) -> _Display:
    """A progress bar on a terminal, plain lines elsewhere."""
    from rich.console import Console

    console = Console(stderr=True)
    return _BarDisplay(title, console) if console.is_terminal else _LineDisplay()


class _LineDisplay:
    """Prints a line at every validation, and once a minute."""

    def __init__(self) -> None:
        self._shown_s = 0.0
        self._psnr_y_db = math.nan

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def report(self, progress: Progress) -> None:
        if progress.psnr_y_db != self._psnr_y_db or progress.elapsed_s - self._shown_s >= PLAIN_LINE_EVERY_S:
            self._shown_s, self._psnr_y_db = progress.elapsed_s, progress.psnr_y_db
            click.echo(f"{progress.share:4.0%}  {_in_words(progress)}", err=True)


class _BarDisplay:
    """A progress bar below the messages of the run."""

    def __init__(self, title: str, console: Console) -> None:
        from rich.progress import BarColumn, TaskProgressColumn, TextColumn
        from rich.progress import Progress as Bar

        self._bar = Bar(TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(),
                        TextColumn("{task.fields[status]}"), console=console)
        self._task = self._bar.add_task(title, total=1.0, status="reading images")
        self._live = ExitStack()

    def __enter__(self) -> Self:
        self._live.enter_context(self._bar)
        self._live.enter_context(messages.above(self._bar.console))
        return self

    def __exit__(self, *exception: object) -> None:
        self._live.close()

    def report(self, progress: Progress) -> None:
        self._bar.update(self._task, completed=progress.share, status=_in_words(progress))


def _in_words(progress: Progress) -> str:
    """Step, loss, PSNR and remaining time."""
    left = "?" if math.isnan(progress.remaining_s) else str(timedelta(seconds=round(progress.remaining_s)))
    return f"step {progress.step}  loss {progress.loss:.4f}  {progress.psnr_y_db:.2f} dB  {left} left"
