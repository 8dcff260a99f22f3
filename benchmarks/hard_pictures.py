"""What makes a network that was trained on photographs alone diverge; a fixed list, drawn again with fixed seeds.

The published SRN checkpoint turns the first of them into values of millions. Ours stay within LIMITS before
clipping: half of the range beyond both ends, which is ringing and no more.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.inputs import BENCHMARKS
from srn_deploy.architectures.checkpoint import LoadedNetwork
from srn_deploy.image import read_image

LIMITS = (-128.0, 383.0)
SIDE_PX = 96
SIGMAS = (25, 60)


def hard_pictures() -> dict[str, NDArray[np.uint8]]:
    """Title to uint8 (96, 96, 3)."""
    random = np.random.default_rng(0)
    row, col = np.mgrid[0:SIDE_PX, 0:SIDE_PX]
    grey = {"one-pixel checkerboard": (row + col) % 2, "two-pixel checkerboard": (row // 2 + col // 2) % 2,
            "stripes": col % 2, "one-pixel grid": (row % 4 == 0) | (col % 4 == 0), "text": written() > 127,
            "binary noise": random.integers(0, 2, (SIDE_PX, SIDE_PX))}
    made = {title: np.repeat(255.0 * pattern[..., None], 3, axis=2) for title, pattern in grey.items()}
    made["coloured binary noise"] = 255.0 * random.integers(0, 2, (SIDE_PX, SIDE_PX, 3))
    made["white noise"] = random.uniform(0, 255, (SIDE_PX, SIDE_PX, 3))
    scene = read_image(BENCHMARKS / "pictures/demo.png").as_rgb8()[40:40 + SIDE_PX, 90:90 + SIDE_PX]
    made |= noisy("scene", scene, random)
    return {title: np.clip(np.rint(picture), 0, 255).astype(np.uint8) for title, picture in made.items()}


def noisy_photograph(path: Path) -> dict[str, NDArray[np.uint8]]:
    """The same for a photograph, which is not part of the project."""
    pixels = read_image(path).as_rgb8()[:192, :256]
    return {title: np.clip(np.rint(picture), 0, 255).astype(np.uint8)
            for title, picture in noisy("photograph", pixels, np.random.default_rng(1)).items()}


def noisy(name: str, pixels: NDArray[np.uint8], random: np.random.Generator) -> dict[str, NDArray[np.float64]]:
    """A picture under Gaussian noise of each strength."""
    return {f"{name}, sigma {sigma}": pixels + random.normal(0, sigma, pixels.shape) for sigma in SIGMAS}


def written() -> NDArray[np.uint8]:
    """Lines of small hard-edged text, white on black, (96, 96)."""
    page = np.zeros((SIDE_PX, SIDE_PX), np.uint8)
    for line, text in enumerate(("Sharp edges", "0123456789", "il1|!:;.,-", "MWQ@#%&$")):
        cv2.putText(page, text, (2, 16 + 22 * line), cv2.FONT_HERSHEY_PLAIN, 0.9, 255, 1, cv2.LINE_8)
    return page


def output_range(loaded: LoadedNetwork, picture: NDArray[np.uint8]) -> tuple[float, float]:
    """Smallest and largest value of the network's output for a picture, before clipping, in levels of 0..255."""
    gain = loaded.spec.value_range / 255
    pixels = torch.from_numpy(picture).permute(2, 0, 1).unsqueeze(0).float()
    with torch.inference_mode():
        unclipped = loaded.network(pixels * gain) / gain
    return float(unclipped.min()), float(unclipped.max())
