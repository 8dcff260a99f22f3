"""`srn-deploy models`."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from srn_deploy.cli import messages, options, signals

if TYPE_CHECKING:
    from srn_deploy.registry.published import PublishedModel
    from srn_deploy.registry.pull import OnModel


@click.group(invoke_without_command=True, short_help="List the models, or pull published ones.")
@options.as_json
@click.pass_context
def models(context: click.Context, as_json: bool) -> None:
    """List the models that are shipped or can be pulled, or pull some. Without a command it lists."""
    if context.invoked_subcommand is None:
        context.invoke(list_models, as_json=as_json)
    elif as_json:
        raise click.UsageError("--json belongs to list: srn-deploy models list --json.")


@models.command("list", short_help="List the models that are shipped or can be pulled.")
@options.as_json
def list_models(as_json: bool) -> None:
    """List the shipped models, the default one marked, then those that can be pulled and whether they are here."""
    from srn_deploy.registry.published import published_models, state_of
    from srn_deploy.registry.shipped import default_model, shipped_models

    default = default_model()
    states = [(model, state_of(model).value) for model in published_models().values()]
    if as_json:
        published = [{**asdict(model), "state": state, "file": str(model.path)} for model, state in states]
        click.echo(json.dumps({"default": default, "models": [asdict(m) for m in shipped_models().values()],
                               "published": published}, indent=2))
        return
    for model in shipped_models().values():
        mark = "*" if model.name == default else " "
        _show(f"{mark} {model.name}  x{model.scale}  {model.title}  ({model.licence})")
    click.echo("Fetch these with `srn-deploy models pull NAME`, then use them by name:", err=True)
    for one, state in states:
        _show(f"  {one.name}  x{one.scale}  {one.title}  ({_licence(one)})  {_place(one, state)}")


def _show(line: str) -> None:
    """Print a line; on a terminal that is narrower, what follows stands below its name."""
    if sys.stdout.isatty():
        columns = shutil.get_terminal_size().columns
        line = textwrap.fill(line, columns, subsequent_indent=" " * 4, break_long_words=False, break_on_hyphens=False)
    click.echo(line)


@models.command(short_help="Fetch published models and check them.")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
def pull(names: tuple[str, ...]) -> None:
    """Fetch published models over https, check them, and print their paths.

    Interrupted downloads are resumed; what is here already is not fetched again. No other command fetches anything.
    """
    from srn_deploy.registry.pull import pull as pull_models

    paths = []
    try:
        with _progress() as on_model:
            for one in pull_models(names, on_model=on_model):
                paths.append(one.path)  # noqa: PERF401  # extend would lose those before an error
    except KeyboardInterrupt:
        messages.say("Stopped; what was received is kept, and the same command continues from there.")
        raise signals.interrupted() from None
    finally:  # after the bar, which it would break up; also the models before a failure
        for path in paths:
            click.echo(str(path))


def _licence(model: PublishedModel) -> str:
    return "no licence stated" if model.licence == "none stated" else model.licence


def _place(model: PublishedModel, state: str) -> str:
    """Its path, or the size of the download."""
    if state == "absent":
        return f"{model.size_bytes / 1e6:.1f} MB"
    return str(model.path) if state == "pulled" else f"{model.path} is damaged: pull it again"


@contextmanager
def _progress() -> Iterator[OnModel]:
    """What to call for each model: it announces the model, and on a terminal shows a bar below all messages."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with (Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar,
          messages.above(console) as show):
        def on_model(model: PublishedModel) -> Callable[[int], None]:
            about = f"{model.name}: {model.title}, x{model.scale} ({_licence(model)}). {model.note}".rstrip(". ")
            show(f"{about}.")
            show(f"{model.size_bytes / 1e6:.1f} MB from {model.url}.")
            task = bar.add_task(model.name, total=model.size_bytes)
            return lambda done: bar.update(task, completed=done)

        yield on_model
