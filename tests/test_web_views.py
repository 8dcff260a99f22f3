"""What is shown of a result: the part that is asked for, and the outlines of what the guard found."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from srn_deploy.image import Image, read_image, write_image
from srn_deploy.inference.guard import Verdict
from srn_deploy.web.views import MARK_RGB, Shown, View

SIDE = 32


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """A grey picture, and its result of twice the size."""
    for name, side in (("source.png", SIDE), ("target.png", 2 * SIDE)):
        write_image(tmp_path / name, Image(pixels=np.full((side, side, 3), 128, np.uint8)))
    return tmp_path / "source.png", tmp_path / "target.png"


def verdict() -> Verdict:
    """Blocks of 8 px, of which one is broken: rows 8 to 15 and columns 16 to 23."""
    edges = np.arange(0, SIDE + 1, 8)
    broken = np.zeros((4, 4), bool)
    broken[1, 2] = True
    return Verdict(broken=broken, row_edges=edges, col_edges=edges)


def marked(path: Path) -> tuple[list[int], list[int]]:
    """First and last (row, column) in the colour of outlines."""
    found = np.argwhere((read_image(path).pixels == MARK_RGB).all(axis=2))
    return found.min(axis=0).tolist(), found.max(axis=0).tolist()


def test_what_is_broken_is_looked_up_once_for_a_result_however_often_the_view_moves(
        pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked, mask = list[Verdict](), Verdict.mask

    def counted(one: Verdict) -> NDArray[np.bool_]:
        looked.append(one)
        return mask(one)

    monkeypatch.setattr(Verdict, "mask", counted)
    shown, found = Shown(), (verdict(),)
    before, after = shown.write(*pair, View(), tmp_path / "whole", found)
    assert marked(before) == marked(after) == ([16, 32], [31, 47])
    part = View(is_whole=False, across=0.6, down=0.4, width=32, height=24)  # from row 14 and column 22 on
    _, after = shown.write(*pair, part, tmp_path / "part", found)
    assert marked(after) == ([2, 10], [17, 25])
    shown.write(*pair, View(), tmp_path / "plain")
    shown.write(*pair, part, tmp_path / "again", found)
    assert len(looked) == 1


def test_without_outlines_the_picture_is_shown_as_it_is(pair: tuple[Path, Path], tmp_path: Path) -> None:
    _, after = Shown().write(*pair, View(), tmp_path / "plain")
    np.testing.assert_array_equal(read_image(after).pixels, read_image(pair[1]).pixels)


def test_a_result_that_is_smaller_than_the_frame_lies_in_its_middle_pixel_for_pixel(pair: tuple[Path, Path],
                                                                                    tmp_path: Path) -> None:
    view = View(is_whole=False, width=100, height=81)
    for path in Shown().write(*pair, view, tmp_path / "part"):
        seen = read_image(path)
        assert (seen.height, seen.width) == (81, 100)
        assert seen.alpha is not None
        inside = np.zeros((81, 100, 1), bool)
        inside[8:8 + 2 * SIDE, 18:18 + 2 * SIDE] = True
        np.testing.assert_array_equal(seen.alpha, inside * np.uint8(255))
        assert (seen.pixels[inside[..., 0]] == 128).all()
