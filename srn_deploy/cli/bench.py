"""`srn-deploy bench`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from srn_deploy.cli import options

if TYPE_CHECKING:
    from srn_deploy.benchmark.paper_protocol import OnPass
    from srn_deploy.benchmark.records import Record


@click.command(short_help="Measure time: models in steady state, or the paper's tables.")
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--paper", is_flag=True, help="The paper's protocol and tables, its peers included.")
@click.option("--images", type=options.FILE, metavar="DIR",
              help="--paper: inputs at x4.  [default: synthetic, of the sizes of DIV2K's test inputs]")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="--paper: only the first N inputs.")
@click.option("--quality", type=options.FILE, multiple=True, metavar="RECORD",
              help="--paper: a record of `srn-deploy eval --json`, to stand in the tables; may be repeated.")
@click.option("--plot", type=options.FILE, metavar="FILE", help="--paper: draw Figure 1 as .png or .svg.")
@click.option("--size", default="339x510", show_default=True, metavar="HxW", help="Input in steady state.")
@click.option("--batch", "batches", type=click.IntRange(min=1), multiple=True, default=(1,), show_default=True,
              help="Batch in steady state; may be repeated.")
@click.option("--rounds", type=click.IntRange(min=1), default=15, show_default=True,
              help="How often all contestants run in turn.")
@options.device
@click.option("--save", type=options.FILE, metavar="FILE", help="Keep the record, for `srn-deploy compare`.")
@click.option("--csv", "csv_file", type=options.FILE, metavar="FILE", help="Write the tables as CSV.")
@click.option("--markdown", type=options.FILE, metavar="FILE", help="Write the page to a file instead of printing it.")
@options.as_json
def bench(models: tuple[str, ...], paper: bool, images: Path | None, limit: int | None, quality: tuple[Path, ...],
          plot: Path | None, size: str, batches: tuple[int, ...], rounds: int, device: str, save: Path | None,
          csv_file: Path | None, markdown: Path | None, as_json: bool) -> None:
    """Measure MODELs (default: the default model) in every way this machine has, warmed up and in turn.

    With --paper: Tables 1 to 5 of the paper, each network timed by its protocol, ours beside the paper's figures.
    """
    if paper and models:
        raise click.UsageError("--paper runs the networks of its tables; leave MODEL away.")
    if not paper and (images or limit or quality or plot):
        raise click.UsageError("--images, --limit, --quality and --plot belong to --paper.")
    if paper:
        options.need_torch("Running the paper's tables")
        options.need_plots(plot is not None)
    for target in (save, csv_file, markdown, plot):
        if target is not None and not target.absolute().parent.is_dir():
            raise click.UsageError(f"The folder of {target} does not exist.")
    chosen = _chosen_device(device)
    record, page, tables = _paper(chosen, images, limit, quality, plot, save) if paper else \
        _steady(models, chosen, size, batches, rounds)
    if save is not None and not paper:
        record.save(save)
    if csv_file is not None:
        options.write_text(csv_file, options.as_csv(_csv_rows(tables)))
    if markdown is not None:
        options.write_text(markdown, page)
    if as_json:
        click.echo(json.dumps(record.as_json(), indent=2))
    elif markdown is None:
        click.echo(page, nl=False)


Tables = dict[str, list[tuple[str, ...]]]


def _chosen_device(device: str) -> str:
    from srn_deploy.system.cuda_driver import why_no_gpu

    if device != "auto":
        return device
    reason = why_no_gpu()
    click.echo(f"On the {'CPU (' + reason + ')' if reason else 'GPU'}.", err=True)
    return "cpu" if reason else "cuda"


def _paper(device: str, images: Path | None, limit: int | None, quality: tuple[Path, ...],
           plot: Path | None, save: Path | None) -> tuple[Record, str, Tables]:
    from srn_deploy.benchmark import paper_page
    from srn_deploy.benchmark.inputs import open_inputs
    from srn_deploy.benchmark.paper_protocol import run_paper
    from srn_deploy.benchmark.records import Record

    evaluations = [Record.load(path) for path in quality]
    paper_page.check_evaluations(evaluations)
    if plot is not None:
        from srn_deploy.benchmark.figure import check_plot, draw_figure_1

        check_plot(plot)
    with _bar() as on_pass:
        record = run_paper(open_inputs(images, limit), device, on_pass=on_pass)
    if save is not None:  # first of all: nothing after this costs the run
        record.save(save)
    if plot is not None:
        draw_figure_1(record, plot)
    return record, paper_page.page(record, evaluations), paper_page.tables(record, evaluations)


def _steady(models: tuple[str, ...], device: str, size: str, batches: tuple[int, ...],
            rounds: int) -> tuple[Record, str, Tables]:
    from srn_deploy.benchmark import steady_page
    from srn_deploy.benchmark.steady_state import Plan, run_steady
    from srn_deploy.tiling.shapes import ShapeRange

    plan = Plan(size=ShapeRange.parse(size).largest, batches=batches, rounds=rounds, device=device)
    record = run_steady(models or (None,), plan, tell=lambda line: click.echo(line, err=True))
    return record, steady_page.page(record), {"steady state": steady_page.table(record)}


@contextmanager
def _bar() -> Iterator[OnPass]:
    """Passes done, on a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("passes"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _csv_rows(tables: Tables) -> Iterator[tuple[str, ...]]:
    """The rows of every table behind its head."""
    for title, rows in tables.items():
        yield ("table", *rows[0])
        yield from ((title, *row) for row in rows[1:])
