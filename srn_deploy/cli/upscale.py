"""`srn-deploy upscale`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import click

from srn_deploy.cli import options

if TYPE_CHECKING:
    from srn_deploy.spec import Corrections

SUFFIXES = {"png": ".png", "jpeg": ".jpg", "webp": ".webp", "tiff": ".tif", "bmp": ".bmp"}
"""What --format writes, by the name of the format."""

_log = logging.getLogger(__name__)


@click.command()
@click.argument("source", metavar="IN", type=options.FILE)
@click.argument("target", metavar="OUT", type=options.FILE)
@click.option("--model", help="A model's name, or a checkpoint, graph or engine file.  "
                                 "[default: the shipped default]")
@options.device
@options.precision
@click.option("--tile", default="auto", show_default=True, metavar="auto|none|N", callback=options.tile_side,
              help="Side of a tile in input pixels; none runs the whole image at once.")
@click.option("--halo", type=click.IntRange(min=0), help="Context around a tile.  [default: measured for the network]")
@click.option("--quality", type=click.IntRange(1, 100),
              help="Of JPEG (default 95) and WebP (default lossless).")
@click.option("--guard", type=click.Choice(["off", "warn", "repair"]), default="warn", show_default=True,
              help="What to do about blocks that do not resemble the input, because the network broke there.")
@click.option("--format", "suffix", type=click.Choice(list(SUFFIXES)), callback=lambda *given: SUFFIXES.get(given[2]),
              help="Format of every output; it changes their suffixes.")
@click.option("--max-megapixels", type=click.FloatRange(min=0, min_open=True),
              help="Refuse larger images before decoding them.  [default: 200]")
@options.corrections
@click.option("--skip-existing", is_flag=True, help="Skip images whose output exists: resumes a folder.")
def upscale(source: Path, target: Path, model: str | None, device: str, precision: str, tile: int | str | None,
            halo: int | None, quality: int | None, guard: str, suffix: str | None, max_megapixels: float | None,
            skip_existing: bool, corrections: Corrections) -> None:
    """Upscale an image, or every image of a folder (the tree is kept).

    PNG, JPEG, WebP, TIFF and BMP; the suffix of OUT or --format chooses the format. Originals are never overwritten.
    """
    from srn_deploy.api import load
    from srn_deploy.cli.progress import show, stopped
    from srn_deploy.image import MAX_MEGAPIXELS
    from srn_deploy.inference.jobs import clear_leftovers, formats_without_quality, pending, plan_jobs
    from srn_deploy.tiling.windows import TileOptions

    tiles = TileOptions(tile=tile, halo=halo)
    planned = plan_jobs(source, target, suffix)
    clear_leftovers(planned)  # here too: a folder may be finished except for them
    jobs = pending(planned) if skip_existing else planned
    resume = "Continue with --skip-existing." if skip_existing or pending(planned) == planned else \
        "Some outputs existed before this run: run it again without --skip-existing."
    if not jobs:
        click.echo(f"Nothing to do: {len(planned)} of {len(planned)} outputs exist.", err=True)
        return
    if quality is not None and (lossless := formats_without_quality(jobs)):
        _log.warning("--quality does nothing to %s, written without loss.", ", ".join(lossless))
    try:
        upscaler = load(model, device=device, precision=precision, corrections=corrections, tiles=tiles, guard=guard)
    except KeyboardInterrupt:
        raise stopped(0, len(jobs), resume) from None
    with upscaler:
        show(len(jobs), len(planned) - len(jobs),
             lambda on_tile: upscaler.upscale_jobs(jobs, quality=quality, on_tile=on_tile,
                                                   max_megapixels=max_megapixels or MAX_MEGAPIXELS), resume=resume)
