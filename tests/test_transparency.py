"""Colour under full transparency takes that of its visible neighbours, and nothing visible changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from srn_deploy.transparency import solidified


@pytest.mark.parametrize(("dtype", "largest"), [(np.uint8, 255), (np.uint16, 65535), (np.float32, 1.0)])
def test_the_colour_spreads_and_visible_pixels_stay(dtype: Any, largest: float) -> None:
    colour = np.zeros((37, 50, 3), dtype)
    alpha = np.zeros((37, 50, 1), dtype)
    colour[10:20, 10:20], alpha[10:20, 10:20] = largest, largest
    colour[15, 15], alpha[15, 15] = 0, largest / 2  # a visible dark dot stays dark
    filled = solidified(colour, alpha)
    assert filled.dtype == colour.dtype
    assert (filled[10:20, 10:20] == colour[10:20, 10:20]).all()
    hidden = np.delete(filled.reshape(-1, 3), np.flatnonzero(alpha), axis=0)
    assert hidden.min() > 0.9 * largest  # the dark dot is one of a hundred
    assert (filled[12, 8:10] == largest).all()


def test_two_colours_each_fill_their_own_side() -> None:
    colour = np.zeros((32, 64, 3), np.uint8)
    alpha = np.zeros((32, 64, 1), np.uint8)
    colour[:, :16], alpha[:, :16] = (200, 0, 0), 255
    colour[:, 48:], alpha[:, 48:] = (0, 0, 200), 255
    filled = solidified(colour, alpha)
    assert filled[16, 20].tolist() == [200, 0, 0]
    assert filled[16, 44].tolist() == [0, 0, 200]


@pytest.mark.parametrize("level", [0, 1, 255])
def test_without_anything_to_fill_or_to_fill_with_nothing_is_copied(level: int) -> None:
    colour = np.random.default_rng(0).integers(0, 256, (9, 11, 3), dtype=np.uint8)
    assert solidified(colour, np.full((9, 11, 1), level, np.uint8)) is colour


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (17, 1), (33, 65)])
def test_any_size_is_filled(shape: tuple[int, int]) -> None:
    colour = np.full((*shape, 1), 90, np.uint8)
    alpha = np.zeros((*shape, 1), np.uint8)
    colour[0, 0], alpha[0, 0] = 10, 255
    expected = 10 if shape != (1, 1) else colour
    assert (solidified(colour, alpha) == expected).all()
