"""Drawn images, made small and enlarged again by every shipped model of ×4, to be compared by eye.

    python -m benchmarks.compared_pictures

Writes the images into compared/, laid out as `srn-deploy report --pictures` takes them, and a record with what
made them. The page shows them with a slider.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import srn_deploy
from benchmarks.inputs import BENCHMARKS, RECORDS
from benchmarks.pictures.draw import draw_curves
from benchmarks.pictures.scene import draw_scene
from srn_deploy.benchmark.environment import current_environment
from srn_deploy.benchmark.records import Record
from srn_deploy.benchmark.tables import markdown_table
from srn_deploy.image import Image, write_image
from srn_deploy.image.bicubic import resize_uint8
from srn_deploy.image.pixels import Rgb8
from srn_deploy.registry.resolve import resolve
from srn_deploy.registry.shipped import shipped_models
from srn_deploy.report.content import PictureComparison
from srn_deploy.report.pictures import ORIGINAL, SMALL, compare_pictures
from srn_deploy.system.threads import usable_cores

KIND = "compared-pictures"

TITLE = "Drawn images, ×4"

FOLDER = BENCHMARKS / "compared"
"""Beside the folder of drawn images, which others are measured and calibrated on."""

SCALE = 4

INTRODUCTION = """## Side by side

Drawn images (a house, a sign with a bicycle, circles and hair lines), made small by the bicubic filter of data sets and
enlarged again by that filter and by every shipped model of ×4. In [report.html](report.html) two of them at a time lie
under a slider, at the part with the most detail in the original. PSNR on Y in dB: of the whole image, and of that part.

Draw and measure: `python -m benchmarks.compared_pictures`."""


def originals() -> dict[str, Rgb8]:
    """Name to pixels, RGB (H, W, 3); the sides are multiples of SCALE."""
    scene = draw_scene()
    return {"house": scene[176:464, 376:664], "sign": scene[324:612, 680:896], "curves": draw_curves()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw, make small, enlarge by every model, write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", metavar="NAME", help="default: the shipped ones of x4")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="of the images")
    parser.add_argument("--records", type=Path, default=RECORDS, help="folder of the record")
    options = parser.parse_args(arguments)
    names = options.models or [model.name for model in shipped_models().values() if model.scale == SCALE]
    environment = current_environment(threads=usable_cores())
    drawn = {name: np.ascontiguousarray(pixels) for name, pixels in originals().items()}
    small = {name: resize_uint8(pixels, pixels.shape[0] // SCALE, pixels.shape[1] // SCALE)
             for name, pixels in drawn.items()}
    _write(options.folder / ORIGINAL, drawn)
    _write(options.folder / SMALL, small)
    for model in names:
        with srn_deploy.load(model, device="cpu") as upscaler:
            _write(options.folder / model, {name: upscaler.upscale(lr) for name, lr in small.items()})
    found = compare_pictures(options.folder)
    Record(kind=KIND, title=TITLE, environment=environment, results={
        "sha256": {model: resolve(model).sha256 for model in names},
        "rows": [row for one in found for row in rows(one)],
    }).save(options.records / f"{KIND}.json")


def _write(folder: Path, images: Mapping[str, Any]) -> None:
    for name, pixels in images.items():
        write_image(folder / f"{name}.png", Image(pixels=np.asarray(pixels, np.uint8)))


def rows(found: PictureComparison) -> list[dict[str, Any]]:
    """The figures of one image, for each candidate."""
    return [{"image": found.name, "candidate": crop.candidate, "psnr_y_db": crop.psnr_db,
             "part_psnr_y_db": crop.crop_psnr_db} for crop in found.crops if not crop.is_original]


def compared_tables(results: Mapping[str, Any]) -> list[str]:
    """A row for each candidate, a column for each image: the whole image, and its part."""
    images = list(dict.fromkeys(row["image"] for row in results["rows"]))
    cells: dict[str, list[str]] = {}
    for row in results["rows"]:
        cells.setdefault(row["candidate"], []).append(f"{row['psnr_y_db']:.2f} / {row['part_psnr_y_db']:.2f}")
    hashes = ", ".join(f"`{name}` (graph sha256 {sha256[:12]}…)" for name, sha256 in results["sha256"].items())
    return [f"{hashes}.", markdown_table([("candidate", *(f"{name}, image / part" for name in images)),
                                          *((candidate, *row) for candidate, row in cells.items())])]


if __name__ == "__main__":
    main()
