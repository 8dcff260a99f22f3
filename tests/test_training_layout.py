"""Data folders: which files are HR, which their LR, which for validation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from srn_deploy.errors import TrainingError
from srn_deploy.image import Image, find_images, read_image, write_image
from srn_deploy.image.bicubic import resize_uint8
from srn_deploy.training.data import load_images
from srn_deploy.training.layout import find_data_files

DIV2K = ("DIV2K_train_HR/0001.png", "DIV2K_train_HR/0002.png", "DIV2K_train_LR_bicubic/X4/0001x4.png",
         "DIV2K_train_LR_bicubic/X4/0002x4.png", "DIV2K_train_LR_bicubic/X2/0001x2.png",
         "DIV2K_train_LR_unknown/X4/0001x4.png", "DIV2K_valid_HR/0801.png", "DIV2K_valid_LR_bicubic/X4/0801x4.png")
FLICKR2K = ("Flickr2K/Flickr2K_HR/000001.png", "Flickr2K/Flickr2K_LR_bicubic/X4/000001x4.png")
LSDIR = ("HR/train/0001000/0000001.png", "X4/train/0001000/0000001x4.png", "X2/train/0001000/0000001x2.png",
         "HR/val/0000005.png", "X4/val/0000005x4.png")
BENCHMARK = ("x2/HR/baby.png", "x2/LR/baby.png", "x4/HR/baby.png", "x4/LR/baby.png")


def sorted_out(folder: Path, names: tuple[str, ...], scale: int = 4) -> tuple[dict[str, str | None], list[str]]:
    """What is trained with (HR to LR) and what is validated on, as names within the folder."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    files = find_data_files(folder, scale)

    def inner(path: Path | None) -> str | None:
        return None if path is None else path.relative_to(folder).as_posix()

    return ({str(inner(s.hr)): inner(s.lr) for s in files.training}, [str(inner(s.hr)) for s in files.validation])


def test_div2k_gives_its_pairs_of_the_scale_and_its_validation_part(tmp_path: Path) -> None:
    assert sorted_out(tmp_path, DIV2K) == (
        {"DIV2K_train_HR/0001.png": "DIV2K_train_LR_bicubic/X4/0001x4.png",
         "DIV2K_train_HR/0002.png": "DIV2K_train_LR_bicubic/X4/0002x4.png"}, ["DIV2K_valid_HR/0801.png"])


def test_hr_files_without_lr_of_the_scale_are_downscaled_here(tmp_path: Path) -> None:
    training, _ = sorted_out(tmp_path, DIV2K, scale=3)
    assert training == {"DIV2K_train_HR/0001.png": None, "DIV2K_train_HR/0002.png": None}


def test_flickr2k_and_lsdir_give_their_pairs(tmp_path: Path) -> None:
    assert sorted_out(tmp_path / "f", FLICKR2K)[0] == {
        "Flickr2K/Flickr2K_HR/000001.png": "Flickr2K/Flickr2K_LR_bicubic/X4/000001x4.png"}
    assert sorted_out(tmp_path / "l", LSDIR) == (
        {"HR/train/0001000/0000001.png": "X4/train/0001000/0000001x4.png"}, ["HR/val/0000005.png"])


def test_a_pair_of_folders_under_their_scale_gives_the_pairs_of_that_scale_alone(tmp_path: Path) -> None:
    assert sorted_out(tmp_path, BENCHMARK) == ({"x4/HR/baby.png": "x4/LR/baby.png"}, [])
    assert sorted_out(tmp_path, BENCHMARK, scale=2) == ({"x2/HR/baby.png": "x2/LR/baby.png"}, [])


@pytest.mark.parametrize("small", ["LR/a.png", "lr/a.jpg", "LR/x4/a.png", "LR/X4/ax4.png", "LR_x4/a.PNG",
                                   "LRbicx4/a.png", "x4/a.png", "LR_bicubic/X4/ax4.png"])
@pytest.mark.parametrize("large", ["HR", "hr"])
def test_pairs_are_found_whatever_the_case_the_suffix_and_the_usual_name(
        tmp_path: Path, large: str, small: str) -> None:
    assert sorted_out(tmp_path, (f"{large}/a.png", small)) == ({f"{large}/a.png": small}, [])


def test_a_suffix_behind_the_folder_s_name_finds_its_like(tmp_path: Path) -> None:
    assert sorted_out(tmp_path, ("HR_train/a.png", "LR_train/a.png", "LR_test/a.png")) == (
        {"HR_train/a.png": "LR_train/a.png"}, [])


