"""The images of a folder are found by every suffix of their format, and what is passed over is said once."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from srn_deploy.errors import UnreadableImage
from srn_deploy.image import find_images

APPLE_DOUBLE = bytes.fromhex("0005160700020000") + b"Mac OS X        "


def filled(folder: Path, *names: str, content: bytes = b"") -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def names(folder: Path, without: Path | None = None) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in find_images(folder, without=without)]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Sentences of every level."""
    caplog.set_level(logging.INFO)
    return caplog


def test_all_subfolders_are_searched_and_temporary_files_are_no_images(
        tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    filled(tmp_path, "b/deep/1.JPG", "a.png", "b/2.webp", "notes.txt", "Thumbs.db", ".srn-part-00ff.png")
    assert names(tmp_path) == ["a.png", "b/2.webp", "b/deep/1.JPG"]
    assert log.messages == []


def test_every_suffix_of_a_format_counts_in_any_case(tmp_path: Path) -> None:
    every = ["a.jfif", "b.jpe", "c.JFI", "d.jif", "e.pjpeg", "f.pjp", "g.dib", "h.TIFF", "i.Jpeg"]
    filled(tmp_path, *every)
    assert names(tmp_path) == every


def test_images_of_other_formats_are_counted_once_with_the_first_and_what_to_do(
        tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    filled(tmp_path, "a.png", "deep/4.jp2", "5.GIF", "6.cr2")
    names(tmp_path)
    assert log.messages == [(f"Left out: 3 images of a format that is not read, {tmp_path / '5.GIF'} is the first. "
                            "Convert to PNG, JPEG, WebP, TIFF, AVIF or BMP.")]


def test_links_to_folders_are_not_followed_and_counted_once(tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    filled(tmp_path, "elsewhere/6.png", "in/1.png", "in/deep/2.png")
    for link in ("in/linked", "in/deep/back"):
        (tmp_path / link).symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert names(tmp_path / "in") == ["1.png", "deep/2.png"]
    assert log.messages == [(f"Left out: 2 links to a folder, {tmp_path / 'in/deep/back'} is the first. Links to "
                            "folders are not followed: give the folder itself.")]


def test_what_macos_keeps_beside_images_is_passed_over_by_its_content(
        tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    filled(tmp_path, "1.jpg", "._real.jpg", "__MACOSX/x.jpg", content=b"\xff\xd8")
    filled(tmp_path, "._1.jpg", "deep/._2.PNG", "._3.heic", "__MACOSX/deep/._1.jpg", content=APPLE_DOUBLE)
    assert names(tmp_path) == ["._real.jpg", "1.jpg"]
    assert log.messages == [(f"Passed over: 4 items that macOS keeps beside images, {tmp_path / '._1.jpg'} is the "
                            "first.")]
    assert log.records[0].levelno == logging.INFO


def test_a_folder_that_is_left_out_is_not_searched_by_whatever_path_it_is_named(tmp_path: Path) -> None:
    filled(tmp_path, "1.png", "out/1.png", "out/deep/2.gif", "outer/3.png")
    assert names(tmp_path, tmp_path / "outer" / ".." / "out") == ["1.png", "outer/3.png"]
    assert names(tmp_path, tmp_path) == ["1.png", "out/1.png", "outer/3.png"]


def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match="cannot be listed"):
        find_images(tmp_path / "missing")
