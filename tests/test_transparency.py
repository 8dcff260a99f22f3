"""Transparent pixels take the colour of their visible neighbours, and nothing visible changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from srn_deploy.image.alpha import fill_hidden_colour, flatten_plain_alpha


@pytest.mark.parametrize(("dtype", "largest"), [(np.uint8, 255), (np.uint16, 65535), (np.float32, 1.0)])
def test_the_colour_spreads_and_visible_pixels_stay(dtype: Any, largest: float) -> None:
    colour = np.zeros((37, 50, 3), dtype)
    alpha = np.zeros((37, 50, 1), dtype)
    colour[10:20, 10:20], alpha[10:20, 10:20] = largest, largest
    colour[15, 15], alpha[15, 15] = 0, largest / 2  # a visible dark dot stays dark
    filled = fill_hidden_colour(colour, alpha)
    assert filled.dtype == colour.dtype
    assert (filled[10:20, 10:20] == colour[10:20, 10:20]).all()
    hidden = np.delete(filled.reshape(-1, 3), np.flatnonzero(alpha), axis=0)
    assert hidden.min() > 0.9 * largest  # the dark dot is one of a hundred
    np.testing.assert_allclose(filled[12, 8:10].astype(float), largest, rtol=0.03)  # the dark dot counts too


def test_two_colours_each_fill_their_own_side() -> None:
    colour = np.zeros((32, 64, 3), np.uint8)
    alpha = np.zeros((32, 64, 1), np.uint8)
    colour[:, :16], alpha[:, :16] = (200, 0, 0), 255
    colour[:, 48:], alpha[:, 48:] = (0, 0, 200), 255
    filled = fill_hidden_colour(colour, alpha)
    assert filled[16, 20].tolist() == [200, 0, 0]
    assert filled[16, 44].tolist() == [0, 0, 200]


def test_almost_transparent_pixels_beside_opaque_ones_take_their_colour_too() -> None:
    colour = np.full((64, 64, 3), (0, 255, 0), np.uint8)
    alpha = np.full((64, 64, 1), 2, np.uint8)
    colour[:, 32:], alpha[:, 32:] = (255, 0, 0), 255
    beside = fill_hidden_colour(colour, alpha)[:, 26:32].astype(int)
    assert np.abs(beside - [255, 0, 0]).max() <= 64  # most of the way, as far as a network visibly reaches
    np.testing.assert_array_equal(fill_hidden_colour(colour, alpha)[:, 32:], colour[:, 32:])


def test_a_faint_image_keeps_its_colours() -> None:
    colour = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    alpha = np.random.default_rng(1).integers(18, 23, (40, 50, 1), dtype=np.uint8)  # a watermark
    assert fill_hidden_colour(colour, alpha) is colour


@pytest.mark.parametrize(("dtype", "opaque"), [(np.uint8, 255), (np.uint16, 65535), (np.float32, 1)])
def test_a_plain_area_of_alpha_becomes_exact_and_its_edge_is_unchanged(dtype: Any, opaque: float) -> None:
    alpha = np.zeros((20, 20, 1), dtype)
    alpha[:, 10:] = opaque
    upscaled = np.full((40, 40, 1), opaque / 2).astype(dtype)
    flatten_plain_alpha(alpha, upscaled, 2)
    assert (upscaled[:, :16] == 0).all()
    assert (upscaled[:, 24:] == opaque).all()
    assert (upscaled[:, 16:24] == np.array(opaque / 2).astype(dtype)).all()


@pytest.mark.parametrize("level", [0, 1, 255])
def test_if_nothing_or_everything_is_hidden_nothing_is_copied(level: int) -> None:
    colour = np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    assert fill_hidden_colour(colour, np.full((9, 11, 1), level, np.uint8)) is colour


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (17, 1), (33, 65)])
def test_images_of_any_size_are_filled(shape: tuple[int, int]) -> None:
    colour = np.full((*shape, 1), 90, np.uint8)
    alpha = np.zeros((*shape, 1), np.uint8)
    colour[0, 0], alpha[0, 0] = 10, 255
    expected = 10 if shape != (1, 1) else colour
    assert (fill_hidden_colour(colour, alpha) == expected).all()
