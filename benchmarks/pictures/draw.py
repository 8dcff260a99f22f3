"""Draw the images of this folder again: `python -m benchmarks.pictures.draw [FOLDER]`.

Needs numpy, OpenCV and srn_deploy only. The LR pictures are made from the HR ones by the bicubic of
`srn_deploy.image.bicubic`, as super-resolution data sets are.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.pictures.brush import averaged, box, canvas_over, clouds, disc, polygon, stroke, write
from benchmarks.pictures.scene import draw_scene
from srn_deploy.image import Image, write_image
from srn_deploy.image.bicubic import resize_uint8

SCALE = 4


def draw_texture(seed: int = 1) -> NDArray[np.uint8]:
    """Grey uint8 (96, 96, 1): woven linen under a soft light, with a seam."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:96, 0:96].astype(np.float32)
    bend = 1.5 * clouds(random, 96, 96, coarsest=48, octaves=3)
    warp, weft = np.sin((x + bend) * np.pi / 3.7), np.sin((y - bend) * np.pi / 3.7)
    thread = np.where((np.floor((x + bend) / 3.7) + np.floor((y - bend) / 3.7)) % 2 == 0, np.abs(warp), np.abs(weft))
    light = 150 + 40 * np.sin((x + 1.6 * y) / 60) + 12 * clouds(random, 96, 96, coarsest=12)
    canvas = canvas_over((light - 34 + 52 * thread)[..., None].astype(np.float32))
    for place in np.arange(2, 96, 6.0):
        stroke(canvas, [(place, 60 + 0.1 * place), (place + 3.5, 60.4 + 0.1 * place)], (236, 236, 236), 1.0)
    return averaged(canvas)


def draw_badge() -> NDArray[np.uint8]:
    """RGBA uint8 (96, 96, 4): a star on a disc whose edge fades over several pixels."""
    y, x = np.mgrid[0:96, 0:96].astype(np.float32) - 47.5
    radius = np.hypot(x, y)
    base = np.stack([40 + 60 * (y / 96 + 0.5), 70 + 50 * (x / 96 + 0.5), 150 + 60 * (y / 96 + 0.5)], axis=-1)
    canvas = canvas_over(base.astype(np.float32))
    disc(canvas, (47.5, 47.5), (36, 36), (240, 236, 224), width_px=1.4)
    star = [((30 if point % 2 == 0 else 12) * np.sin(point * np.pi / 5), -(30 if point % 2 == 0 else 12)
             * np.cos(point * np.pi / 5)) for point in range(10)]
    polygon(canvas, [(47.5 + dx, 47.5 + dy) for dx, dy in star], (250, 204, 72))
    write(canvas, "x4", 38, 53, 0.55, (70, 40, 20))
    alpha = 255 * np.clip((46 - radius) / 5, 0, 1)
    badge: NDArray[np.uint8] = np.concatenate([averaged(canvas), np.rint(alpha).astype(np.uint8)[..., None]], axis=2)
    return badge


def draw_curves() -> NDArray[np.uint8]:
    """RGB uint8 (128, 160, 3): circles ever closer, a fan of hair lines, waves, and small lettering."""
    canvas = canvas_over(np.full((128, 160, 3), 250, np.float32))
    for radius in np.cumsum(np.linspace(5, 1.6, 17)):
        disc(canvas, (56, 62), (radius, radius), (28, 54, 110), width_px=0.67)
    for angle in np.linspace(0, np.pi / 2, 25):
        stroke(canvas, [(158, 126), (158 - 66 * np.cos(angle), 126 - 66 * np.sin(angle))], (150, 30, 40), 0.34)
    across = np.linspace(112, 158, 120)
    for number in range(6):
        stroke(canvas, [(x, 14 + 7 * number + 3 * np.sin((x - 112) / (2 + number))) for x in across],
               (30 + 30 * number, 110, 60), 0.67 + 0.2 * number)
    box(canvas, 2, 118, 88, 127, (252, 236, 190))
    write(canvas, "every curve tells", 4, 125, 0.28, (60, 40, 20))
    return averaged(canvas)


def pictures() -> dict[str, NDArray[np.uint8]]:
    """File name to pixels, uint8 (H, W, 1 grey, 3 RGB or 4 RGBA)."""
    demo = draw_scene()
    lr = resize_uint8(demo, demo.shape[0] // SCALE, demo.shape[1] // SCALE)
    return {"demo_hr.png": demo, "demo.png": lr, "texture.png": draw_texture(), "badge.png": draw_badge(),
            "curves.png": draw_curves()}


def main(folder: Path) -> None:
    """Write every picture into the folder."""
    for name, pixels in pictures().items():
        colours = 3 if pixels.shape[2] == 4 else pixels.shape[2]
        alpha = pixels[..., 3:] if pixels.shape[2] == 4 else None
        write_image(folder / name, Image(pixels=pixels[..., :colours], alpha=alpha))
        print(folder / name, pixels.shape)


def folder_from(arguments: list[str] | None = None) -> Path:
    """The folder that the command line names; by default this one."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pictures.draw",
                                     description="Draw the images of this folder again.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parent,
                        help="where to write them [default: this folder]")
    folder: Path = parser.parse_args(arguments).folder
    return folder


if __name__ == "__main__":
    main(folder_from())
