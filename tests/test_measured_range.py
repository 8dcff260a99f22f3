"""The value range of a network is the one with which it comes nearest to an original that is known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from srn_deploy.errors import OptionError
from srn_deploy.image.bicubic import resize
from srn_deploy.image.trial_image import trial_pair
from srn_deploy.measurement.sizes import Run, Sizes, taking_any_size
from srn_deploy.measurement.value_range import RangeFound, find_range
from tests.fitted_networks import fitted_network
from tests.outside_networks import Local, Returning, Running, Unshuffled, running

SRN: dict[str, Any] = {"scale": 2, "channels": 32, "esa_channels": 4, "blocks": 1}


def bicubic(scale: int, gain: float = 1.0, offset: float = 0.0) -> Run:
    """Bicubic interpolation as a network, in any range where the offset is 0."""
    def enlarged(image: NDArray[np.float32]) -> NDArray[np.float32]:
        sides = (scale * side for side in image.shape[2:])
        return (gain * resize(image[0].transpose(1, 2, 0), *sides) + offset).transpose(2, 0, 1)[None].astype(np.float32)
    return enlarged


@pytest.mark.parametrize("value_range", [1.0, 255.0])
def test_the_range_a_network_was_trained_in_is_found(value_range: float) -> None:
    found = find_range(Running(fitted_network("srn", value_range=value_range, **SRN)), scale=2)
    assert found.value_range == value_range
    assert found.psnr_db > max(found.other_db, found.bicubic_db) + 1


def test_the_best_of_the_given_candidates_is_taken() -> None:
    run = Running(fitted_network("srn", value_range=1.0, **SRN))
    assert find_range(run, scale=2, candidates=(65535.0, 1.0, 255.0, 2.0)).value_range == 1.0


def test_what_was_found_is_said_with_its_figures() -> None:
    found = RangeFound(value_range=1.0, psnr_db=24.31, other_db=8.2, bicubic_db=22.0)
    assert found.in_words == "value range 1 (by trying: 24.3 dB against 8.2)"


def test_a_single_candidate_is_measured_against_bicubic_alone() -> None:
    found = find_range(bicubic(2), scale=2, candidates=(255.0,))
    assert (found.value_range, found.other_db, found.in_doubt) == (255.0, -math.inf, False)
    assert found.in_words == f"value range 255 (by trying: {found.psnr_db:.1f} dB)"


@pytest.mark.parametrize(("gain", "super_resolves"), [(0.9, False), (1.0, True), (1.1, True)])
def test_a_network_super_resolves_where_it_beats_bicubic_by_one_decibel(gain: float, super_resolves: bool) -> None:
    found = RangeFound(value_range=1.0, psnr_db=22.0 + gain, other_db=5.0, bicubic_db=22.0)
    assert found.super_resolves is super_resolves


def test_bicubic_interpolation_does_not_super_resolve() -> None:
    found = find_range(bicubic(4), scale=4)
    assert found.psnr_db == pytest.approx(found.bicubic_db, abs=1e-3)
    assert not found.super_resolves


def test_ranges_that_cannot_be_told_apart_are_in_doubt_and_the_first_stands() -> None:
    found = find_range(bicubic(2), scale=2)
    assert (found.value_range, found.in_doubt) == (1.0, True)
    assert found.in_words.endswith(", in doubt)")


@pytest.mark.parametrize("mistake", ["constant", "infinite"])
def test_a_constant_or_infinite_result_does_not_super_resolve(mistake: str) -> None:
    found = find_range(running(Returning, mistake), scale=2)
    assert not found.super_resolves
    assert math.isfinite(found.psnr_db)


def test_an_untrained_network_does_not_super_resolve() -> None:
    assert not find_range(running(Local), scale=2).super_resolves


def test_luma_is_tried_on_luma() -> None:
    run = bicubic(2, offset=0.5)
    found = find_range(run, scale=2, channels=1)
    assert (found.value_range, found.in_doubt) == (255.0, False)
    assert found.psnr_db == pytest.approx(found.bicubic_db, abs=1.0)


def test_at_scale_one_the_better_range_is_found_but_nothing_super_resolves() -> None:
    found = find_range(bicubic(1, offset=0.5), scale=1)
    assert (found.value_range, found.super_resolves) == (255.0, False)


@pytest.mark.parametrize(("channels", "candidates"), [(2, (1.0,)), (4, (1.0,)), (3, ())])
def test_other_channels_and_no_candidates_are_refused(channels: int, candidates: tuple[float, ...]) -> None:
    with pytest.raises(OptionError, match="cannot be found"):
        find_range(bicubic(2), scale=2, channels=channels, candidates=candidates)


def test_a_network_that_takes_multiples_of_24_is_tried_on_the_padded_image() -> None:
    sizes: list[tuple[int, ...]] = []

    def remembered(image: NDArray[np.float32]) -> NDArray[np.float32]:
        sizes.append(image.shape[2:])
        return bicubic(2)(image)

    find_range(taking_any_size(remembered, Sizes(scale=2, min_side_px=24, size_multiple_px=24)), scale=2)
    assert set(sizes) == {(72, 72)}


def test_the_trial_image_fits_networks_on_blocks_of_up_to_64_px() -> None:
    assert trial_pair(2)[0].shape == (64, 64, 3)
    assert not find_range(running(Unshuffled, 64), scale=2).super_resolves
