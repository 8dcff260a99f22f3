"""The README's picture: a part of the demo picture enlarged by bicubic interpolation and by the default model.

    python -m benchmarks.before_after
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

import srn_deploy
from benchmarks.inputs import BENCHMARKS
from srn_deploy.image import Image, read_image, write_image
from srn_deploy.resample import resize_uint8

TOP, LEFT, HEIGHT, WIDTH = 78, 118, 76, 104
"""The part shown, in pixels of the small picture: bricks, windows, wheels and text."""

GAP_PX = 12
LABEL_PX = 40


def main() -> None:
    """Write benchmarks/plots/before_after.png."""
    small = read_image(BENCHMARKS / "pictures/demo.png").as_rgb8()
    height, width = small.shape[:2]
    with srn_deploy.load(device="cpu") as upscaler:
        scale, ours = upscaler.spec.scale, upscaler.upscale(small)
    bicubic = resize_uint8(small, height * scale, width * scale)
    parts = [labelled(picture[TOP * scale:(TOP + HEIGHT) * scale, LEFT * scale:(LEFT + WIDTH) * scale], title)
             for picture, title in ((bicubic, "bicubic x4"), (ours, "srn-deploy x4"))]
    gap = np.full((parts[0].shape[0], GAP_PX, 3), 255, np.uint8)
    target = BENCHMARKS / "plots/before_after.png"
    write_image(target, Image(pixels=np.concatenate([parts[0], gap, parts[1]], axis=1)))
    print(f"{target} written.")


def labelled(picture: NDArray[np.uint8], title: str) -> NDArray[np.uint8]:
    """The picture (H, W, 3) under a white strip with its title."""
    strip = np.full((LABEL_PX, picture.shape[1], 3), 255, np.uint8)
    cv2.putText(strip, title, (4, LABEL_PX - 14), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (40, 40, 40), 1, cv2.LINE_AA)
    return np.concatenate([strip, picture])


if __name__ == "__main__":
    main()
