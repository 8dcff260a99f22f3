"""Scale, smallest side and multiple of the sides, found by running networks that say nothing about them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from srn_deploy.errors import OutOfMemory, UnsuitableBatch, UnsuitableNetwork
from srn_deploy.measurement.sizes import Sizes, measure_sizes, taking_any_size
from tests.outside_networks import (
    Halved,
    Local,
    Reflecting,
    Returning,
    SpatialAttention,
    Unshuffled,
    Windowed,
    running,
)


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 8])
def test_the_scale_is_found_from_any_size(scale: int) -> None:
    assert measure_sizes(running(Local, scale)) == Sizes(scale=scale, min_side_px=1, size_multiple_px=1)


def test_a_network_on_luma_is_measured_with_one_channel() -> None:
    assert measure_sizes(running(Local, 2, 1, 1), channels=1).scale == 2


@pytest.mark.parametrize("block", [2, 4, 8, 16])
def test_sides_that_must_be_multiples_of_a_power_of_two_are_found(block: int) -> None:
    assert measure_sizes(running(Unshuffled, block)) == Sizes(scale=2, min_side_px=block, size_multiple_px=block)


@pytest.mark.parametrize("window", [3, 5, 6, 7, 10, 12, 24])
def test_sides_that_must_be_multiples_of_a_window_are_found(window: int) -> None:
    assert measure_sizes(running(Windowed, window)) == Sizes(scale=2, min_side_px=window, size_multiple_px=window)


def test_sides_with_a_wrong_result_count_as_not_taken() -> None:
    assert measure_sizes(running(Halved)) == Sizes(scale=2, min_side_px=2, size_multiple_px=2)


@pytest.mark.parametrize(("padding", "smallest"), [(4, 5), (40, 41), (49, 50)])
def test_the_smallest_side_of_a_padding_by_reflection_is_found(padding: int, smallest: int) -> None:
    assert measure_sizes(running(Reflecting, padding)).min_side_px == smallest


@pytest.mark.parametrize("smallest", [65, 131, 301, 512])
def test_smallest_sides_of_some_hundred_pixels_are_found(smallest: int) -> None:
    def picky(image: NDArray[np.float32]) -> NDArray[np.float32]:
        if min(image.shape[2:]) < smallest:
            raise UnsuitableBatch("Too small.", remedy="Give a larger image.")
        return image

    assert measure_sizes(picky) == Sizes(scale=1, min_side_px=smallest, size_multiple_px=1)


def test_the_smallest_side_of_pooled_cells_is_found() -> None:
    assert measure_sizes(running(SpatialAttention)) == Sizes(scale=2, min_side_px=15, size_multiple_px=1)


def test_the_smallest_side_is_the_one_above_the_last_gap() -> None:
    """Sides 1 to 3 work by chance, 4 to 8 do not: bisection alone would answer 1."""
    class WithGap(Local):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            if 4 <= min(image.shape[2:]) <= 8:
                raise RuntimeError("nothing is left to pool")
            return super().forward(image)

    assert measure_sizes(running(WithGap)).min_side_px == 9


def test_a_smallest_side_of_the_height_alone_holds_for_both() -> None:
    class High(Local):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            if image.shape[2] < 20:
                raise RuntimeError("too low")
            return super().forward(image)

    assert measure_sizes(running(High)).min_side_px == 20


@pytest.mark.parametrize(("network", "arguments"), [(Local, ()), (Unshuffled, (8,)), (SpatialAttention, ())])
def test_a_measurement_takes_a_few_dozen_small_passes(network: type[nn.Module], arguments: tuple[int, ...]) -> None:
    run = running(network, *arguments)
    measure_sizes(run)
    assert len(run.sizes) <= 40
    assert sum(height * width for height, width in run.sizes) <= 24 * 64**2


def test_a_network_that_fails_at_every_size_is_refused_with_its_reason() -> None:
    with pytest.raises(UnsuitableNetwork, match=r"48 x 48 to 512 x 512 px: fails: mat1 and mat2") as caught:
        measure_sizes(running(Returning, "always"))
    assert "settings are right" in caught.value.remedy


@pytest.mark.parametrize(("mistake", "reason"), [
    ("cropped", "gives 246 x 246 px"), ("infinite", "gives values that are not finite"),
    ("grey", r"gives \(1, 1, 256, 256\) for \(1, 3, 128, 128\)"), ("list", r"gives \(3, 256, 256\)")])
def test_a_result_that_is_no_enlargement_is_refused_by_what_it_is(mistake: str, reason: str) -> None:
    run = running(Returning, mistake)
    with pytest.raises(UnsuitableNetwork, match=reason):
        measure_sizes(run)
    assert max(run.sizes) <= (128, 128)


@pytest.mark.parametrize(("rows", "cols"), [(2, 4), (1, 2)])
def test_a_scale_that_differs_between_height_and_width_is_refused(rows: int, cols: int) -> None:
    class Stretching(Returning):
        def __init__(self) -> None:
            super().__init__("", rows, cols)

    with pytest.raises(UnsuitableNetwork, match=rf"gives {rows * 128} x {cols * 128} px"):
        measure_sizes(running(Stretching))


@pytest.mark.parametrize(("mistake", "reason"), [
    ("fixed", r"takes images of 64 x 64 px, but not of .*: at 65 x 65 px it fails: expected 64 x 64"),
    ("square", r"takes images of 48 x 48, 49 x 49, .*: at 50 x 51 px it fails: expected a square"),
    ("small", r"at 97 x 48 px it fails: no position beyond 70")])
def test_sizes_that_follow_no_rule_are_refused_with_an_example(mistake: str, reason: str) -> None:
    with pytest.raises(UnsuitableNetwork, match=reason):
        measure_sizes(running(Returning, mistake))


def test_memory_that_runs_out_is_no_size_that_is_not_taken() -> None:
    def exhausted(image: NDArray[np.float32]) -> NDArray[np.float32]:
        raise OutOfMemory("No memory is left.", remedy="Free some.")

    with pytest.raises(OutOfMemory):
        measure_sizes(exhausted)


@pytest.mark.parametrize("size", [(1, 1), (5, 70), (16, 8)])
def test_with_padding_a_network_takes_images_of_every_size(size: tuple[int, int]) -> None:
    image = np.random.default_rng(0).random((1, 3, *size), dtype=np.float32)
    run = taking_any_size(running(Unshuffled, 8), Sizes(scale=2, min_side_px=8, size_multiple_px=8))
    assert run(image).shape == (1, 3, 2 * size[0], 2 * size[1])


def test_what_is_padded_is_a_reflection() -> None:
    image = np.random.default_rng(0).random((1, 3, 5, 6), dtype=np.float32)
    padded: list[NDArray[np.float32]] = []

    def remembered(given: NDArray[np.float32]) -> NDArray[np.float32]:
        padded.append(given)
        return given

    taking_any_size(remembered, Sizes(scale=1, min_side_px=8, size_multiple_px=8))(image)
    assert np.array_equal(padded[0][:, :, :5, :6], image)
    assert np.array_equal(padded[0][:, :, 5:8, 6:8], image[:, :, 3:0:-1, 4:2:-1])
