"""Sizes of memory as people write them, and what an image takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from srn_deploy.errors import OptionError
from srn_deploy.image import Image, write_image
from srn_deploy.image.reading import unpack_checked
from srn_deploy.inference.memory_needs import bytes_on_the_way
from srn_deploy.inference.plan import Job
from srn_deploy.inference.setup import Setup
from srn_deploy.system.memory import parsed_size, size_in_words
from srn_deploy.tiling.windows import TileOptions
from tests.fakes import NearestBackend


@pytest.mark.parametrize(("text", "size_bytes"), [
    ("65536", 65536), ("4G", 4 * 2**30), ("4g", 4 * 2**30), ("1.5 GiB", 3 * 2**29), ("800MB", 800 * 2**20),
    (" 1K ", 1024), (".5M", 2**19), ("2TB", 2 * 2**40), ("12B", 12)])
def test_a_size_is_a_number_with_or_without_a_unit(text: str, size_bytes: int) -> None:
    assert parsed_size(text) == size_bytes


@pytest.mark.parametrize("text", ["", "G", "4X", "4GG", "4 G B", "-4G", "4,5G", "1e9", "nan", "0", "0G", "0.1", "٤G"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match="is not a size of memory"):
        parsed_size(text)


@pytest.mark.parametrize(("size_bytes", "words"), [(12, "12 bytes"), (2048, "2 KiB"), (5 * 2**20, "5.0 MiB"),
                                                   (20 * 2**20, "20 MiB"), (3 * 2**29, "1.5 GiB")])
def test_a_size_in_words_has_a_unit(size_bytes: int, words: str) -> None:
    assert size_in_words(size_bytes) == words


@pytest.mark.parametrize(("channels", "dtype", "per_px"), [(3, np.uint8, 3), (3, np.uint16, 6), (1, np.uint8, 3)])
def test_an_image_takes_its_pixels_twice_and_its_result_three_times(
        tmp_path: Path, channels: int, dtype: type[np.generic], per_px: int) -> None:
    write_image(tmp_path / "a.png", Image(pixels=np.zeros((20, 30, channels), dtype)))
    unpacked = unpack_checked(tmp_path / "a.png")
    job = Job(source=tmp_path / "a.png", target=tmp_path / "b.png")
    taken = bytes_on_the_way(unpacked, job, Setup(NearestBackend())) - len(unpacked.without_metadata)
    assert taken == 20 * 30 * per_px * (2 + 3 * 4)


def test_a_result_that_is_written_by_bands_takes_no_more_than_a_large_one(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", Image(pixels=np.zeros((6000, 6000, 3), np.uint8)))
    unpacked, setup = unpack_checked(tmp_path / "a.png"), Setup(NearestBackend(), tiles=TileOptions(tile=96), threads=2)
    by_bands, whole = (bytes_on_the_way(unpacked, Job(source=tmp_path / "a.png", target=tmp_path / name), setup)
                       for name in ("b.png", "b.webp"))
    assert by_bands < 400 * 2**20 < 2**30 < whole
