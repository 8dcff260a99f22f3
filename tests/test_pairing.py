"""Originals and small images are paired as data sets are published, or refused before anything is measured."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from srn_deploy.cli import main
from srn_deploy.errors import OptionError
from srn_deploy.image import Image, write_image
from srn_deploy.image.pairing import PairedFiles, pair_images
from srn_deploy.quality.pairs import find_pairs


def files(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def paired(folder: Path, *names: str, scale: int = 4, pattern: str | None = None) -> dict[str, str | None]:
    """Original to small image as names in the folder; with folders hr and lr these are given, else the folder is."""
    files(folder, *names)
    is_apart = (folder / "lr").is_dir()
    found = pair_images(folder / "hr" if is_apart else folder, folder / "lr" if is_apart else None, scale, pattern)
    return {pair.hr.relative_to(folder).as_posix(): pair.lr.relative_to(folder).as_posix() if pair.lr else None
            for pair in found.pairs}


@pytest.mark.parametrize(("hr", "lr"), [
    ("baby.png", "baby.png"), ("baby.png", "baby.jpg"), ("0801.png", "0801x4.png"), ("0801.png", "0801X4.png"),
    ("0801.png", "0801x4m.png"), ("img_001_SRF_4_HR.png", "img_001_SRF_4_LR.png"),
    ("baby_HR_x4.png", "baby_LRBI_x4.png"), ("baby_GT.png", "baby.png"), ("baby.png", "baby_bicLRx4.png"),
    ("baby_hr.png", "baby_lr.png"), ("baby.png", "baby_x4.png"), ("baby_gt.png", "baby-x4.png"),
    ("baby_mod12.png", "baby_LRx4.png"), ("baby_x4.png", "baby_x4.png"), ("Baby.png", "babyx4.png"),
    ("Set5/baby_HR_x4.png", "LRBI/Set5/x4/baby_LRBI_x4.png"), ("Set5/x4/baby.png", "Set5/x4/baby.png"),
    ("baby.png", "X4/babyx4.png"), ("set_a/deep/1.png", "set_a/deep/1.png"), ("a/x.png", "x.png")])
def test_names_and_folders_as_test_sets_are_published_in_two_folders(tmp_path: Path, hr: str, lr: str) -> None:
    assert paired(tmp_path, f"hr/{hr}", f"lr/{lr}") == {f"hr/{hr}": f"lr/{lr}"}


@pytest.mark.parametrize(("hr", "lr"), [
    ("HR/baby.png", "LR_bicubic/X4/babyx4.png"), ("GTmod12/baby.png", "LRbicx4/baby.png"),
    ("Set5/HR/baby.png", "Set5/LR_bicubic/X4/babyx4.png"), ("any/0801.png", "any/0801x4.png"),
    ("HR/Set5/x4/baby_HR_x4.png", "LR/LRBI/Set5/x4/baby_LRBI_x4.png"),
    ("image_SRF_4/img_001_SRF_4_HR.png", "image_SRF_4/img_001_SRF_4_LR.png"),
    ("Canon/Test/4/Canon_001_HR.png", "Canon/Test/4/Canon_001_LR4.png"), ("b/sony_81_x1.png", "b/sony_81_x4.png"),
    ("Test_x4/test_HR/dsc_1_x1.png", "Test_x4/test_LR/dsc_1_x4.png"), ("trainH/1.png", "trainL/X4/1.png"),
    ("GT/1.png", "LQ_x4/1.png"), ("HQ/1_hq.png", "lq/1_lq.png"), ("HR-images/a.png", "LR images/a.png"),
    ("train_sharp/000/1.png", "train_sharp_bicubic/X4/000/1.png"), ("HR/1.png", "bicubic_4x/1.png"),
    ("HRx4/1.png", "LRx4/1.png"), ("HR/1.png", "4x/1_4x.png"), ("any/a b.png", "any/a b 4x.png"),
    ("any/x0.png", "any/x0_lr.png"), ("any/x2.png", "any/x2x4.png")])
def test_layouts_in_one_folder(tmp_path: Path, hr: str, lr: str) -> None:
    assert paired(tmp_path, hr, lr) == {hr: lr}


def test_the_same_name_in_two_folders_is_paired_by_its_path(tmp_path: Path) -> None:
    names = [f"{root}/{folder}/001.png" for root in ("hr", "lr") for folder in ("set_a", "set_b")]
    assert paired(tmp_path, *names) == {"hr/set_a/001.png": "lr/set_a/001.png", "hr/set_b/001.png": "lr/set_b/001.png"}


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_folders_and_names_of_the_scale_are_taken_and_the_others_left(tmp_path: Path, scale: int) -> None:
    names = ["hr/baby.png", *(f"lr/X{each}/babyx{each}.png" for each in (2, 3, 4))]
    assert paired(tmp_path, *names, scale=scale) == {"hr/baby.png": f"lr/X{scale}/babyx{scale}.png"}
    flat = ["b/0801.png", *(f"b/0801x{each}.png" for each in (2, 3, 4))]
    assert paired(tmp_path / "flat", *flat, scale=scale) == {"b/0801.png": f"b/0801x{scale}.png"}
    both = [f"x{each}/{kind}/a.png" for each in (2, 3, 4) for kind in ("HR", "LR")]
    assert paired(tmp_path / "both", *both, scale=scale) == {f"x{scale}/HR/a.png": f"x{scale}/LR/a.png"}


def test_a_name_that_ends_like_a_small_image_is_an_original_where_there_is_no_other(tmp_path: Path) -> None:
    assert paired(tmp_path, "flat_x4.png", "holiday_lr.png") == {"flat_x4.png": None, "holiday_lr.png": None}


@pytest.mark.parametrize(("names", "said"), [
    (["hr/a.png", "lr/X4/a.png", "lr/a.png"], "a.png has 2 small images"),
    (["hr/a.png", "lr/a.png", "lr/a.jpg"], "a.png has 2 small images"),
    (["hr/a.png", "lr/one/a.png", "lr/two/a.png"], "a.png has 2 small images"),
    (["hr/one/a.png", "hr/two/a.png", "lr/a.png"], "would both be paired with"),
    (["hr/a.png", "hr/a.jpg", "lr/a.png"], "would both be paired with"),
    (["HR/a.png", "LR_x4/a.png", "LRbicx4/a.png"], "HR/a.png has 2 small images")])
def test_what_is_not_clear_is_refused_with_what_to_do(tmp_path: Path, names: list[str], said: str) -> None:
    with pytest.raises(OptionError, match=said) as caught:
        paired(tmp_path, *names)
    assert "--lr-pattern" in caught.value.remedy


def test_a_pattern_says_how_small_images_are_named(tmp_path: Path) -> None:
    names = ("hr/a/1.png", "hr/2.png", "lr/a/low4_1.jpg", "lr/low4_2.png")
    assert paired(tmp_path, *names, pattern="{folder}/low{scale}_{stem}") == {
        "hr/a/1.png": "lr/a/low4_1.jpg", "hr/2.png": "lr/low4_2.png"}
    assert paired(tmp_path / "one", "b.png", "b_small.png", pattern="{stem}_small.png") == {"b.png": "b_small.png"}


@pytest.mark.parametrize(("pattern", "said"), [
    ("{name}", "does not name a small image"), ("small", "does not name"), ("{stem", "is not valid"),
    ("{stem.parent}", "does not name"), ("{stem}", "its own small image"), ("{stem}_s", "has 2 small images")])
def test_a_pattern_that_cannot_work_is_refused(tmp_path: Path, pattern: str, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        paired(tmp_path, "a.png", "a_s.png", "a_s.jpg", pattern=pattern)


def test_small_images_without_an_original_and_of_other_scales_are_named(tmp_path: Path) -> None:
    files(tmp_path, "hr/a.png", "lr/X4/a.png", "lr/X4/b.png", "lr/X2/a.png", "lr/X4/bx2.png")
    found = pair_images(tmp_path / "hr", tmp_path / "lr", 4)
    assert (found.unused_lr, set(found.other_scales)) == (("X4/b.png",), {"X2/a.png", "X4/bx2.png"})


def test_a_single_original_takes_the_one_image_of_a_folder(tmp_path: Path) -> None:
    files(tmp_path, "a.png", "lr/any.png")
    assert pair_images(tmp_path / "a.png", tmp_path / "lr", 4).pairs[0].lr == tmp_path / "lr/any.png"
    files(tmp_path, "lr/other.png")
    with pytest.raises(OptionError, match="holds 2 images"):
        pair_images(tmp_path / "a.png", tmp_path / "lr", 4)


def drawn(folder: Path, **sides: int) -> Path:
    """Square images of these sides; __ in a name is a /."""
    for name, side in sides.items():
        write_image(folder / f"{name.replace('__', '/')}.png", Image(pixels=np.zeros((side, side, 3), np.uint8)))
    return folder


def test_small_images_beside_their_originals_are_no_originals(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    drawn(tmp_path, a=64, ax4=16, ax2=32, b=80, bx4=20)
    assert [(pair.name, pair.lr and pair.lr.name) for pair in find_pairs(tmp_path, None, 4)] == [
        ("a.png", "ax4.png"), ("b.png", "bx4.png")]
    assert caplog.messages == ["Left out: images of other scales: 1 (ax2.png is the first)."]


@pytest.mark.parametrize("small", ["a_small", "thumbs__a", "a-low"])
def test_an_original_that_looks_like_a_small_version_of_another_is_refused(tmp_path: Path, small: str) -> None:
    drawn(tmp_path, **{"a": 67, "b": 40, small: 67 // 3})
    with pytest.raises(OptionError, match=rf"{small.replace('__', '/')}\.png looks like a small version of a\.png"):
        find_pairs(tmp_path, None, 2)


@pytest.mark.parametrize(("large", "small"), [
    ("a", "thumb_a"), ("HR_a", "LR_a"), ("a_high", "a_low"), ("a-64x64", "a-16x16"), ("aHR", "aLR"),
    ("one__a", "two__ax4"), ("HR", "LR")])
def test_originals_whose_names_differ_in_words_for_sizes_are_refused(tmp_path: Path, large: str, small: str) -> None:
    drawn(tmp_path, **{large: 100, small: 37, "b": 40})
    with pytest.raises(OptionError, match=rf"{small.replace('__', '/')}\.png looks like a small version of"):
        find_pairs(tmp_path, None, 2)


def test_small_images_that_all_belong_to_no_original_are_refused(tmp_path: Path) -> None:
    drawn(tmp_path, set_HR__1=64, set_LR_mild__1x4m=16)
    with pytest.raises(OptionError, match=r"set_LR_mild/1x4m\.png belongs to no original"):
        find_pairs(tmp_path, None, 4)


def test_originals_of_which_some_have_no_small_image_are_refused(tmp_path: Path) -> None:
    drawn(tmp_path, HR__a=64, HR__b=64, HR__c=64, LR__a=16)
    with pytest.raises(OptionError, match=r"HR/b\.png and 1 more have no small image in "):
        find_pairs(tmp_path, None, 4)


def test_sizes_that_do_not_fit_are_refused_before_anything_is_measured(tmp_path: Path) -> None:
    drawn(tmp_path, hr__a=64, hr__b=64, lr__a=16, lr__b=32)
    ended = CliRunner().invoke(main, ["eval", "srn-s-b4-x4", "--hr", str(tmp_path / "hr"), "--lr",
                                      str(tmp_path / "lr")])
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert "b.png is 32 x 32 px; a x4 of b.png is 16 x 16" in ended.stderr


def test_lines_and_kept_images_carry_the_path(tmp_path: Path) -> None:
    drawn(tmp_path, hr__set_a__1=64, hr__set_b__1=64)
    ended = CliRunner().invoke(main, ["eval", "srn-s-b4-x4", "--hr", str(tmp_path / "hr"), "--save-images",
                                      str(tmp_path / "sr")])
    assert [line.split()[0] for line in ended.stdout.splitlines()] == ["set_a/1.png", "set_b/1.png", "mean"]
    assert (tmp_path / "sr/set_b/1.png").is_file()


def test_an_empty_folder_has_no_pairs(tmp_path: Path) -> None:
    assert pair_images(tmp_path, None, 4) == PairedFiles(pairs=())
