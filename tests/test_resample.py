"""Bicubic resizing as MATLAB does it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from srn_deploy.errors import OptionError
from srn_deploy.image import read_image
from srn_deploy.image.bicubic import cubic, resize, resize_matrix, resize_uint8

# A few hundred additions of float64 numbers below 1 (or of levels up to 255).
FLOAT64_SUM = 1e-12
FLOAT64_LEVELS = 1e-9


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("name", ["Set5", "Set14"])
def test_the_published_low_resolution_images_are_reproduced_bit_for_bit(data: Path, name: str, scale: int) -> None:
    folder = data / "images" / name / f"x{scale}"
    paths = sorted((folder / "HR").iterdir())
    assert len(paths) == int(name.removeprefix("Set"))
    for path in paths:
        lr = read_image(folder / "LR" / path.name).as_rgb8()
        height, width = lr.shape[:2]
        hr = read_image(path).as_rgb8()[:height * scale, :width * scale]
        assert np.array_equal(resize_uint8(hr, height, width), lr), path.name


def test_the_bicubic_of_opencv_does_not_reproduce_them(data: Path) -> None:
    import cv2

    folder = data / "images" / "Set5" / "x4"
    hr, lr = (read_image(folder / kind / "img_003.png").as_rgb8() for kind in ("HR", "LR"))
    other = cv2.resize(hr, lr.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    assert np.mean(other != lr) > 0.5


@given(source=st.integers(1, 60), target=st.integers(1, 60))
def test_every_row_of_a_resize_matrix_sums_to_one(source: int, target: int) -> None:
    matrix = resize_matrix(source, target)
    assert matrix.shape == (target, source)
    assert np.allclose(matrix.sum(axis=1), 1.0, rtol=0, atol=FLOAT64_SUM)


def test_the_kernel_is_one_at_its_centre_and_zero_at_all_other_pixels() -> None:
    assert cubic(np.array([-2.5, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0])).tolist() == [0, 0, 0, 1, 0, 0, 0]


def test_a_side_resized_to_itself_is_unchanged() -> None:
    assert np.array_equal(resize_matrix(9, 9), np.eye(9))


def test_halving_has_the_weights_of_keys_kernel_at_the_odd_eighths() -> None:
    # Kernel at ±1/4, ±3/4, ±5/4, ±7/4, halved: the values that MATLAB's imresize shows for an impulse.
    quarter = np.array([111, 29, -9, -3]) / 256
    assert np.allclose(resize_matrix(16, 8)[4, 5:13], [*quarter[::-1], *quarter], rtol=0, atol=FLOAT64_SUM)


def test_doubling_has_the_weights_of_keys_kernel_at_the_odd_quarters() -> None:
    assert np.allclose(resize_matrix(8, 16)[8, 2:6], np.array([-3, 29, 111, -9]) / 128, rtol=0, atol=FLOAT64_SUM)


def test_the_edge_pixel_is_repeated_beyond_the_border() -> None:
    # The first output pixel of a doubled side lies at -1/4: its taps -2 and -1 fall on pixel 0 as well.
    assert np.allclose(resize_matrix(8, 16)[0, :2], np.array([111 + 29 - 3, -9]) / 128, rtol=0, atol=FLOAT64_SUM)


@pytest.mark.parametrize(("height", "width"), [(3, 5), (24, 18), (40, 7)])
def test_a_constant_image_stays_constant(height: int, width: int) -> None:
    constant = np.full((12, 9, 3), 137, np.uint8)
    assert np.allclose(resize(constant, height, width), 137, rtol=0, atol=FLOAT64_LEVELS)
    assert np.array_equal(resize_uint8(constant, height, width), np.full((height, width, 3), 137))


def test_a_straight_ramp_stays_straight_away_from_the_border() -> None:
    ramp = np.arange(40.0)[None, :, None] * np.ones((4, 1, 1))
    expected = (np.arange(80) + 0.5) / 2 - 0.5
    assert np.allclose(resize(ramp, 4, 80)[0, 8:-8, 0], expected[8:-8], rtol=0, atol=FLOAT64_LEVELS)


def test_overshoot_is_clipped_and_not_wrapped() -> None:
    edge = np.zeros((1, 16, 1), np.uint8)
    edge[:, 8:] = 255
    assert resize(edge, 1, 32).min() < 0
    doubled = resize_uint8(edge, 1, 32)
    assert doubled[0, :14].max() < 30
    assert doubled[0, 18:].min() > 225


@pytest.mark.parametrize(("source", "target"), [(0, 4), (4, 0), (4, -1)])
def test_an_empty_side_is_refused(source: int, target: int) -> None:
    with pytest.raises(OptionError, match="cannot be resized"):
        resize_matrix(source, target)
