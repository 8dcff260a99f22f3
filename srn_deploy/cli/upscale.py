"""`srn-deploy upscale`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from srn_deploy.cli import options

if TYPE_CHECKING:
    from srn_deploy.spec import Corrections

SUFFIXES = {"png": ".png", "jpeg": ".jpg", "webp": ".webp", "tiff": ".tif", "bmp": ".bmp"}
"""What --format writes, by the names that people say."""


@click.command()
@click.argument("source", metavar="IN", type=options.FILE)
@click.argument("target", metavar="OUT", type=options.FILE)
@click.option("--model", help="A model's name, or a checkpoint, graph or engine file.  "
                                 "[default: the shipped default]")
@options.device
@click.option("--tile", default="auto", show_default=True, metavar="auto|none|N", callback=options.tile_side,
              help="Side of a tile in input pixels; none runs the whole picture at once.")
@click.option("--halo", type=click.IntRange(min=0), help="Context around a tile.  [default: measured for the network]")
@click.option("--quality", type=click.IntRange(1, 100),
              help="Of JPEG (default 95) and WebP (default lossless).")
@click.option("--guard", type=click.Choice(["off", "warn", "repair"]), default="warn", show_default=True,
              help="What to do about blocks that do not resemble the input: the network broke there.")
@click.option("--format", "suffix", type=click.Choice(list(SUFFIXES)), callback=lambda *given: SUFFIXES.get(given[2]),
              help="What every output is written as; it changes their suffixes.")
@click.option("--max-megapixels", type=click.FloatRange(min=0, min_open=True),
              help="Refuse pictures of more pixels before decoding them.  [default: 200]")
@options.corrections
@click.option("--skip-existing", is_flag=True, help="Leave out pictures whose output is there: resumes a folder.")
def upscale(source: Path, target: Path, model: str | None, device: str, tile: int | str | None, halo: int | None,
            quality: int | None, guard: str, suffix: str | None, max_megapixels: float | None, skip_existing: bool,
            corrections: Corrections) -> None:
    """Upscale a picture, or every picture of a folder (the tree is kept).

    PNG, JPEG, WebP, TIFF and BMP; the suffix of OUT chooses the format, or --format. Originals are never overwritten.
    """
    from srn_deploy.cli.progress import Listeners, show
    from srn_deploy.image import MAX_MEGAPIXELS
    from srn_deploy.inference.guard import Guard
    from srn_deploy.inference.jobs import (
        Outcome,
        clear_leftovers,
        formats_without_quality,
        pending,
        plan_jobs,
        run_jobs,
    )
    from srn_deploy.open_model import companion_of, open_model
    from srn_deploy.tiling.windows import TileOptions

    tiles = TileOptions(tile=tile, halo=halo)
    planned = plan_jobs(source, target, suffix)
    clear_leftovers(planned)  # here too: a folder may be finished but for them
    jobs = pending(planned) if skip_existing else planned
    go_on = "Go on with --skip-existing." if skip_existing or pending(planned) == planned else \
        "Some outputs were there before this run: run it again without --skip-existing."
    if not jobs:
        click.echo(f"Nothing to do: {len(planned)} there already.", err=True)
        return
    if quality is not None and (exact := formats_without_quality(jobs)):
        click.echo(f"Warning: --quality does nothing to {', '.join(exact)}, written without loss.", err=True)

    def tell(line: str) -> None:
        click.echo(f"{line}.", err=True)

    with closing(open_model(model, device, corrections=corrections, tell=tell)) as backend:
        def run(listeners: Listeners) -> Iterator[Outcome]:
            with closing(companion_of(model, device, corrections=corrections, tell=listeners.tell)) as companion:
                yield from run_jobs(jobs, backend, tiles, listeners.on_tile, quality=quality, guard=Guard(guard),
                                    companion=companion, max_megapixels=max_megapixels or MAX_MEGAPIXELS,
                                    on_warning=listeners.on_warning)

        show(len(jobs), len(planned) - len(jobs), run, go_on=go_on)
