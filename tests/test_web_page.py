"""The local page in a real browser: what is downloaded is what the command line writes, byte for byte."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageCms

from srn_deploy.image import Image, read_image, write_image
from srn_deploy.web.views import MARK_RGB
from tests.chromium import chromium
from tests.commands import srn_deploy
from tests.page_server import STRANGER
from tests.page_visits import Served, Visit, needs_page, served, visit

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = needs_page

MODEL = "srn-s-b6-x2"

NOW = "document.querySelector('#compare [role=slider]').getAttribute('aria-valuenow')"
"""Where the line is, in percent."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("page"), models=[MODEL, "slow", "broken"], max_megapixels=1,
                max_file_bytes=2**21, max_waiting=1) as found:
        yield found


@pytest.fixture
def tab(browser: Browser, page: Served) -> Iterator[Visit]:
    with visit(browser, page.address) as found:
        yield found


def picture(path: Path, side: int = 40) -> Path:
    """A photograph-like JPEG with EXIF and a colour profile."""
    rows, columns = np.mgrid[:side, :side].astype(np.uint8)
    pixels = np.stack([rows * 3, columns * 3, rows + columns], axis=2)
    exif = Pillow.Exif()
    exif[0x010F], exif[0x0112] = "A maker", 6
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Pillow.fromarray(pixels).save(path, quality=95, exif=exif, icc_profile=profile)
    return path


def deep(path: Path, side: int = 40) -> Path:
    """16 bits with alpha."""
    levels = np.arange(side * side * 4, dtype=np.uint32).reshape(side, side, 4) * 977 % 65536
    write_image(path, Image(pixels=levels[..., :3].astype(np.uint16), alpha=levels[..., 3:].astype(np.uint16)))
    return path


def of_command_line(source: Path, target: Path, *options: str) -> bytes:
    done = srn_deploy("upscale", source, target, "--model", MODEL, "--device", "cpu", *options)
    assert done.returncode == 0, done.stderr
    return target.read_bytes()


def test_what_is_downloaded_is_the_file_of_the_command_line(tab: Visit, page: Served, tmp_path: Path) -> None:
    sources = [picture(tmp_path / "photo.jpg"), deep(tmp_path / "deep.png")]
    tab.drop(*sources)
    tab.start()
    assert tab.says("Done") == "Done: 2 of 2 upscaled."
    (tmp_path / "page").mkdir()
    for source in sources:
        expected = of_command_line(source, tmp_path / f"line_{source.name}")
        assert tab.fetched(source.name, tmp_path / "page").read_bytes() == expected
    result = read_image(tmp_path / "page" / "deep.png")
    assert result.pixels.dtype == np.uint16
    assert result.alpha is not None
    with Pillow.open(tmp_path / "page" / "photo.jpg") as photo:
        assert photo.getexif()[0x010F] == "A maker"
        assert photo.info["icc_profile"]
    with zipfile.ZipFile(tab.fetched("as a zip", tmp_path / "page")) as every:
        assert {name: every.read(name) for name in every.namelist()} == {
            source.name: (tmp_path / "page" / source.name).read_bytes() for source in sources}
    assert tab.others == []
    assert STRANGER not in page.said()


def test_size_format_and_guard_are_those_of_the_command_line_that_the_page_shows(tab: Visit, tmp_path: Path) -> None:
    source = picture(tmp_path / "photo.jpg")
    tab.drop(source)
    tab.choose("size", "Inside a box")
    tab.page.fill("#size-text textarea, #size-text input", "64x48")
    tab.choose("format", "TIFF")
    tab.page.click("text=Repair it")
    tab.start()
    tab.says("Done")
    shown = tab.page.inner_text("#results code").split()
    assert shown[:4] == ["srn-deploy", "upscale", "IN", "OUT"]
    done = srn_deploy(*(str(source) if word == "IN" else f"{tmp_path / 'line'}/" if word == "OUT" else word
                        for word in shown[1:]))
    assert done.returncode == 0, done.stderr
    fetched = tab.fetched("photo.tif", tmp_path)
    assert fetched.read_bytes() == (tmp_path / "line" / "photo.tif").read_bytes()
    assert read_image(fetched).height == 48


