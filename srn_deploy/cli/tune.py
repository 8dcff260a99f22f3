"""`srn-deploy tune`."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from srn_deploy.cli import messages, options, signals, tune_view, values

if TYPE_CHECKING:
    from srn_deploy.benchmark.tuning_work import Work
    from srn_deploy.registry.resolve import ResolvedModel
    from srn_deploy.spec import Corrections
    from srn_deploy.tuning.choice import Tuned


@click.command(short_help="Measure which way to run a model is the fastest here; auto then takes it.")
@click.argument("model", required=False)
@click.option("--for", "purpose", default="339x510", show_default=True, metavar="IMAGE|FOLDER|HxW",
              callback=values.purpose,
              help="What will be upscaled: an image, a folder of images, or a size, height x width.")
@click.option("--budget", type=values.FINITE, default=60.0, show_default=True, metavar="SECONDS",
              help="Time for measuring; every way is run once, however long that takes.")
@options.threads
@options.corrections
@click.option("--forget", is_flag=True, help="Remove what was tuned: for MODEL, or for every model.")
@options.as_json
def tune(model: str | None, purpose: str, budget: float, threads: int | None, corrections: Corrections, forget: bool,
         as_json: bool) -> None:
    """Measure which way to run MODEL (default: the default model) is the fastest here, and keep it in the cache.

    ONNX Runtime, OpenVINO and PyTorch, on a GPU also engines, each in the precisions it has; then the side of tiles,
    how many tiles and how many images of one size are run at once, and the number of threads. What is not certified is
    left out. Every candidate upscales the same files in turn.

    `upscale --device auto` and `srn_deploy.load` then run MODEL so, and say it, until the machine, the number of
    threads or the version of a library changes. Ctrl-C keeps nothing.
    """
    from srn_deploy.external import with_spec
    from srn_deploy.registry.resolve import resolve
    from srn_deploy.system.threads import cpu_threads

    if forget:
        _forget(None if model is None else with_spec(resolve(model, corrections)))
        return
    resolved = with_spec(resolve(model, corrections))
    try:
        with cpu_threads(threads):
            tuned, path = _measured(resolved, purpose, budget)
    except KeyboardInterrupt:
        messages.say("Interrupted; nothing is kept, and what was tuned before holds.")
        raise signals.interrupted() from None
    if as_json:
        from srn_deploy.system.documents import to_builtins

        click.echo(json.dumps({"file": str(path), **to_builtins(tuned)}, indent=2))
        return
    tune_view.show(tuned, drawn=sys.stdout.isatty())
    messages.say(f"Kept in {path}.")


def _measured(model: ResolvedModel, purpose: str, budget: float) -> tuple[Tuned, Path]:
    from srn_deploy.benchmark.tuning import tune as measure
    from srn_deploy.tuning.choice import check_can_be_kept, keep

    check_can_be_kept()
    with tempfile.TemporaryDirectory() as folder:
        work = _work(purpose, Path(folder))
        with tune_view.progress() as on_rows:
            tuned = measure(model, work, budget_s=budget, on_rows=on_rows)
    return tuned, keep(tuned, model.path.stem)


def _work(purpose: str, folder: Path) -> Work:
    """From what was typed after --for: a path that exists, else a size."""
    from srn_deploy.benchmark.tuning_work import drawn_work, work_on
    from srn_deploy.tiling.shapes import ShapeRange

    if Path(purpose).exists():
        return work_on(Path(purpose), folder)
    return drawn_work(ShapeRange.parse(purpose).largest, folder)


def _forget(model: ResolvedModel | None) -> None:
    from srn_deploy.tuning.choice import forget

    removed = list(forget(model))
    for path in removed:
        click.echo(f"Removed {path}")
    if not removed:
        messages.say("Nothing was tuned." if model is None else f"Nothing was tuned for {model.path.name}.")
