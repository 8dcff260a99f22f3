"""Training pictures that no camera takes: text, charts and shapes with hard edges on flat ground.

    python -m benchmarks.draw_graphics FOLDER [--pages 64]

Photographs hold little of it, and a network that is also taught to leave checkerboards alone learns to blur
black letters on white. Drawn at twice the size with the fonts that matplotlib brings, then halved.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image as Page
from PIL import ImageDraw, ImageFont

from srn_deploy.image import Image, write_image

HEIGHT, WIDTH, OVERSAMPLING = 384, 512, 2
FONTS = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSerif",
         "DejaVuSerif-Bold", "DejaVuSerif-Italic", "STIXGeneral", "STIXGeneralBol")
LETTERS = "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,-&%"
SMALLEST_PT, LARGEST_PT = 7, 72


def main() -> None:
    """Write the pages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pages", type=int, default=64)
    options = parser.parse_args()
    for number in range(options.pages):
        write_image(options.folder / f"page{number:03}.png", Image(pixels=page(number)))
    print(f"{options.pages} pages in {options.folder}.")


def page(seed: int) -> NDArray[np.uint8]:
    """One page, uint8 (384, 512, 3); the same for the same seed."""
    random = np.random.default_rng(seed)
    ground = (255, 255, 255) if random.random() < 0.5 else colour(random)
    sheet = Page.new("RGB", (WIDTH * OVERSAMPLING, HEIGHT * OVERSAMPLING), ground)
    pen = ImageDraw.Draw(sheet)
    for _ in range(int(random.integers(2, 7))):
        shape(pen, random)
    kinds: tuple[Callable[[ImageDraw.ImageDraw, Generator], None], ...] = (text, text, text, chart, shape)
    for _ in range(int(random.integers(8, 20))):
        kinds[int(random.integers(len(kinds)))](pen, random)
    small = cv2.resize(np.asarray(sheet), (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    return small.astype(np.uint8)


def colour(random: Generator) -> tuple[int, int, int]:
    """Any, but black and white more often."""
    drawn = random.random()
    if drawn < 0.5:
        return (0, 0, 0) if drawn < 0.3 else (255, 255, 255)
    red, green, blue = (int(v) for v in random.integers(0, 256, 3))
    return red, green, blue


def place(random: Generator) -> tuple[int, int]:
    """Left and top of something, not quite at the right and lower border."""
    return (int(random.integers(-40, WIDTH * OVERSAMPLING - 80)), int(random.integers(-20, HEIGHT * OVERSAMPLING - 40)))


def text(pen: ImageDraw.ImageDraw, random: Generator) -> None:
    """Some lines of made-up words in one font, size and colour."""
    points = int(np.exp(random.uniform(np.log(SMALLEST_PT), np.log(LARGEST_PT))))
    name = FONTS[int(random.integers(len(FONTS)))]
    font = ImageFont.truetype(Path(matplotlib.get_data_path()) / f"fonts/ttf/{name}.ttf", points * OVERSAMPLING)
    lines = [" ".join("".join(random.choice(list(LETTERS), int(random.integers(1, 9)))) for _ in range(4))
             for _ in range(1 if points > 24 else int(random.integers(1, 7)))]
    pen.multiline_text(place(random), "\n".join(lines), font=font, fill=colour(random))


def shape(pen: ImageDraw.ImageDraw, random: Generator) -> None:
    """A rectangle, an ellipse or a polygon, filled or drawn with a thin pen."""
    left, top = place(random)
    right, bottom = left + int(random.integers(20, 500)), top + int(random.integers(20, 400))
    outline, width = colour(random), int(random.integers(1, 9))
    fill = colour(random) if random.random() < 0.6 else None
    kind = int(random.integers(3))
    if kind == 0:
        pen.rectangle((left, top, right, bottom), fill=fill, outline=outline, width=width)
    elif kind == 1:
        pen.ellipse((left, top, right, bottom), fill=fill, outline=outline, width=width)
    else:
        corners = random.uniform((left, top), (right, bottom), (5, 2))
        pen.polygon([(float(x), float(y)) for x, y in corners], fill=fill, outline=outline, width=width)


def chart(pen: ImageDraw.ImageDraw, random: Generator) -> None:
    """Lines through random points: a curve, or a fan."""
    left, top = place(random)
    count = int(random.integers(3, 12))
    x = left + np.arange(count) * int(random.integers(10, 60))
    y = top + random.integers(0, 200, count)
    pen.line([(int(a), int(b)) for a, b in zip(x, y, strict=True)], fill=colour(random),
             width=int(random.integers(1, 8)))


if __name__ == "__main__":
    main()
