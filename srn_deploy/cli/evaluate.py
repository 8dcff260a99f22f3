"""`srn-deploy eval`."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from srn_deploy.cli import options, values

if TYPE_CHECKING:
    from srn_deploy.image import Image
    from srn_deploy.spec import Corrections


@click.command("eval", short_help="Measure PSNR and SSIM over pairs of images.")
@click.argument("model", required=False)
@click.option("--hr", type=options.FILE, required=True, metavar="DIR", help="Originals.")
@click.option("--lr", type=options.FILE, metavar="DIR",
              help="Small images, in the same folders and with the same names, or as in 0801x4.png for 0801.png.  "
                   "[default: those that lie with the originals, else made from them]")
@options.lr_pattern
@click.option("--y/--rgb", "on_y", default=True, show_default=True,
              help="On luma, or on RGB as the NTIRE challenge counts.")
@options.device
@options.precision
@click.option("--tile", default="none", show_default=True, metavar="auto|none|N", callback=values.tile_side,
              help="Side of a tile in input pixels; none runs the whole image at once.")
@click.option("--save-images", type=options.OUTPUT_FOLDER, metavar="DIR", help="Keep the upscaled images, as PNG.")
@click.option("--csv", "csv_file", type=options.OUTPUT, metavar="FILE", help="Write the scores as CSV as well.")
@options.as_json
@options.corrections
def evaluate(model: str | None, hr: Path, lr: Path | None, lr_pattern: str | None, on_y: bool, device: str,
             precision: str, tile: int | str | None, save_images: Path | None, csv_file: Path | None, as_json: bool,
             corrections: Corrections) -> None:
    """Upscale small images with MODEL and compare them with their originals: PSNR and SSIM of each, and their means.

    MODEL is a model's name or a checkpoint, graph or engine file; without it the default model is measured.
    The convention is that of published tables: output in 8 bits, Y by BT.601 as float, and as many pixels cropped on
    each side as the scale.
    """
    from srn_deploy.benchmark.evaluation_record import record_of
    from srn_deploy.open_model import open_model
    from srn_deploy.quality.evaluate import Measured, evaluate_pairs
    from srn_deploy.quality.pairs import find_pairs, image_targets, small_images_of
    from srn_deploy.tiling.windows import TileOptions

    backend = open_model(model, device, precision=precision, corrections=corrections)
    try:
        pairs = find_pairs(hr, lr, backend.spec.scale, lr_pattern)
        targets = {} if save_images is None else image_targets(pairs, save_images)
        evaluation = evaluate_pairs(
            backend, pairs, Measured.Y if on_y else Measured.RGB,
            tiles=TileOptions(tile=tile),
            on_image=lambda name, image: _keep(targets.get(name), image),
            on_score=lambda score: None if as_json else click.echo(_line(score.name, score.psnr_db, score.ssim)))
        record = record_of(evaluation, backend.spec, hr=hr, small=small_images_of(pairs, lr))
    finally:
        backend.close()
    if csv_file is not None:
        scores = [(score.name, score.psnr_db, score.ssim) for score in evaluation.scores]
        options.write_text(csv_file, options.as_csv(
            [("picture", "psnr_db", "ssim"), *scores, ("mean", evaluation.psnr_db, evaluation.ssim)]))
    if as_json:
        click.echo(json.dumps(record.as_json(), indent=2))
        return
    perfect = evaluation.psnr_db is None and any(score.psnr_db is not None for score in evaluation.scores)
    click.echo(_line("mean", math.inf if perfect else evaluation.psnr_db, evaluation.ssim))
    click.echo(f"{len(evaluation.scores)} images, on {evaluation.measured}", err=True)


def _keep(target: Path | None, image: Image) -> None:
    from srn_deploy.image import write_image

    if target is not None:
        write_image(target, image)


def _line(name: str, psnr_db: float | None, ssim: float) -> str:
    decibels = "no difference" if psnr_db is None else f"{psnr_db:.4f} dB"
    return f"{name:<24}  {decibels:>13}  {ssim:.4f}"
