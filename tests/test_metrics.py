"""PSNR and SSIM by the convention of published tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srn_deploy.errors import OptionError
from srn_deploy.image import read_image
from srn_deploy.image.bicubic import resize
from srn_deploy.quality.metrics import cropped, luma, psnr, psnr_y, ssim, ssim_y

# The reference took Y in float32: its rounding moves a PSNR by less than this.
PSNR_DB = 1e-4
SSIM = 1e-6
# Sums of float64 numbers.
FLOAT64 = 1e-9


@pytest.fixture(scope="module")
def reference(data: Path) -> dict[str, Any]:
    """PSNR and SSIM of published checkpoints, computed by their authors' code."""
    models: dict[str, Any] = json.loads((data / "reference" / "reference_numbers.json").read_text())["models"]
    return models


@pytest.mark.parametrize("name", ["Set5", "Set14"])
def test_scores_of_the_official_outputs_equal_the_reference(data: Path, reference: dict[str, Any], name: str) -> None:
    outputs = sorted((data / "reference" / "srn_team25_outputs" / name / "x4").iterdir())
    assert len(outputs) == int(name.removeprefix("Set"))
    for path in outputs:
        sr = read_image(path).as_rgb8()
        hr = read_image(data / "images" / name / "x4" / "HR" / path.name).as_rgb8()[:sr.shape[0], :sr.shape[1]]
        expected = reference["srn_team25_x4"][name]["per_image"][path.name]
        assert psnr_y(sr, hr, border_px=4) == pytest.approx(expected["psnr_y"], abs=PSNR_DB), path.name
        assert ssim_y(sr, hr, border_px=4) == pytest.approx(expected["ssim_y"], abs=SSIM), path.name
        assert psnr(cropped(sr, 4), cropped(hr, 4)) == pytest.approx(expected["psnr_rgb"], abs=PSNR_DB), path.name


@pytest.mark.parametrize("scale", [2, 4])
def test_bicubic_upscaling_scores_as_in_the_reference(data: Path, reference: dict[str, Any], scale: int) -> None:
    folder = data / "images" / "Set5" / f"x{scale}"
    for path in sorted((folder / "LR").iterdir()):
        lr = read_image(path).as_rgb8()
        height, width = lr.shape[0] * scale, lr.shape[1] * scale
        sr = np.clip(np.rint(resize(lr, height, width)), 0, 255).astype(np.uint8)
        hr = read_image(folder / "HR" / path.name).as_rgb8()[:height, :width]
        expected = reference[f"bicubic_x{scale}"]["Set5"]["per_image"][path.name]
        assert psnr_y(sr, hr, border_px=scale) == pytest.approx(expected["psnr_y"], abs=PSNR_DB), path.name


def test_an_error_of_one_level_everywhere_is_48_decibels() -> None:
    dark = np.zeros((4, 4), np.uint8)
    assert psnr(dark, dark + 1) == pytest.approx(20 * np.log10(255), abs=FLOAT64)


def test_equal_images_have_infinite_psnr_and_an_ssim_of_one() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (20, 21, 3)).astype(np.uint8)
    assert psnr_y(picture, picture, border_px=2) == float("inf")
    assert ssim_y(picture, picture, border_px=2) == pytest.approx(1.0, abs=FLOAT64)


def test_an_error_in_the_cropped_border_does_not_count() -> None:
    picture = np.full((20, 20, 3), 90, np.uint8)
    spoilt = picture.copy()
    spoilt[:2] = 200
    assert psnr_y(picture, spoilt, border_px=2) == float("inf")
    assert psnr_y(picture, spoilt, border_px=1) < 40


def test_levels_do_not_wrap_around_in_a_difference() -> None:
    assert psnr(np.array([[0]], np.uint8), np.array([[255]], np.uint8)) == 0


@pytest.mark.parametrize(("rgb", "y"), [((0, 0, 0), 16), ((255, 255, 255), 235), ((255, 0, 0), 81.481)])
def test_luma_is_bt601_in_the_studio_range(rgb: tuple[int, int, int], y: float) -> None:
    assert luma(np.array([[rgb]], np.uint8))[0, 0] == pytest.approx(y, abs=FLOAT64)


@pytest.mark.parametrize("measure", [psnr, ssim])
def test_images_of_different_sizes_are_refused_and_not_broadcast(measure: Any) -> None:
    with pytest.raises(OptionError, match="cannot be compared"):
        measure(np.zeros((12, 12)), np.zeros((1, 12)))


def test_ssim_of_a_image_below_its_window_is_refused() -> None:
    with pytest.raises(OptionError, match="at least 11"):
        ssim(np.zeros((10, 30)), np.zeros((10, 30)))


def test_a_border_that_leaves_nothing_is_refused() -> None:
    with pytest.raises(OptionError, match="cannot be cropped"):
        cropped(np.zeros((8, 20)), 4)
