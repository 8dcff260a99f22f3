"""The guard separates broken blocks from healthy ones: sharpening, smoothing and denoising pass, garbage does not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.hard_pictures import hard_pictures
from srn_deploy.backends.onnx_runtime import OnnxRuntimeBackend
from srn_deploy.errors import OptionError
from srn_deploy.image.bicubic import resize, resize_uint8
from srn_deploy.inference.guard import BLOCK_PX, Guard, area_averaged, inspect, local_means, signs_of
from srn_deploy.registry.resolve import resolve

SCALE = 4


def scene(height: int = 96, width: int = 80, channels: int = 3) -> NDArray[np.uint8]:
    """Soft shapes with an edge, seeded."""
    rows, cols = np.mgrid[0:height, 0:width]
    waves = 127 + 60 * np.sin(rows / 9)[..., None] * np.cos(cols[..., None] / np.array([7, 11, 13])[:channels])
    waves[:, width // 2:] *= 0.6
    return np.rint(waves).astype(np.uint8)


def enlarged(lr: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return resize_uint8(lr, lr.shape[0] * SCALE, lr.shape[1] * SCALE)


def test_the_area_average_is_the_mean_of_each_square() -> None:
    sr = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)
    expected = sr.astype(float).reshape(2, 4, 3, 4, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(area_averaged(sr, 4), expected, rtol=1e-6)  # float32
    np.testing.assert_allclose(area_averaged(sr.astype(np.uint16) * 257, 4), expected, rtol=1e-6)
    np.testing.assert_allclose(area_averaged(sr.astype(np.float32) / 255, 4), expected, rtol=1e-5)


def test_local_means_are_those_of_the_square_around_a_pixel() -> None:
    pixels = np.random.default_rng(0).random((7, 9, 1)).astype(np.float32)
    means = local_means(pixels, 2)
    assert means.shape == pixels.shape
    np.testing.assert_allclose(means[3, 4], pixels[1:6, 2:7].mean(), rtol=1e-5)
    np.testing.assert_allclose(means[0, 0], np.pad(pixels, ((2, 2), (2, 2), (0, 0)), mode="edge")[:5, :5].mean(),
                               rtol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_bicubic_is_healthy(channels: int) -> None:
    lr = scene(channels=channels)
    assert not inspect(lr, enlarged(lr), SCALE).broken.any()


def test_smoothing_noise_away_is_healthy() -> None:
    clean = scene()
    noisy = np.clip(clean + np.random.default_rng(0).normal(0, 40, clean.shape), 0, 255).astype(np.uint8)
    assert not inspect(noisy, enlarged(clean), SCALE).broken.any()


@pytest.mark.parametrize("name", sorted(hard_pictures()))
@pytest.mark.parametrize("model", ["srn-s-b4-x4-photo", "srn-s-b6-x2"])
def test_a_shipped_model_passes_on_what_breaks_others(model: str, name: str) -> None:
    backend, lr = OnnxRuntimeBackend(resolve(model).path), hard_pictures()[name]
    assert not inspect(lr, backend.run(lr[None])[0], backend.spec.scale).broken.any()


def garbage(kind: str, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    random = np.random.default_rng(1)
    return {"black": np.zeros(shape, np.uint8), "white": np.full(shape, 255, np.uint8),
            "coloured noise": 255 * random.integers(0, 2, shape, dtype=np.uint8),
            "one colour": np.broadcast_to(np.array([0, 255, 0], np.uint8), shape).copy()}[kind]


@pytest.mark.parametrize("kind", ["black", "white", "coloured noise", "one colour"])
def test_a_broken_part_is_found_where_it_is_and_nowhere_else(kind: str) -> None:
    lr = scene()
    sr = enlarged(lr)
    part = sr[32 * SCALE:56 * SCALE, 16 * SCALE:40 * SCALE]
    part[...] = garbage(kind, part.shape)
    verdict = inspect(lr, sr, SCALE)
    expected = np.zeros_like(verdict.broken)
    expected[32 // BLOCK_PX:56 // BLOCK_PX, 16 // BLOCK_PX:40 // BLOCK_PX] = True
    np.testing.assert_array_equal(verdict.broken, expected)
    assert verdict.first() == (32, 16)
    assert verdict.mask().sum() == 24 * 24


def test_black_on_dark_is_found() -> None:
    dark = np.random.default_rng(0).integers(3, 12, (40, 40, 3), dtype=np.uint8)  # mean 7: hardly to be seen
    assert inspect(dark, np.zeros((160, 160, 3), np.uint8), SCALE).broken.all()
    assert not inspect(dark // 4, np.zeros((160, 160, 3), np.uint8), SCALE).broken.any()


def test_nan_is_broken() -> None:
    lr = scene().astype(np.float32) / 255
    sr = resize(lr, 4 * lr.shape[0], 4 * lr.shape[1]).astype(np.float32)
    assert not inspect(lr, sr, SCALE).broken.any()
    sr[100, 50] = np.nan
    assert np.argwhere(inspect(lr, sr, SCALE).broken).tolist() == [[100 // 4 // BLOCK_PX, 50 // 4 // BLOCK_PX]]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_verdict_does_not_depend_on_the_depth(dtype: Any) -> None:
    factor = dtype(257 if dtype == np.uint16 else 1)
    lr = scene()
    sr = enlarged(lr)
    sr[:64, :64] = garbage("coloured noise", (64, 64, 3))
    assert inspect(lr * factor, sr * factor, SCALE).broken.sum() == 4
    nearly = np.full_like(lr, 240)  # only as far from white as tells that it is lost
    assert inspect(nearly * factor, np.full_like(sr, 255) * factor, SCALE).broken.all()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 15), (8, 9), (300, 17)])
def test_blocks_cover_images_of_any_size_and_bands_join(height: int, width: int) -> None:
    lr = scene(height, width)
    verdict = inspect(lr, enlarged(lr), SCALE)
    assert verdict.mask().shape == (height, width)
    assert np.diff(verdict.row_edges).min() >= min(height, BLOCK_PX)
    assert signs_of(lr, enlarged(lr), SCALE).stray.shape == verdict.broken.shape


def test_a_band_sees_across_its_border() -> None:
    lr = scene(600, 16)
    np.testing.assert_allclose(signs_of(lr, enlarged(lr), SCALE).stray[32:40],
                               signs_of(lr[200:400], enlarged(lr)[800:1600], SCALE).stray[7:15], atol=1e-3)


def test_an_unknown_guard_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(OptionError, match="off, warn, repair"):
        Guard.named("maybe")
