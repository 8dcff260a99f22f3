"""Pictures for the documents: parts of the demo picture, enlarged in several ways and put side by side.

    python -m benchmarks.before_after
"""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

import srn_deploy
from benchmarks.inputs import BENCHMARKS, PLOTS
from benchmarks.photo_study import SCALE, after, compressed, noisy
from srn_deploy.image import Image, read_image, write_image
from srn_deploy.image.bicubic import resize_uint8
from srn_deploy.registry.shipped import default_model

Pixels = NDArray[np.uint8]

TOP, LEFT, HEIGHT, WIDTH = 78, 118, 76, 104
"""The part shown, in pixels of the small picture: bricks, windows, wheels and text."""

GAP_PX = 12
LABEL_PX = 40

CLEAN_MODEL, PHOTO_MODEL = "srn-s-b4-x4", "srn-s-b4-x4-photo"


def main() -> None:
    """Write before_after.png (README) and photo.png (benchmarks/README.md)."""
    small = read_image(BENCHMARKS / "pictures/demo.png").as_rgb8()
    damaged = after(noisy(5), compressed(80))(small, 0)
    write("before_after.png", {"bicubic x4": bicubic(small), "srn-deploy x4": upscaled(small, default_model())})
    write("photo.png", {"bicubic": bicubic(damaged), CLEAN_MODEL: upscaled(damaged, CLEAN_MODEL),
                        PHOTO_MODEL: upscaled(damaged, PHOTO_MODEL)})


def bicubic(small: Pixels) -> Pixels:
    """SCALE times as large."""
    return resize_uint8(small, small.shape[0] * SCALE, small.shape[1] * SCALE)


def upscaled(small: Pixels, model: str) -> Pixels:
    """By a shipped model, on the CPU."""
    with srn_deploy.load(model, device="cpu") as upscaler:
        return upscaler.upscale(small).astype(np.uint8, copy=False)


def write(name: str, pictures: Mapping[str, Pixels]) -> None:
    """The same part of each picture under its title, in a row."""
    parts: list[Pixels] = []
    for title, picture in pictures.items():
        part = picture[TOP * SCALE:(TOP + HEIGHT) * SCALE, LEFT * SCALE:(LEFT + WIDTH) * SCALE]
        parts += [labelled(part, title), np.full((part.shape[0] + LABEL_PX, GAP_PX, 3), 255, np.uint8)]
    write_image(PLOTS / name, Image(pixels=np.concatenate(parts[:-1], axis=1)))
    print(f"{PLOTS / name} written.")


def labelled(picture: Pixels, title: str) -> Pixels:
    """The picture (H, W, 3) under a white strip with its title."""
    strip = np.full((LABEL_PX, picture.shape[1], 3), 255, np.uint8)
    cv2.putText(strip, title, (4, LABEL_PX - 14), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (40, 40, 40), 1, cv2.LINE_AA)
    return np.concatenate([strip, picture])


if __name__ == "__main__":
    main()
