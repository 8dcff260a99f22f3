"""`srn-deploy build-engine`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from srn_deploy.cli import options, values

if TYPE_CHECKING:
    from srn_deploy.engine.monitor import Phase
    from srn_deploy.spec import Corrections


@click.command("build-engine", short_help="Build a TensorRT engine.")
@click.argument("model", required=False)
@click.option("--fp16", "precision", flag_value="fp16", help="Compute in half precision.")
@click.option("--fp32", "precision", flag_value="fp32", help="Compute in single precision.  [default: as the graph]")
@click.option("--runtime", type=click.Choice(["auto", "tensorrt", "tensorrt-rtx"]), default="auto", show_default=True,
              help="auto: TensorRT where it and a GPU are there, otherwise TensorRT-RTX, which builds without a GPU.")
@click.option("--shapes", multiple=True, callback=values.ranges_of_shapes, metavar="MIN..MAX@OPT",
              help="Sizes (height x width) the engine takes and is tuned for, as in 64x64..640x640@339x510, or HxW for "
                   "one size; may be repeated.  [default: up to 640x640; larger images are tiled]")
@click.option("--fit", type=options.FILE, metavar="FOLDER", help="Take the sizes from the images of a folder.")
@click.option("--batch", "largest_batch", type=click.IntRange(1, 256), default=1, show_default=True,
              help="Largest batch.")
@click.option("--tf32", is_flag=True, help="Let FP32 convolutions round to ten bits.")
@click.option("--opt-level", "optimization_level", type=click.IntRange(0, 5), default=3, show_default=True,
              help="0 builds fastest, 5 searches longest.")
@click.option("--hardware-compat", "hardware_compatibility", default="none", show_default=True,
              type=click.Choice(["none", "ampere-plus", "same-compute-capability"]),
              help="TensorRT: on which other GPUs the engine runs.")
@click.option("--compute-capability", "compute_capabilities", multiple=True, metavar="X.Y",
              callback=values.compute_capabilities,
              help="TensorRT-RTX: GPUs to build for, as in 8.9; may be repeated.  [default: its own choice]")
@options.corrections
def build_engine(model: str | None, fit: Path | None, precision: str | None, corrections: Corrections,
                  **chosen: Any) -> None:
    """Build a TensorRT engine from MODEL, and print its path.

    MODEL is a model's name, a graph, or a checkpoint, which is exported first; without it the default
    model is built. An engine that is there already is not built again.
    """
    if chosen["shapes"] and fit is not None:
        raise click.UsageError("--shapes and --fit both say which sizes the engine takes; give one of them.")
    options.need_engine_packages("Building an engine")
    from srn_deploy.engine_request import EngineRequest, request_engine
    from srn_deploy.spec import Precision

    request = EngineRequest(precision=None if precision is None else Precision(precision), fit=fit,
                            corrections=corrections, **chosen)
    with _progress() as on_phase:
        engine = request_engine(model, request, on_phase=on_phase)
    convolutions = ", ".join(f"{count} {kind}" for kind, count in engine.manifest.convolutions.items())
    click.echo(f"{engine.manifest.engine_bytes / 1e6:.1f} MB; convolutions: {convolutions}; {engine.certification}.",
               err=True)
    click.echo(str(engine.path))


@contextmanager
def _progress() -> Iterator[Callable[[Phase], None]]:
    """Show a bar for the outermost phase on a terminal, below all messages; nothing elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    from srn_deploy.cli import messages

    console = Console(stderr=True)
    with (Progress(TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), console=console,
                   transient=True, disable=not console.is_terminal) as bar, messages.above(console)):
        task = bar.add_task("Building", total=None)

        def on_phase(phase: Phase) -> None:
            if phase.parent is None:
                bar.update(task, completed=phase.step, total=phase.steps)
            else:
                bar.update(task, description=phase.name)

        yield on_phase
