"""A report in a real Chromium: it opens without a request, sorts, slides, and prints."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks.compared_pictures import originals
from benchmarks.inputs import BENCHMARKS
from benchmarks.report_page import PAGE
from srn_deploy.report import report
from tests.chromium import chromium, needs_chromium
from tests.report_records import write_all, write_pictures

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    path = folder / "report.html"
    path.write_text(report(write_all(folder), write_pictures(folder / "pictures")), encoding="utf-8")
    return path


@pytest.fixture(params=[390, 1600])
def page(request: pytest.FixtureRequest, browser: Browser, file: Path) -> Iterator[Page]:
    """Opened at the width of a telephone and of a large screen; any complaint, and any request, fails the test."""
    context = browser.new_context(viewport={"width": request.param, "height": 900})
    opened = context.new_page()
    told: list[str] = []
    opened.on("console", lambda message: told.append(f"console: {message.text}"))
    opened.on("pageerror", lambda error: told.append(f"error: {error}"))
    opened.on("request", lambda asked: None if asked.url.startswith("data:") else told.append(asked.url))
    opened.goto(file.as_uri())
    yield opened
    context.close()
    assert told == [file.as_uri()]


def column(page: Page, number: int) -> list[str]:
    """Of the table of the steady state."""
    return page.locator(f"section:has-text('Steady state on') tbody tr td:nth-child({number})").all_inner_texts()


def test_a_click_on_a_head_sorts_by_numbers_and_another_one_backwards(page: Page) -> None:
    head = page.locator("section:has-text('Steady state on') th").nth(1)
    assert column(page, 2) == ["11.00", "99.00", "22.00"]
    head.get_by_role("button").click()
    assert column(page, 2) == ["11.00", "22.00", "99.00"]
    assert head.get_attribute("aria-sort") == "ascending"
    head.get_by_role("button").press("Enter")
    assert column(page, 1) == ["second", "third", "first"]
    assert head.get_attribute("aria-sort") == "descending"


def test_texts_are_sorted_as_texts_and_empty_cells_stand_last(page: Page) -> None:
    rows = page.locator("section:has-text('Stones per bag') table").nth(1)
    rows.get_by_role("button", name="stone").click()
    assert rows.locator("tbody td:first-child").all_inner_texts() == ["basalt", "granite"]
    for _ in range(2):
        rows.get_by_role("button", name="depth").click()
        assert rows.locator("tbody td:last-child").all_inner_texts() == ["4", "–"]


def test_the_slider_moves_by_mouse_and_by_keys_and_candidates_are_chosen(page: Page) -> None:
    slider = page.locator(".slider")
    over, under, handle = slider.locator("img.over"), slider.locator("img").first, slider.get_by_role("slider")
    assert over.evaluate("image => image.style.clipPath") == "inset(0px 50% 0px 0px)"
    handle.press("ArrowRight")
    assert over.evaluate("image => image.style.clipPath") == "inset(0px 49% 0px 0px)"
    stage = slider.locator(".stage").bounding_box()
    assert stage is not None
    slider.locator(".stage").click(position={"x": stage["width"] * 0.2, "y": 5})
    assert handle.input_value() == "20"
    slider.get_by_label("Left image").select_option("original")
    strip = page.locator(".strip figure[data-candidate=original] img")
    assert over.get_attribute("src") == strip.get_attribute("src")
    assert under.get_attribute("src") == page.locator(".strip figure[data-candidate=perfect] img").get_attribute("src")
    assert slider.locator(".scores span").all_inner_texts() == ["before it was made small", "no difference"]


def test_every_image_is_decoded(page: Page) -> None:
    assert page.evaluate("[...document.images].every(image => image.complete && image.naturalWidth > 0)")


def test_nothing_is_wider_than_the_window(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_text_and_background_are_told_apart_in_light_and_dark(page: Page) -> None:
    found = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found.append(page.evaluate("(({color, backgroundColor}) => [color, backgroundColor])"
                                   "(getComputedStyle(document.body))"))
        fill = page.evaluate("getComputedStyle(document.querySelector('svg text.label')).fill")
        assert fill == found[-1][0]
    assert found[0] != found[1]


def test_printed_it_is_a_pdf_with_all_candidates_side_by_side_and_without_the_slider(page: Page) -> None:
    printed = page.pdf(prefer_css_page_size=True)
    assert printed.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) >= 2
    page.emulate_media(media="print")
    assert page.locator(".slider").is_hidden()
    assert page.locator(".strip img").count() == 4


@pytest.mark.parametrize("width", [390, 1600])
def test_the_page_of_this_project_opens_without_a_request_and_fits(browser: Browser, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900})
    page = context.new_page()
    told: list[str] = []
    page.on("console", lambda message: told.append(message.text))
    page.on("request", lambda asked: told.append(asked.url))
    address = (BENCHMARKS / PAGE).as_uri()
    page.goto(address)
    assert told == [address]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.locator("th button").count() > 100
    context.close()


@pytest.mark.parametrize("width", [390, 1600])
def test_images_of_the_page_of_this_project_are_compared_with_a_slider(browser: Browser, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900})
    page = context.new_page()
    page.goto((BENCHMARKS / PAGE).as_uri())
    sliders = page.locator(".slider")
    assert sliders.count() == len(originals())
    first = sliders.first
    first.get_by_label("Left image").select_option("bicubic")
    first.get_by_label("Right image").select_option("original")
    first.get_by_role("slider").fill("25")
    over = first.locator("img.over")
    assert over.evaluate("image => image.style.clipPath") == "inset(0px 75% 0px 0px)"
    strip = page.locator(".strip").first
    assert over.get_attribute("src") == strip.locator("[data-candidate=bicubic] img").get_attribute("src")
    assert re.fullmatch(r"\d+\.\d\d dB, part \d+\.\d\d dB", first.locator(".scores span").first.inner_text())
    context.close()


def test_without_a_script_everything_is_there(browser: Browser, file: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(file.as_uri())
    assert page.locator(".strip img").count() == 4
    assert page.locator("svg").count() == 4
    assert page.locator("th").first.inner_text() == "model and set"
    context.close()