def test_before_and_after_are_compared_by_a_slider_that_the_keyboard_moves(tab: Visit, tmp_path: Path) -> None:
    tab.drop(picture(tmp_path / "photo.jpg"))
    tab.start()
    tab.says("Done")
    handle = tab.page.get_by_role("slider", name="Line between before and after")
    handle.wait_for()
    assert handle.get_attribute("aria-valuenow") == "50"
    handle.focus()
    after = tab.page.get_by_role("img", name="The picture after")
    before_move = after.get_attribute("style")
    for _ in range(3):
        tab.page.keyboard.press("PageUp")
    tab.page.wait_for_function(f"{NOW} === '80'")
    assert after.get_attribute("style") != before_move
    tab.page.keyboard.press("Home")
    tab.page.wait_for_function(f"{NOW} === '0'")


@pytest.mark.parametrize("side", [600, 60])
def test_one_to_one_shows_a_pixel_of_the_result_on_a_pixel_of_the_screen(tab: Visit, tmp_path: Path, side: int) -> None:
    source = picture(tmp_path / "photo.png", side=side)
    tab.drop(source)
    tab.start()
    tab.says("Done")
    tab.page.get_by_role("img", name="The picture after").wait_for()
    tab.page.click("text=Pixel for pixel")
    tab.page.wait_for_function("[...document.querySelectorAll('#compare img')].every(one => one.naturalHeight === 480)")
    natural, shown = tab.page.evaluate(
        "(() => { const one = document.querySelectorAll('#compare img')[1];"
        " return [one.naturalWidth, one.getBoundingClientRect().width] })()")
    assert natural == shown
    content = tab.page.request.get(str(tab.page.get_by_role("img", name="The picture after").get_attribute("src")))
    (tmp_path / "seen.png").write_bytes(content.body())
    seen = read_image(tmp_path / "seen.png").pixels
    whole = read_image(tab.fetched("photo.png", tmp_path)).pixels
    if side == 60:  # 120 px in the middle of the frame
        top, left = 240 - side, (natural - 2 * side) // 2
        np.testing.assert_array_equal(seen[top:top + 2 * side, left:left + 2 * side], whole)
    else:
        top, left = side - 240, side - natural // 2
        np.testing.assert_array_equal(seen, whole[top:top + 480, left:left + natural])


def test_what_the_guard_found_is_outlined_in_the_picture(tab: Visit, tmp_path: Path) -> None:
    pixels = np.full((80, 80, 3), 128, np.uint8)
    pixels[16:32, 16:32] = (255, 0, 0)
    Pillow.fromarray(pixels).save(tmp_path / "red.png")
    tab.drop(tmp_path / "red.png")
    tab.choose("model", "broken")
    tab.start()
    tab.says("Done")
    assert "does not resemble the input" in tab.page.inner_text("#results")
    assert "where “Repair it” is chosen" in tab.page.inner_text("#results")
    after = tab.page.get_by_role("img", name="The picture after")
    after.wait_for()

    def marked() -> NDArray[np.bool_]:
        (tmp_path / "seen.png").write_bytes(tab.page.request.get(str(after.get_attribute("src"))).body())
        return np.asarray((read_image(tmp_path / "seen.png").pixels == MARK_RGB).all(axis=2))

    found = np.argwhere(marked())
    assert (found.min(axis=0).tolist(), found.max(axis=0).tolist()) == ([32, 32], [63, 63])
    known = after.get_attribute("src")
    tab.page.click("text=Outline what the guard found")
    tab.page.wait_for_function("known => document.querySelectorAll('#compare img')[1].src !== known", arg=known)
    assert not marked().any()
