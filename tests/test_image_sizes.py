"""Sizes of images come from their headers, EXIF orientation included, and nothing is decoded for them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest

from srn_deploy.engine_request import EngineRequest
from srn_deploy.errors import UnreadableImage
from srn_deploy.image import image_size, read_image, reading
from srn_deploy.tiling.shapes import ShapeRange
from tests.fakes import NEAREST

ORIENTATION = 0x0112


def saved(path: Path, turn: int) -> Path:
    """A file of 20 x 30 pixels (height x width) as a camera turned by this orientation writes it."""
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    exif = PIL.Image.Exif()
    exif[ORIENTATION] = turn
    PIL.Image.fromarray(pixels).save(path, exif=exif)
    return path


@pytest.fixture
def no_decoder(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Decoding anything fails the test."""
    monkeypatch.setattr(reading, "_DECODERS", {})
    monkeypatch.setattr(cv2, "imdecode", None)
    monkeypatch.setattr(PIL.Image, "open", None)
    return monkeypatch


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif"])
def test_the_size_is_that_of_the_upright_image_without_decoding_it(
        tmp_path: Path, no_decoder: pytest.MonkeyPatch, suffix: str, turn: int) -> None:
    path = saved(tmp_path / f"a.{suffix}", turn)
    assert image_size(path) == ((20, 30) if turn < 5 else (30, 20))
    no_decoder.undo()
    image = read_image(path)
    assert (image.height, image.width) == image_size(path)


def test_fitting_shapes_to_a_folder_decodes_nothing(tmp_path: Path, no_decoder: pytest.MonkeyPatch) -> None:
    for name, turn in (("a.jpg", 1), ("b.jpg", 6), ("c.png", 1)):
        saved(tmp_path / name, turn)
    chosen = EngineRequest(fit=tmp_path).options(NEAREST)
    assert chosen.shapes == (ShapeRange(smallest=(20, 20), largest=(30, 30), optimum=(20, 30)),)


def test_files_that_cannot_be_read_are_refused_as_read_image_refuses_them(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"text")
    with pytest.raises(UnreadableImage, match=r"a\.png"):
        image_size(tmp_path / "a.png")
    with pytest.raises(UnreadableImage, match="megapixels"):
        image_size(saved(tmp_path / "b.png", 1), max_megapixels=1e-4)
