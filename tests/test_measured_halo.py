"""The halo of a network, found by tiling whole images and comparing them with themselves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from srn_deploy.backends.pytorch import PyTorchBackend
from srn_deploy.errors import OptionError, TilingError
from srn_deploy.external import prepare
from srn_deploy.graph.onnx_file import spec_of
from srn_deploy.grid import ESA_GRID
from srn_deploy.measurement.halo import EXACT_LEVELS, MOST_LEVELS, HaloFound, find_halo
from srn_deploy.spec import Form, PixelType
from srn_deploy.tiling.interpolation import Geometry
from srn_deploy.verification.sample_images import sample_images
from tests.fakes import NEAREST, NearestBackend
from tests.networks import seeded_network

FLOAT = replace(NEAREST, pixel_type=PixelType.FLOAT32)


@dataclass
class Blurring(NearestBackend):
    """Adds a part of the pixels at some distances, and nothing of what lies outside; then repeats every pixel."""

    parts: Sequence[tuple[int, float]] = ()

    def run(self, batch: NDArray[Any], geometry: Geometry | None = None) -> NDArray[Any]:
        self.shapes.append(batch.shape)
        mixed = batch.astype(np.float64)
        for distance, part in self.parts:
            for axis in (1, 2):
                for shift in (distance, -distance):
                    mixed += part * self.shifted(batch, shift, axis)
        return mixed.astype(batch.dtype).repeat(2, axis=1).repeat(2, axis=2)

    @staticmethod
    def shifted(batch: NDArray[Any], shift: int, axis: int) -> NDArray[Any]:
        """Rolled, with zeros for what came from the other end."""
        rolled = np.moveaxis(np.roll(batch, shift, axis=axis), axis, 0).copy()
        rolled[:shift] = rolled[:shift] if shift < 0 else 0
        rolled[shift:] = rolled[shift:] if shift > 0 else 0
        return np.moveaxis(rolled, 0, axis)


def images() -> list[NDArray[np.uint8]]:
    """Two with odd sides."""
    return list(sample_images())[1:]


def test_the_halo_of_a_local_network_is_its_reach_and_is_confirmed_once() -> None:
    found = find_halo(Blurring(spec=FLOAT, parts=((9, 0.5),)), images(), reach_px=9)
    assert found == HaloFound(halo_px=9, worst_levels=0.0, exact_at=9, tried={9: 0.0})


def test_a_reach_that_is_too_short_is_not_confirmed() -> None:
    found = find_halo(Blurring(spec=FLOAT, parts=((9, 0.5),)), images(), reach_px=8)
    assert (found.halo_px, found.exact_at) == (None, None)
    assert found.worst_levels == found.tried[8] > MOST_LEVELS


def test_of_a_long_reach_no_more_is_taken_than_is_needed() -> None:
    found = find_halo(Blurring(spec=FLOAT, parts=((70, 0.0005), (20, 0.5))), images(), reach_px=70)
    assert (found.halo_px, found.exact_at) == (24, 70)
    assert EXACT_LEVELS < found.worst_levels <= MOST_LEVELS
    assert max(found.tried) == 70


def test_without_a_known_reach_the_smallest_halo_is_found() -> None:
    found = find_halo(Blurring(spec=FLOAT, parts=((30, 0.5),)), images())
    assert (found.halo_px, found.exact_at, found.worst_levels) == (32, 32, 0.0)


def test_a_halo_that_is_small_by_chance_is_not_taken() -> None:
    """Small at a halo is not monotone: here 40 px would do and 48 px would not."""
    class Deceptive(Blurring):
        def run(self, batch: NDArray[Any], geometry: Geometry | None = None) -> NDArray[Any]:
            worse = any(side in range(2 * 48 + 1, 2 * 48 + 33) for side in batch.shape[1:3])
            return super().run(batch) + np.float32(0.1 * worse)

    found = find_halo(Deceptive(spec=FLOAT), images())
    assert found.halo_px == 56
    assert found.tried[48] > MOST_LEVELS
    assert 40 not in found.tried


def test_what_strips_do_not_show_images_cut_in_both_directions_do() -> None:
    class Diagonal(Blurring):
        def run(self, batch: NDArray[Any], geometry: Geometry | None = None) -> NDArray[Any]:
            far = self.shifted(self.shifted(batch, 33, 1), 33, 2)
            return (batch + 0.5 * far).astype(batch.dtype).repeat(2, axis=1).repeat(2, axis=2)

    found = find_halo(Diagonal(spec=FLOAT), images())
    assert found.halo_px == 40


def test_no_halo_is_found_where_none_will_do() -> None:
    found = find_halo(Blurring(spec=FLOAT, parts=((200, 0.5), (150, 0.5))), images())
    assert (found.halo_px, found.exact_at, list(found.tried)) == (None, None, [128])
    assert found.worst_levels > MOST_LEVELS


def test_every_remainder_of_the_sides_is_run_in_both_images() -> None:
    backend = Blurring(spec=replace(FLOAT, alignment_px=6, min_side_px=15), parts=((3, 0.5),))
    assert find_halo(backend, images(), reach_px=3).halo_px == 3
    wholes = [shape[1:3] for shape in backend.shapes if min(shape[1:3]) > 40]  # windows are smaller
    assert {side % 6 for size in wholes for side in size} == set(range(6))
    assert sum(height % 2 for height, _ in wholes) >= 3


def test_sides_are_multiples_of_what_the_network_takes() -> None:
    backend = Blurring(spec=replace(FLOAT, size_multiple_px=8), parts=((11, 0.5),))
    found = find_halo(backend, images(), reach_px=11)
    assert (found.halo_px, found.exact_at) == (16, 16)
    assert all(side % 8 == 0 for shape in backend.shapes for side in shape[1:3])


@pytest.mark.parametrize("halo", [0, 3, 24])
def test_images_are_cut_in_both_directions_whatever_the_smallest_side(halo: int) -> None:
    backend = Blurring(spec=replace(FLOAT, min_side_px=70), parts=((halo, 0.5),) if halo else ())
    assert find_halo(backend, images(), reach_px=halo).halo_px == halo
    height, width = max(shape[1:3] for shape in backend.shapes)
    assert any(shape[1] < height and shape[2] < width and min(shape[1:3]) >= 70 for shape in backend.shapes)


def test_pixels_of_8_bits_are_compared_in_levels() -> None:
    found = find_halo(Blurring(parts=((20, 0.5),)), [image // 2 for image in images()])
    assert (found.halo_px, found.worst_levels) == (24, 0.0)


def test_a_network_with_esa_is_exact_from_some_halo_on() -> None:
    backend = PyTorchBackend(seeded_network(scale=2, channels=4, esa_channels=2, blocks=1))
    found = find_halo(backend, images())
    assert found.halo_px is not None
    assert found.exact_at is not None
    assert found.halo_px <= found.exact_at <= 66
    assert found.halo_px % ESA_GRID.cell_px == 0


def test_with_statistics_over_the_whole_image_nothing_is_run() -> None:
    backend = Blurring(spec=replace(FLOAT, pools_whole_picture=True))
    assert find_halo(backend, images()) == HaloFound(halo_px=None, worst_levels=math.inf, exact_at=None, tried={})
    assert backend.shapes == []


def test_a_portable_graph_with_a_grid_cannot_be_tiled() -> None:
    backend = Blurring(spec=replace(FLOAT, form=Form.PORTABLE, grids=(ESA_GRID,), min_side_px=15))
    with pytest.raises(TilingError, match="portable graph"):
        find_halo(backend, images())


def test_one_image_is_not_enough() -> None:
    with pytest.raises(OptionError, match="two images"):
        find_halo(NearestBackend(), images()[:1])


@dataclass
class Padding(NearestBackend):
    """Adds to every pixel the mean of its block of 8 x 8, as networks do that pad their image to multiples inside."""

    def run(self, batch: NDArray[Any], geometry: Geometry | None = None) -> NDArray[Any]:
        self.shapes.append(batch.shape)
        height, width = batch.shape[1:3]
        padded = np.pad(batch, ((0, 0), (0, -height % 8), (0, -width % 8), (0, 0)), mode="edge")
        blocks = padded.reshape(len(batch), padded.shape[1] // 8, 8, padded.shape[2] // 8, 8, -1).mean(axis=(2, 4))
        mixed = (batch + blocks.repeat(8, axis=1).repeat(8, axis=2)[:, :height, :width]).astype(batch.dtype)
        return mixed.repeat(2, axis=1).repeat(2, axis=2)


@pytest.mark.parametrize("reach_px", [7, 13, 16, 32, 40, None])
def test_blocks_that_a_network_hides_are_seen_and_served_by_a_step_of_the_windows(reach_px: int | None) -> None:
    assert find_halo(Padding(spec=FLOAT), images(), reach_px).halo_px is None
    aligned = find_halo(Padding(spec=replace(FLOAT, alignment_px=8)), images(), reach_px and -(-reach_px // 8) * 8)
    assert aligned.halo_px is not None


def test_the_smallest_step_with_which_tiles_are_equal_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(graph: onnx.ModelProto, reach_px: int | None) -> HaloFound:
        return find_halo(Padding(spec=spec_of(graph, "the graph")), images(), reach_px)

    monkeypatch.setattr(prepare, "_halo", measured)
    spec, found = prepare._with_steps(onnx.ModelProto(), FLOAT, 7)
    assert found is not None
    assert (spec.alignment_px, found.halo_px) == (8, 8)
