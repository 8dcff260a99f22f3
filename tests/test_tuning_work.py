"""What is upscaled to find the fastest way: a drawn image, the middle of a large one, three of a folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from srn_deploy.benchmark.tuning_work import MOST_SIDE_PX, drawn_work, work_on
from srn_deploy.errors import UnreadableImage
from srn_deploy.image import Image, read_image, write_image


def test_work_of_a_size_is_one_image_of_it(tmp_path: Path) -> None:
    drawn = drawn_work((300, 200), tmp_path)
    assert (drawn.size, drawn.megapixels, len(drawn.jobs)) == ((300, 200), 0.06, 1)
    assert read_image(drawn.jobs[0].source).pixels.shape == (300, 200, 3)


def test_of_a_large_image_the_middle_is_taken(tmp_path: Path) -> None:
    pixels = np.zeros((MOST_SIDE_PX + 20, 40, 3), np.uint8)
    pixels[10:-10] = 9
    write_image(tmp_path / "large.png", Image(pixels=pixels))
    taken = work_on(tmp_path / "large.png", tmp_path)
    assert taken.size == (MOST_SIDE_PX, 40)
    assert read_image(taken.jobs[0].source).pixels.min() == 9


def test_three_images_stand_for_a_folder(tmp_path: Path) -> None:
    images, copies = tmp_path / "images", tmp_path / "copies"
    images.mkdir()
    copies.mkdir()
    for side in range(1, 10):
        write_image(images / f"{side}.png", Image(pixels=np.zeros((side, side, 3), np.uint8)))
    taken = work_on(images, copies)
    assert [read_image(job.source).height for job in taken.jobs] == [2, 5, 8]
    assert taken.size == (8, 8)
    assert taken.megapixels == pytest.approx((4 + 25 + 64) / 1e6)


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match="contains no image"):
        work_on(tmp_path, tmp_path)