def test_lr_files_that_belong_to_no_hr_file_are_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pixels = np.zeros((16, 16, 3), np.uint8)
    write_image(tmp_path / "originals/a.png", Image(pixels=pixels))
    write_image(tmp_path / "LR/a.png", Image(pixels=pixels[:4, :4]))
    load_images([tmp_path], 4)
    assert "LR files that belong to no HR file: 1 (" in caplog.text


def test_hr_files_that_look_like_small_versions_of_others_are_logged(
        tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pixels = np.zeros((16, 16, 3), np.uint8)
    write_image(tmp_path / "high/a.png", Image(pixels=pixels))
    write_image(tmp_path / "low/a.png", Image(pixels=pixels[:4, :4]))
    load_images([tmp_path], 4)
    assert "HR files that look like small versions of others: 1 (low/a.png of high/a.png is the first)" in caplog.text


def test_several_folders_are_one_set(tmp_path: Path) -> None:
    for name in ("one/a.png", "two/HR/b.png"):
        write_image(tmp_path / name, Image(pixels=np.zeros((16, 16, 3), np.uint8)))
    images = load_images([tmp_path / "one", tmp_path / "two"], 4)
    assert sorted([*images.names, *(pair.name for pair in images.validation)]) == ["HR/b.png", "a.png"]


def test_when_every_hr_file_lacks_its_lr_file_the_error_says_so(tmp_path: Path) -> None:
    write_image(tmp_path / "HR/a.png", Image(pixels=np.zeros((16, 16, 3), np.uint8)))
    write_image(tmp_path / "LR/b.png", Image(pixels=np.zeros((4, 4, 3), np.uint8)))
    with pytest.raises(TrainingError, match="1 without an LR file"):
        load_images([tmp_path], 4)


def test_any_other_folder_holds_hr_files(tmp_path: Path) -> None:
    names = ("a.png", "Urlaub/b.jpg", "valley/c.png", "HRabc/d.png")
    assert sorted_out(tmp_path, names) == (dict.fromkeys(sorted(names, key=lambda n: Path(n).parts)), [])


def test_validation_images_alone_are_trained_with(tmp_path: Path) -> None:
    assert sorted_out(tmp_path, ("DIV2K_valid_HR/0801.png",)) == ({"DIV2K_valid_HR/0801.png": None}, [])


def test_an_hr_file_without_its_lr_file_is_left_out_and_logged(
        tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pixels = np.zeros((16, 16, 3), np.uint8)
    for name in ("HR/a.png", "HR/b.png"):
        write_image(tmp_path / name, Image(pixels=pixels))
    write_image(tmp_path / "LR/a.png", Image(pixels=pixels[:4, :4]))
    images = load_images([tmp_path], 4)
    assert images.names == ["HR/a.png"]
    assert caplog.messages == ["Left out: images without an LR file: 1 (HR/b.png is the first)."]


def test_the_published_lr_is_used_and_one_of_another_scale_is_an_error(tmp_path: Path) -> None:
    write_image(tmp_path / "HR/a.png", Image(pixels=np.zeros((17, 18, 3), np.uint8)))
    published = np.full((4, 4, 3), 7, np.uint8)
    write_image(tmp_path / "LR/a.png", Image(pixels=published))
    assert np.array_equal(load_images([tmp_path], 4).validation[0].lr, published)
    assert load_images([tmp_path], 4, made_lr=True).validation[0].lr.max() == 0
    with pytest.raises(TrainingError, match=r"4 x 4 px, but .* at x2 gives 9 x 8") as caught:
        load_images([tmp_path], 2)
    assert "of x2" in caught.value.remedy


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("name", ["Set5", "Set14"])
def test_the_lr_made_here_equals_the_published_one_bit_for_bit(data: Path, name: str, scale: int) -> None:
    images = load_images([data / "images" / name], scale)
    for index, title in enumerate(sorted(p.name for p in find_images(data / f"images/{name}/x{scale}/HR"))):
        hr = images.hr.image(index)
        published = read_image(data / f"images/{name}/x{scale}/LR/{title}").as_rgb8()
        assert np.array_equal(images.lr.image(index), published)
        assert np.array_equal(resize_uint8(hr, hr.shape[0] // scale, hr.shape[1] // scale), published)
