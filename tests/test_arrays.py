"""Every kind of array: grey, RGB and RGBA, 8 and 16 bits and float; what alpha does to colour."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from srn_deploy.backends.onnx_runtime import OnnxRuntimeBackend
from srn_deploy.errors import UnsuitableBatch
from srn_deploy.image.bicubic import resize
from srn_deploy.inference.guard import Guard
from srn_deploy.inference.setup import Setup
from srn_deploy.inference.sizing import upscale_array
from srn_deploy.inference.upscale import upscale_rgb
from srn_deploy.registry.resolve import resolve
from srn_deploy.registry.shipped import shipped_models
from srn_deploy.tiling.windows import TileOptions
from tests.fakes import NearestBackend


@pytest.fixture(scope="module")
def float_model() -> Iterator[OnnxRuntimeBackend]:
    """A shipped network with float pixels: its output lies between the steps of every integer type."""
    backend = OnnxRuntimeBackend(shipped_models()["srn-s-b4-x4"].float_graph.checked_path())
    yield backend
    backend.close()


def drawn(dtype: type[np.generic], channels: tuple[int, ...]) -> NDArray[Any]:
    """A smooth random image of 50 x 61 px; as alpha it is transparent, opaque and in between."""
    random = np.random.default_rng(3)
    image = resize(random.uniform(-0.2, 1.2, (12, 15, *(channels or (1,)))), 50, 61).clip(0, 1)
    levels = image * {np.uint8: 255, np.uint16: 65535}.get(dtype, 1)
    return levels.reshape(50, 61, *channels).astype(dtype)


@pytest.mark.parametrize("tile", [None, 32])
@pytest.mark.parametrize("channels", [(), (1,), (3,), (4,)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_watching_changes_no_pixel(float_model: OnnxRuntimeBackend, dtype: type[np.generic],
                                   channels: tuple[int, ...], tile: int | None) -> None:
    image, tiles = drawn(dtype, channels), TileOptions(tile=tile, halo=6)
    off, _ = upscale_array(image, Setup(float_model, tiles=tiles, guard=Guard.OFF))
    warn, _ = upscale_array(image, Setup(float_model, tiles=tiles, guard=Guard.WARN))
    np.testing.assert_array_equal(off, warn)
    assert off.dtype == dtype
    assert off.shape == (200, 244, *channels)
    assert len(np.unique(off)) > 100  # not flat, where every way would agree


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_grey_is_the_luma_of_what_the_network_makes_of_equal_rgb(float_model: OnnxRuntimeBackend,
                                                                dtype: type[np.generic]) -> None:
    grey = drawn(dtype, (1,))
    upscaled, _ = upscale_array(grey, Setup(float_model, guard=Guard.OFF))
    rgb = upscale_rgb(np.repeat(grey, 3, axis=2), float_model).astype(np.float64)
    luma = rgb @ [0.299, 0.587, 0.114]
    assert np.abs(upscaled[..., 0] - luma).max() <= (1e-6 if dtype is np.float32 else 0.51)


@pytest.mark.parametrize("shape", [(70, 91), (70, 91, 1), (70, 91, 3), (70, 91, 4)])
def test_every_kind_of_array_comes_back_in_its_kind(shape: tuple[int, ...]) -> None:
    picture = np.random.default_rng(0).integers(128, 255, shape, dtype=np.uint8)  # as alpha too: all of it is seen
    upscaled, _ = upscale_array(picture, Setup(NearestBackend(), tiles=TileOptions(tile=32)))
    np.testing.assert_array_equal(upscaled, picture.repeat(2, 0).repeat(2, 1))


@pytest.mark.parametrize("shape", [(4, 4, 2), (4,), (0, 4, 3)])
def test_what_is_not_an_image_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UnsuitableBatch):
        upscale_array(np.zeros(shape, np.uint8), Setup(NearestBackend()))


def test_constant_alpha_costs_no_second_pass() -> None:
    backend, picture = NearestBackend(), np.full((20, 30, 4), 255, np.uint8)
    upscaled, _ = upscale_array(picture, Setup(backend))
    assert len(backend.shapes) == 1
    assert (upscaled == 255).all()


def test_colour_below_full_transparency_does_not_bleed_into_the_edge() -> None:
    picture = np.zeros((48, 48, 4), np.uint8)
    picture[:, 24:] = (200, 150, 100, 255)  # visible; the other half is transparent black
    backend = OnnxRuntimeBackend(resolve("srn-s-b4-x4").path)
    upscaled, _ = upscale_array(picture, Setup(backend))
    seen = upscaled[..., 3] > 0
    bled = upscale_rgb(picture[..., :3], backend)
    # The network moves even a plain colour by a few levels; black beyond the edge pulls it down by dozens.
    assert np.abs(upscaled[seen][:, :3].astype(int) - [200, 150, 100]).max() <= 8
    assert np.abs(bled[seen].astype(int) - [200, 150, 100]).max() >= 40


def test_away_from_its_edges_alpha_is_exactly_opaque_or_transparent() -> None:
    rows, cols = np.mgrid[0:64, 0:64] - 32
    disc = np.hypot(rows, cols) < 20
    picture = np.dstack([np.full((64, 64, 3), 150, np.uint8), np.where(disc, 255, 0).astype(np.uint8)])
    upscaled, _ = upscale_array(picture, Setup(OnnxRuntimeBackend(resolve().path)))
    distance = np.abs(np.hypot(*(np.mgrid[0:256, 0:256] / 4 - 31.9)) - 20)
    inside = np.hypot(*(np.mgrid[0:256, 0:256] / 4 - 31.9)) < 20
    assert (upscaled[..., 3][inside & (distance > 5)] == 255).all()
    assert (upscaled[..., 3][~inside & (distance > 5)] == 0).all()
