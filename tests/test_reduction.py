"""Reduced images: the kernel, the levels, what alpha does to colour, and the memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

import srn_deploy
from srn_deploy.image import read_image, reduction
from srn_deploy.image.bicubic import resize
from srn_deploy.image.reduction import reduced, reduced_with_alpha

Resize = Callable[[NDArray[np.float64], int, int], NDArray[Any]]

PIXELS = np.random.default_rng(0).integers(0, 65536, (61, 83, 3), dtype=np.uint16)
BORDER = 6
"""At the border Pillow leaves out what lies outside, and MATLAB repeats the edge; the kernel reaches 5.4 px here."""


def test_the_kernel_is_that_of_imresize() -> None:
    small = reduced(PIXELS, 41, 31)
    exact = np.rint(np.clip(resize(PIXELS, 41, 31), 0, 65535))
    inner = slice(BORDER, -BORDER)
    # Pillow hands on float32 between its passes: 65535 has a step of 0.004, and halves may round either way.
    assert np.abs(small.astype(int) - exact)[inner, inner].max() <= 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_the_type_and_a_flat_level_are_kept_exactly(dtype: Any) -> None:
    level = {np.uint8: 201, np.uint16: 51_234, np.float32: 0.25}[dtype]
    small = reduced(np.full((50, 70, 1), level, dtype), 33, 47)
    assert small.dtype == dtype
    assert small.shape == (33, 47, 1)
    np.testing.assert_array_equal(small, np.full_like(small, level))


def test_the_sixteen_bits_of_an_image_are_kept() -> None:
    ramp = np.linspace(0, 65535, 400).astype(np.uint16)[None, :, None].repeat(8, axis=0)
    small = reduced(ramp, 6, 300)
    assert np.unique(small[3, 2:-2, 0] % 257).size > 100  # 8 bits widened to 16 would all be multiples of 257
    assert (np.diff(small[3, :, 0].astype(int)) > 0).all()


def test_what_overshoots_is_clipped() -> None:
    edge = np.zeros((40, 40, 1), np.uint8)
    edge[:, 20:] = 255
    small = reduced(edge, 30, 30)
    assert set(np.unique(small[:, :13])) | set(np.unique(small[:, 17:])) == {0, 255}


def test_bands_give_what_the_whole_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = reduced(PIXELS, 37, 50)
    monkeypatch.setattr(reduction, "PART_PIXELS", 83 * 5)
    # The place of a pixel is computed from another origin, so a half may round the other way.
    assert np.abs(reduced(PIXELS, 37, 50).astype(int) - whole).max() <= 1


def test_the_same_size_is_the_same_image() -> None:
    assert reduced(PIXELS, 61, 83) is PIXELS


def test_hidden_colour_does_not_come_into_visible_edges() -> None:
    colour = np.zeros((40, 40, 3), np.uint8)
    colour[:, :20], colour[:, 20:] = (200, 100, 50), (0, 255, 0)
    alpha = np.zeros((40, 40, 1), np.uint8)
    alpha[:, :20] = 255
    small, small_alpha = reduced_with_alpha(colour, alpha, 27, 27)
    assert small_alpha is not None
    seen = small_alpha[..., 0] > 0
    # Levels are rounded once; where alpha is low, a level of alpha is worth more than one of colour, but not here.
    assert np.abs(small[seen].astype(int) - (200, 100, 50)).max() <= 1
    assert seen[:, :13].all()
    assert not seen[:, 16:].any()


@pytest.mark.parametrize("level", [0, 77, 255])
def test_an_even_transparency_stays_even_and_leaves_the_colour_alone(level: int) -> None:
    colour = (PIXELS >> 8).astype(np.uint8)
    small, small_alpha = reduced_with_alpha(colour, np.full((61, 83, 1), level, np.uint8), 40, 50)
    np.testing.assert_array_equal(small, reduced(colour, 40, 50))
    np.testing.assert_array_equal(small_alpha, np.full((40, 50, 1), level, np.uint8))


def test_a_fine_pattern_becomes_grey_not_another_pattern() -> None:
    stripes = np.zeros((64, 400, 1), np.uint8)
    stripes[:, ::2] = 255
    small = reduced(stripes, 32, 150)[:, 5:-5].astype(int)
    assert np.abs(small - 127.5).max() < 8
    nearest = stripes[::2, (np.arange(150) * 400 // 150)]
    assert np.abs(nearest.astype(int) - 127.5).max() > 100  # what happens without antialiasing


def _of_pillow(kernel: Pillow.Resampling) -> Resize:
    def resized(levels: NDArray[np.float64], height: int, width: int) -> NDArray[Any]:
        planes = [Pillow.fromarray(levels[..., channel].astype(np.float32)).resize((width, height), kernel)
                  for channel in range(3)]
        return np.stack([np.asarray(plane) for plane in planes], axis=2)
    return resized


def _by_area(levels: NDArray[np.float64], height: int, width: int) -> NDArray[Any]:
    return cv2.resize(levels.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)


def _in_linear_light(levels: NDArray[np.float64], height: int, width: int) -> NDArray[Any]:
    """Bicubic after the curve of sRGB (IEC 61966-2-1) was undone."""
    share = levels / 255
    light = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    small = np.clip(_of_pillow(Pillow.Resampling.BICUBIC)(light, height, width), 0, 1)
    return 255 * np.where(small <= 0.0031308, 12.92 * small, 1.055 * small ** (1 / 2.4) - 0.055)


def test_a_result_reduced_again_is_as_near_to_its_input_as_the_page_says(data: Path) -> None:
    ways: dict[str, Resize] = {"bicubic": lambda image, *size: reduced(image.astype(np.uint8), *size),
                               "Lanczos": _of_pillow(Pillow.Resampling.LANCZOS), "areas": _by_area,
                               "linear": _in_linear_light}
    errors: dict[str, list[float]] = {name: [] for name in ways}
    with srn_deploy.load(device="cpu") as upscaler:
        for path in sorted((data / "images/Set5/x4/LR").glob("*.png")):
            small = read_image(path).as_rgb8()
            large = upscaler.upscale(small).astype(np.float64)
            for name, way in ways.items():
                again = np.rint(np.clip(way(large, *small.shape[:2]), 0, 255))
                errors[name].append(10 * np.log10(255**2 / np.mean((again - small) ** 2)))
    means = {name: round(float(np.mean(found)), 1) for name, found in errors.items()}
    assert means == pytest.approx({"bicubic": 44.3, "Lanczos": 39.8, "areas": 42.2, "linear": 36.3}, abs=0.1)
