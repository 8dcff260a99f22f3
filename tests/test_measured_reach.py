"""How far a network looks, and whether it takes statistics over the whole image, found by disturbing pixels."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from srn_deploy.measurement.reach import measure_reach
from srn_deploy.measurement.sizes import Sizes, measure_sizes
from tests.outside_networks import (
    ChannelAttention,
    ContrastAttention,
    Local,
    MaximumAttention,
    SpatialAttention,
    SwallowedNaN,
    Unshuffled,
    Windowed,
    running,
)

ANY = Sizes(scale=2, min_side_px=1, size_multiple_px=1)


@pytest.mark.parametrize(("dilation", "reach"), [(1, 3), (2, 4), (5, 7), (40, 42)])
def test_the_reach_of_convolutions_is_exact_with_dilation(dilation: int, reach: int) -> None:
    assert measure_reach(running(Local, 2, dilation), ANY).px == reach


def test_the_reach_is_that_of_the_farther_direction() -> None:
    class Wide(Local):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Conv2d(4, 4, (3, 17), padding=(1, 8))

    assert measure_reach(running(Wide), ANY).px == 10


@pytest.mark.parametrize("scale", [1, 3])
def test_the_reach_is_in_pixels_of_the_input(scale: int) -> None:
    assert measure_reach(running(Local, scale), Sizes(scale=scale, min_side_px=1, size_multiple_px=1)).px == 3


@pytest.mark.parametrize("block", [2, 4, 8])
def test_the_reach_of_blocks_is_that_of_their_farthest_pixel(block: int) -> None:
    run = running(Unshuffled, block)
    assert measure_reach(run, measure_sizes(run)).px == 2 * block + block - 1


def test_the_reach_of_windows_spans_the_window() -> None:
    run = running(Windowed, 8)
    assert measure_reach(run, measure_sizes(run)).px == 2 + 7 + 1


def test_pooled_cells_end_somewhere_and_are_no_statistics() -> None:
    reach = measure_reach(running(SpatialAttention), Sizes(scale=2, min_side_px=15, size_multiple_px=1))
    assert not reach.whole_picture
    assert reach.px is not None
    assert 15 < reach.px < 60


def test_a_long_chain_of_pooled_cells_is_no_statistic() -> None:
    class Chain(SpatialAttention):
        def attended(self, features: torch.Tensor) -> torch.Tensor:
            for _ in range(7):
                features = super().attended(features)
            return features

    reach = measure_reach(running(Chain), Sizes(scale=2, min_side_px=15, size_multiple_px=1))
    assert reach.px is not None
    assert reach.px > 128


@pytest.mark.parametrize("network", [ChannelAttention, ContrastAttention, MaximumAttention])
def test_statistics_over_the_whole_image_are_seen(network: type[nn.Module]) -> None:
    reach = measure_reach(running(network), ANY)
    assert (reach.px, reach.whole_picture) == (None, True)


def test_the_mean_of_every_column_is_a_statistic_too() -> None:
    class Columns(Local):
        def attended(self, features: torch.Tensor) -> torch.Tensor:
            return features + features.mean(dim=2, keepdim=True)

    assert measure_reach(running(Columns), ANY).whole_picture


def test_a_swallowed_nan_does_not_shorten_the_reach() -> None:
    assert measure_reach(running(SwallowedNaN, 2, 20), ANY).px == 22


def test_relu_that_turns_nan_into_zero_does_not_hide_a_statistic() -> None:
    class Hidden(SwallowedNaN):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            upscaled = super().forward(image)
            mean = torch.nan_to_num(functional.relu(image)).mean(dim=(2, 3), keepdim=True)
            return upscaled + 0.1 * mean

    assert measure_reach(running(Hidden), ANY).whole_picture


def test_a_network_that_repeats_pixels_looks_nowhere_else() -> None:
    class Repeated(Local):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return functional.interpolate(image, scale_factor=2.0)

    assert measure_reach(running(Repeated), ANY).px == 0


def test_a_constant_network_looks_nowhere() -> None:
    class Constant(Local):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return torch.ones(1, 3, 2 * image.shape[2], 2 * image.shape[3])

    assert measure_reach(running(Constant), ANY).px == 0


@pytest.mark.parametrize("value_range", [1.0, 255.0])
def test_the_reach_does_not_depend_on_the_value_range(value_range: float) -> None:
    assert measure_reach(running(Local), ANY, value_range=value_range).px == 3
