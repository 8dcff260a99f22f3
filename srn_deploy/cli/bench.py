"""`srn-deploy bench`."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from srn_deploy.cli import bench_view, messages, options, signals, values

if TYPE_CHECKING:
    from srn_deploy.benchmark.records import Record
    from srn_deploy.benchmark.tables import Table
    from srn_deploy.registry.resolve import Model

_log = logging.getLogger(__name__)


DEFAULT_SIZE = "339x510"
DEFAULT_BATCHES = (1,)
"""Of the input in steady state."""


@click.command(short_help="Measure time: models in steady state, or the paper's tables.")
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--paper", is_flag=True, help="The paper's protocol and tables, its peers included.")
@click.option("--peers", is_flag=True,
              help="--paper: also EFDN, FMEN, BSRN, SPAN, SPANV2, SRVGGNetCompact and RRDBNet, which is slow on a CPU.")
@click.option("--images", type=options.FILE, metavar="DIR",
              help="--paper: inputs at x4.  [default: synthetic, of the sizes of DIV2K's test inputs]")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="--paper: only the first N inputs.")
@click.option("--quality", type=options.FILE, multiple=True, metavar="RECORD",
              help="--paper: a record of `srn-deploy eval --json`, to stand in the tables; may be repeated.")
@click.option("--plot", type=options.OUTPUT, metavar="FILE", callback=values.with_suffix(".png", ".svg"),
              help="--paper: draw Figure 1 as .png or .svg.")
@click.option("--size", callback=values.one_size, default=DEFAULT_SIZE, show_default=True, metavar="HxW",
              help="Input in steady state.")
@click.option("--batch", "batches", type=click.IntRange(min=1), multiple=True, default=DEFAULT_BATCHES,
              show_default=True, help="Batch in steady state; may be repeated.")
@click.option("--budget", type=values.FINITE, metavar="SECONDS",
              help="Time for everything in steady state; at least 5 rounds are run, however long they take.  "
                   "[default: 60]")
@click.option("--rounds", type=click.IntRange(min=1), metavar="N",
              help="Run all candidates N times in turn, however long that takes.  [default: what the budget allows]")
@click.option("--all", "every_way", is_flag=True,
              help="On a CPU, also time FP16 and portable graphs, which it computes in FP32, from host to host, and "
                   "PyTorch channels first and by torch.compile, which compiles for half a minute.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda", "openvino"]), default="auto", show_default=True,
              help="Where to measure; auto takes a GPU that works, else the CPU, OpenVINO included where it is "
                   "installed. openvino measures that alone.")
@click.option("--precision", type=click.Choice(["auto", "fp32", "bf16"]), default="auto", show_default=True,
              help="Measure only what computes in it; auto: everything.")
@options.weights
@click.option("--save", type=options.OUTPUT, metavar="FILE", help="Keep the record, for `srn-deploy compare`.")
@click.option("--csv", "csv_file", type=options.OUTPUT, metavar="FILE", help="Write the tables as CSV.")
@click.option("--markdown", type=options.OUTPUT, metavar="FILE",
              help="Write the page to a file instead of printing it; - prints Markdown on a terminal too.")
@options.as_json
def bench(models: tuple[str, ...], paper: bool, peers: bool, images: Path | None, limit: int | None,
          quality: tuple[Path, ...], plot: Path | None, size: str, batches: tuple[int, ...], budget: float | None,
          rounds: int | None, every_way: bool, device: str, precision: str, weights: str | None, save: Path | None,
          csv_file: Path | None, markdown: Path | None, as_json: bool) -> None:
    """Measure MODELs (default: the default model) in every way this machine has, warmed up and in turn.

    Tables are drawn on a terminal and printed as Markdown elsewhere. Ctrl-C keeps what was measured, if it is enough.

    With --paper: Tables 1 to 5 of the paper, each network timed by its protocol, next to the paper's figures.
    """
    if paper and models:
        raise click.UsageError("--paper runs the networks of its tables; leave MODEL out.")
    if not paper and (peers or images or limit or quality or plot):
        raise click.UsageError("--peers, --images, --limit, --quality and --plot belong to --paper.")
    if paper and (weights or budget or rounds or every_way or size != DEFAULT_SIZE or batches != DEFAULT_BATCHES):
        raise click.UsageError("--size, --batch, --budget, --rounds, --weights and --all do not belong to --paper.")
    if paper and (device == "openvino" or precision != "auto"):
        raise click.UsageError("--paper runs PyTorch in FP32: --device openvino and --precision do not belong to it.")
    if budget and rounds:
        raise click.UsageError("--budget and --rounds both say how long to measure; give one of them.")
    if paper:
        options.need_torch("Running the paper's tables")
        options.need_plots(plot is not None)
    chosen = _chosen_device(device)
    try:
        if paper:
            report = _paper(chosen, peers, images, limit, quality, plot, save)
        else:
            report = _steady(_resolved(models, weights), chosen, precision, size, batches, budget, rounds, every_way,
                             save)
    except KeyboardInterrupt:
        messages.say("Interrupted before enough was measured; nothing is kept.")
        raise signals.interrupted() from None
    if csv_file is not None:
        options.write_text(csv_file, options.as_csv(_csv_rows(report.tables)))
    _print(report, markdown, as_json)
    if report.interrupted:
        messages.say("Interrupted; what was measured until then is kept.")
        raise signals.interrupted()


@dataclass(frozen=True, kw_only=True)
class _Report:
    """What is shown and kept."""

    record: Record
    page: str
    preface: list[str]
    tables: dict[str, Table]
    interrupted: bool


def _chosen_device(device: str) -> str:
    from srn_deploy.system.cuda_driver import why_no_gpu

    if device != "auto":
        return device
    reason = why_no_gpu()
    _log.info("On the %s", f"CPU ({reason})" if reason else "GPU")
    return "cpu" if reason else "cuda"


def _paper(device: str, peers: bool, images: Path | None, limit: int | None, quality: tuple[Path, ...],
           plot: Path | None, save: Path | None) -> _Report:
    from srn_deploy.benchmark import paper_page
    from srn_deploy.benchmark.inputs import open_inputs
    from srn_deploy.benchmark.paper_protocol import run_paper
    from srn_deploy.benchmark.records import Record
    from srn_deploy.benchmark.results import PaperResults

    evaluations = [Record.load(path) for path in quality]
    paper_page.read_evaluations(evaluations)
    if plot is not None:
        from srn_deploy.benchmark.figure import check_plot, draw_figure_1

        check_plot(plot)
    with bench_view.progress() as show:
        record = run_paper(open_inputs(images, limit), device, peers=peers,
                           on_pass=lambda done, total: show("Measuring: passes", done, total))
    if save is not None:  # before all else: what fails after this does not cost the run
        record.save(save)
    if plot is not None:
        draw_figure_1(record, plot)
    return _Report(record=record, page=paper_page.page(record, evaluations), preface=paper_page.preface(record),
                   tables=paper_page.tables(record, evaluations),
                   interrupted=record.results_as(PaperResults).interrupted)


def _resolved(models: tuple[str, ...], weights: str | None) -> Sequence[Model]:
    """The models with the choice of their weights; without one, as they are named."""
    if weights is None:
        return models or (None,)
    from srn_deploy.registry.resolve import ModelKind, resolve
    from srn_deploy.spec import Corrections

    return [resolve(model, Corrections(weights=weights), wanted=ModelKind.CHECKPOINT) for model in models or (None,)]


def _steady(models: Sequence[Model], device: str, precision: str, size: str, batches: tuple[int, ...],
            budget: float | None, rounds: int | None, every_way: bool, save: Path | None) -> _Report:
    from srn_deploy.backends import precision_named
    from srn_deploy.benchmark import steady_page
    from srn_deploy.benchmark.results import SteadyResults
    from srn_deploy.benchmark.steady_state import DEFAULT_BUDGET_S, Plan, run_steady
    from srn_deploy.tiling.shapes import ShapeRange

    plan = Plan(size=ShapeRange.parse(size).largest, batches=batches, device=device, rounds=rounds,
                budget_s=budget or DEFAULT_BUDGET_S, precision=precision_named(precision), every_way=every_way)
    with bench_view.progress() as show:
        record = run_steady(models, plan,
                            on_step=lambda step: show(bench_view.of_step(step), step.done, step.total))
    if save is not None:
        record.save(save)
    return _Report(record=record, page=steady_page.page(record), preface=steady_page.preface(record),
                   tables={"steady state": steady_page.table(record)},
                   interrupted=record.results_as(SteadyResults).interrupted)


def _print(report: _Report, markdown: Path | None, as_json: bool) -> None:
    """JSON, a drawn table or Markdown; a page that goes to a file is not printed."""
    if markdown not in (None, options.STDOUT):
        options.write_text(markdown, report.page)
    if as_json:
        click.echo(json.dumps(report.record.as_json(), indent=2))
    elif markdown is None and sys.stdout.isatty():
        bench_view.draw(report.preface, report.tables)
    elif markdown in (None, options.STDOUT):
        click.echo(report.page, nl=False)


def _csv_rows(tables: dict[str, Table]) -> Iterator[tuple[str, ...]]:
    """The rows of every table after its head."""
    for title, rows in tables.items():
        yield ("table", *rows[0])
        yield from ((title, *row) for row in rows[1:])
