"""A tiled picture equals the whole one, on networks that see the whole picture through ESA."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from srn_deploy.architectures.checkpoint import LoadedNetwork, save_checkpoint
from srn_deploy.backends.onnx_runtime import OnnxRuntimeBackend
from srn_deploy.backends.pytorch import PyTorchBackend
from srn_deploy.graph.export import ExportOptions
from srn_deploy.inference.upscale import upscale_rgb
from srn_deploy.spec import PixelType
from srn_deploy.tiling.tiles import reflected
from srn_deploy.tiling.windows import TileOptions
from srn_deploy.verification.export_proof import export_and_prove
from tests.networks import large_picture, seeded_network

ONE_LEVEL = 1 / 255
"""The promise: no pixel of a tiled picture is further from the whole one."""

SMALL: dict[str, Any] = {"scale": 2, "channels": 16, "esa_channels": 8}

ESA_NETWORKS = [
    {"blocks": blocks, "attention": attention, "residual": residual, "last_conv": last_conv}
    for blocks, attention, residual, last_conv in (
        (1, "new", False, False), (4, "new", False, False), (6, "new", False, False), (6, "new", False, True),
        (6, "new", True, False), (6, "new", True, True),
        (1, "old", True, False), (4, "old", False, False), (6, "old", True, False), (6, "old", True, True))
]


def worst_difference(loaded: LoadedNetwork, picture: NDArray[np.float32], tiles: TileOptions) -> float:
    """Of the tiled from the whole picture, in 0..1."""
    backend = PyTorchBackend(loaded)
    whole = upscale_rgb(picture, backend, TileOptions(tile=None))
    return float(np.abs(upscale_rgb(picture, backend, tiles) - whole).max())


def naive(loaded: LoadedNetwork) -> LoadedNetwork:
    """The same network, run on tiles as if each were a whole picture."""
    return LoadedNetwork(network=loaded.network, spec=replace(loaded.spec, grids=()))


@pytest.mark.parametrize("options", ESA_NETWORKS, ids=lambda o: "-".join(map(str, o.values())))
def test_tiles_are_within_one_level_of_the_whole_at_the_default_halo(options: dict[str, Any]) -> None:
    loaded = seeded_network(**SMALL, **options)
    side = 2 * loaded.spec.halo_px + 2 * 48 + 37  # several tiles each way; all four edges, an odd side
    assert worst_difference(loaded, large_picture(side, side + 22), TileOptions(tile=48)) < ONE_LEVEL


@pytest.mark.parametrize("options", ESA_NETWORKS, ids=lambda o: "-".join(map(str, o.values())))
def test_the_naive_way_fails_the_same_bar(options: dict[str, Any]) -> None:
    loaded = seeded_network(**SMALL, **options)
    side = 2 * loaded.spec.halo_px + 2 * 48 + 37
    tiles = TileOptions(tile=48, halo=loaded.spec.halo_px)
    assert worst_difference(naive(loaded), large_picture(side, side + 22), tiles) > ONE_LEVEL


@pytest.mark.parametrize(("height", "width"), [(157, 163), (161, 200), (150, 301), (289, 97), (192, 150)])
def test_odd_sides_and_sides_off_the_grid_tile_exactly(height: int, width: int) -> None:
    loaded = seeded_network(**SMALL, blocks=1)
    assert worst_difference(loaded, large_picture(height, width), TileOptions(tile=32)) < ONE_LEVEL


@pytest.mark.parametrize("options", [{"attention": "none", "residual": True}, {"attention": "none", "last_conv": True}])
def test_without_esa_tiles_equal_the_whole_up_to_rounding(options: dict[str, Any]) -> None:
    loaded = seeded_network(**SMALL, blocks=3, **options)
    # The halo is the whole receptive field: only the order of float32 sums differs with the shape.
    assert worst_difference(loaded, large_picture(120, 131), TileOptions(tile=32)) < 1e-5


def test_the_teachers_halo_is_its_receptive_field() -> None:
    loaded = seeded_network("edsr", scale=4, channels=8, blocks=3)
    picture = large_picture(90, 101)
    backend = PyTorchBackend(loaded)
    whole = backend.run(picture[None])[0]
    tiled = upscale_rgb(picture, backend, TileOptions(tile=32))
    np.testing.assert_allclose(tiled, whole, atol=1e-5)  # summation order alone


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 40), (3, 5), (14, 14), (14, 200), (9, 16)])
def test_a_image_below_fifteen_pixels_equals_its_reflected_self(height: int, width: int) -> None:
    loaded = seeded_network(**SMALL, blocks=2)
    backend, picture = PyTorchBackend(loaded), large_picture(height, width)
    expected = backend.run(reflected(picture, 15, 15)[None])[0][:2 * height, :2 * width]
    # Up to rounding: the matrices and torch's own interpolation sum in another order.
    np.testing.assert_allclose(upscale_rgb(picture, backend, TileOptions(tile=None)), expected, atol=1e-5)
    np.testing.assert_allclose(upscale_rgb(picture, backend, TileOptions(tile=32)), expected, atol=ONE_LEVEL)


def test_a_tile_larger_than_the_image_is_the_whole_image() -> None:
    assert worst_difference(seeded_network(**SMALL, blocks=2), large_picture(40, 47), TileOptions(tile=500)) == 0


@pytest.mark.parametrize("options", [{"blocks": 2}, {"blocks": 2, "attention": "old", "residual": True}])
def test_the_deploy_graph_tiles_as_exactly(options: dict[str, Any], tmp_path: Path) -> None:
    loaded = seeded_network(**SMALL, **options)
    checkpoint = tmp_path / "net.safetensors"
    save_checkpoint(checkpoint, loaded.network, architecture="srn", options=loaded.spec.options, value_range=1.0)
    graph = export_and_prove(checkpoint, tmp_path / "net.onnx", ExportOptions(pixel_type=PixelType.FLOAT32)).path
    side = 2 * loaded.spec.halo_px + 2 * 48 + 37
    backend, picture = OnnxRuntimeBackend(graph), large_picture(side, side + 22)
    whole = upscale_rgb(picture, backend, TileOptions(tile=None))
    assert np.abs(upscale_rgb(picture, backend, TileOptions(tile=48)) - whole).max() < ONE_LEVEL


def test_tiles_in_batches_equal_tiles_one_by_one() -> None:
    backend, picture = PyTorchBackend(seeded_network(**SMALL, blocks=2)), large_picture(150, 211)
    one_by_one = upscale_rgb(picture, backend, TileOptions(tile=32))
    batched = upscale_rgb(picture, backend, TileOptions(tile=32, tiles_per_batch=4))
    np.testing.assert_allclose(batched, one_by_one, atol=1e-5)  # summation order alone
