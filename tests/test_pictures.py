"""The shipped images are those that the script next to them draws."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.pictures.draw import folder_from
from srn_deploy.image import read_image
from srn_deploy.image.bicubic import resize_uint8

NAMES = ("demo.png", "demo_hr.png", "texture.png", "badge.png", "curves.png")


@pytest.fixture(scope="module")
def drawn(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every image drawn again."""
    folder = tmp_path_factory.mktemp("drawn")
    ended = subprocess.run([sys.executable, "-W", "error", "-m", "benchmarks.pictures.draw", str(folder)],
                           capture_output=True, text=True, check=False, cwd=repository)
    assert ended.returncode == 0, ended.stderr
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_image_is_the_one_that_the_script_draws(repository: Path, drawn: Path, name: str) -> None:
    shipped, again = read_image(repository / "benchmarks" / "pictures" / name), read_image(drawn / name)
    assert shipped.pixels.shape == again.pixels.shape
    difference = np.abs(shipped.pixels.astype(int) - again.pixels)
    # Another machine's sine and cubic interpolation can round to the next level.
    # The lettering is OpenCV's, whose fonts may change with its version: the boards fill less than 4 percent.
    assert (difference.max(axis=2) > 1).mean() < 0.04
    assert (shipped.alpha is None) == (again.alpha is None)
    if shipped.alpha is not None and again.alpha is not None:
        assert np.abs(shipped.alpha.astype(int) - again.alpha).max() <= 1


def test_asking_the_script_for_help_draws_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        folder_from(["--help"])
    assert ended.value.code == 0
    assert "folder" in capsys.readouterr().out


def test_the_low_resolution_image_is_the_high_one_at_a_quarter(repository: Path) -> None:
    folder = repository / "benchmarks" / "pictures"
    lr, hr = read_image(folder / "demo.png").pixels, read_image(folder / "demo_hr.png").pixels
    assert hr.shape == (4 * lr.shape[0], 4 * lr.shape[1], 3)
    assert np.abs(resize_uint8(hr, *lr.shape[:2]).astype(int) - lr).max() <= 1  # a value close to a half, rounded


def test_the_images_cover_grey_rgb_and_soft_transparency(repository: Path) -> None:
    folder = repository / "benchmarks" / "pictures"
    assert read_image(folder / "texture.png").pixels.shape[2] == 1
    assert read_image(folder / "curves.png").pixels.shape[2] == 3
    badge = read_image(folder / "badge.png")
    assert badge.alpha is not None
    assert len(np.unique(badge.alpha)) > 50


def test_the_images_stay_small(repository: Path) -> None:
    files = (repository / "benchmarks" / "pictures").glob("*.png")
    assert sum(path.stat().st_size for path in files) < 2_000_000
