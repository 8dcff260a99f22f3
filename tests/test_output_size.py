"""The size that is asked for: which size each result has, and which requests contradict themselves."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from srn_deploy.cli import result_options
from srn_deploy.errors import OptionError, UnwritableImage
from srn_deploy.image.output_size import MOST_SIDE_PX, OutputSize, parse_box
from srn_deploy.image.writing import LARGEST_SIDE_PX

SIDES = st.integers(1, 20_000)


@pytest.mark.parametrize(("asked", "size"), [
    (OutputSize(), (1356, 2040)), (OutputSize(scale=1.5), (509, 765)), (OutputSize(scale=4), (1356, 2040)),
    (OutputSize(width=1000), (665, 1000)), (OutputSize(height=678), (678, 1020)),
    (OutputSize(fit=(1080, 1920)), (1080, 1625)), (OutputSize(fit=(2000, 1000)), (665, 1000)),
    (OutputSize(max_side=1000), (665, 1000)), (OutputSize(max_side=5000), (1356, 2040)),
    (OutputSize(scale=2, max_side=1000), (665, 1000)), (OutputSize(scale=1.5, max_side=1000), (509, 765)),
    (OutputSize(scale=0.25), (85, 128)), (OutputSize(scale=0.0001), (1, 1)),
], ids=repr)
def test_an_image_of_510_x_339_and_a_model_of_x4_give(asked: OutputSize, size: tuple[int, int]) -> None:
    assert asked.of(339, 510, factor=4) == size


@pytest.mark.parametrize("asked", [OutputSize(scale=4.01), OutputSize(width=2041), OutputSize(height=1357),
                                   OutputSize(fit=(1357, 2041)), OutputSize(scale=1e9)], ids=repr)
def test_more_than_the_model_gives_is_refused_with_the_remedy(asked: OutputSize) -> None:
    with pytest.raises(UnwritableImage, match="that a model of x4 makes of 510 x 339 px") as refused:
        asked.of(339, 510, factor=4)
    assert "higher scale" in refused.value.remedy
    assert "once more" in refused.value.remedy


@given(SIDES, SIDES, SIDES, SIDES)
def test_what_fits_into_a_box_touches_two_of_its_sides_and_crosses_none(
        height: int, width: int, box_height: int, box_width: int) -> None:
    size = OutputSize(fit=(box_height, box_width)).of(height, width, factor=20_000)
    assert size[0] <= box_height
    assert size[1] <= box_width
    assert size[0] == box_height or size[1] == box_width


@given(SIDES, SIDES, st.floats(0.01, 4))
def test_a_scale_keeps_the_shape_to_half_a_pixel(height: int, width: int, scale: float) -> None:
    rows, columns = OutputSize(scale=scale).of(height, width, factor=4)
    assert abs(rows - height * scale) <= 0.5 + 1e-6 or rows == 1
    assert abs(columns - width * scale) <= 0.5 + 1e-6 or columns == 1


@given(SIDES, SIDES, st.integers(1, 8))
def test_the_model_s_own_size_can_be_asked_for_in_every_way(height: int, width: int, factor: int) -> None:
    whole = (height * factor, width * factor)
    for asked in (OutputSize(), OutputSize(scale=factor), OutputSize(width=whole[1]), OutputSize(height=whole[0]),
                  OutputSize(fit=whole), OutputSize(max_side=max(whole))):
        assert asked.of(height, width, factor=factor) == whole


@pytest.mark.parametrize("given", [{"width": 9, "height": 9}, {"scale": 2.0, "width": 9}, {"scale": 2.0, "fit": (9, 9)},
                                   {"width": 9, "fit": (9, 9)}, {"height": 9, "max_side": 9},
                                   {"fit": (9, 9), "max_side": 9}], ids=repr)
def test_two_that_contradict_each_other_are_refused(given: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=r"contradict|together") as refused:
        OutputSize(**given)
    assert all(name in str(refused.value) for name in given)


@pytest.mark.parametrize("given", [
    {"scale": 0}, {"scale": -1.5}, {"scale": float("nan")}, {"scale": float("inf")}, {"scale": "2"}, {"scale": True},
    {"width": 0}, {"height": -3}, {"width": 1.5}, {"max_side": 0}, {"max_side": MOST_SIDE_PX + 1}, {"fit": (0, 5)},
    {"fit": (5,)}, {"fit": 5}, {"fit": (5, "6")}, {"fit": (5, MOST_SIDE_PX + 1)}], ids=repr)
def test_a_size_of_nothing_or_beyond_every_format_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        OutputSize(**given)


@pytest.mark.parametrize("text", ["1920x1080", "1920×1080", " 1920x1080 "])
def test_a_box_is_typed_width_first(text: str) -> None:
    assert parse_box(text) == (1080, 1920)


def test_the_most_that_can_be_asked_for_is_what_the_largest_format_holds() -> None:
    assert max(LARGEST_SIDE_PX.values()) == MOST_SIDE_PX == result_options._MOST_SIDE_PX
