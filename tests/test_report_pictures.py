"""Images in a report: matched by name and size, cut where the original has detail, with their PSNR."""

from __future__ import annotations

import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from srn_deploy.errors import OptionError, UnreadableImage
from srn_deploy.image import Image, read_image, write_image
from srn_deploy.quality.metrics import psnr_y
from srn_deploy.report import report
from srn_deploy.report.pictures import compare_pictures
from tests.report_records import STUDY, write_pictures


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "pictures")


def test_bicubic_all_candidates_and_the_original_are_shown_with_their_psnr(pictures: Path) -> None:
    (found,) = compare_pictures(pictures)
    assert [crop.candidate for crop in found.crops] == ["bicubic", "grey", "perfect", "original"]
    bicubic, grey, perfect, original = found.crops
    assert original.is_original
    assert perfect.psnr_db is None
    covered = read_image(pictures / "perfect" / "stone.png").as_rgb8()
    assert grey.psnr_db == pytest.approx(psnr_y(np.full_like(covered, 128), covered, border_px=2))
    assert bicubic.psnr_db is not None
    assert grey.psnr_db is not None
    assert grey.psnr_db < bicubic.psnr_db
    assert "stone.png" in report_of(pictures)
    assert f"{bicubic.psnr_db:.2f} dB" in report_of(pictures)


def report_of(pictures: Path) -> str:
    STUDY.save(pictures.parent / "study.json")
    return report([pictures.parent / "study.json"], pictures)


def test_a_crop_is_the_pixels_of_the_image_without_loss(pictures: Path) -> None:
    (found,) = compare_pictures(pictures)
    shown = np.asarray(Pillow.open(io.BytesIO(found.crops[2].png)))
    np.testing.assert_array_equal(shown, read_image(pictures / "perfect" / "stone.png").as_rgb8())
    assert (found.height, found.width) == (60, 90)


def test_the_part_with_the_most_detail_of_the_original_is_shown(tmp_path: Path) -> None:
    hr = np.full((300, 500, 3), 90, np.uint8)
    hr[200:260:2, 380:440] = 200
    for part, pixels in {"original": hr, "input": hr[::2, ::2], "one": hr}.items():
        write_image(tmp_path / part / "a.png", Image(pixels=np.ascontiguousarray(pixels)))
    (found,) = compare_pictures(tmp_path)
    shown = np.asarray(Pillow.open(io.BytesIO(found.crops[-1].png)))
    assert shown.shape == (192, 192, 3)
    assert np.count_nonzero(shown[..., 0] == 200) == 30 * 60


def test_images_of_subfolders_and_of_names_as_data_sets_have_them_belong_together(tmp_path: Path) -> None:
    write_pictures(tmp_path, names=("stone", "slate"))
    (tmp_path / "input" / "stone.png").rename(tmp_path / "input" / "stonex2.png")
    (tmp_path / "input" / "slate.png").rename(tmp_path / "input" / "slatex2.png")
    assert [found.name for found in compare_pictures(tmp_path)] == ["slate.png", "stone.png"]


@pytest.mark.parametrize("gone", ["original", "input"])
def test_a_folder_that_is_missing_is_named(pictures: Path, gone: str) -> None:
    shutil.rmtree(pictures / gone)
    with pytest.raises(OptionError, match=f"has no folder {gone}"):
        compare_pictures(pictures)


def test_without_a_candidate_there_is_nothing_to_compare(pictures: Path) -> None:
    shutil.rmtree(pictures / "perfect")
    shutil.rmtree(pictures / "grey")
    with pytest.raises(OptionError, match="has no folder of a candidate"):
        compare_pictures(pictures)


def test_no_folder_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="is not a folder of images"):
        compare_pictures(tmp_path / "nowhere")


def test_a_candidate_that_lacks_an_image_or_has_another_is_named_with_the_image(pictures: Path) -> None:
    (pictures / "grey" / "stone.png").rename(pictures / "grey" / "slate.png")
    with pytest.raises(OptionError, match="grey has no image for stone"):
        compare_pictures(pictures)
    shutil.copy(pictures / "perfect" / "stone.png", pictures / "grey" / "stone.png")
    with pytest.raises(OptionError, match="grey has an image without an original: slate"):
        compare_pictures(pictures)


def test_a_candidate_of_another_size_is_refused_with_both_sizes(pictures: Path) -> None:
    write_image(pictures / "grey" / "stone.png", Image(pixels=np.zeros((30, 45, 3), np.uint8)))
    with pytest.raises(OptionError, match=r"grey.stone\.png is 45 × 30 px; ×2 of .* is 90 × 60"):
        compare_pictures(pictures)


def test_small_images_that_are_not_those_of_the_originals_are_refused(pictures: Path) -> None:
    write_image(pictures / "input" / "stone.png", Image(pixels=np.zeros((29, 45, 3), np.uint8)))
    with pytest.raises(OptionError, match="made smaller by one whole factor"):
        compare_pictures(pictures)


def test_a_damaged_image_is_refused(pictures: Path) -> None:
    whole = (pictures / "grey" / "stone.png").read_bytes()
    (pictures / "grey" / "stone.png").write_bytes(whole[:-30])
    with pytest.raises(UnreadableImage):
        compare_pictures(pictures)
