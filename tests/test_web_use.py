"""The local page as people use it: by drag and drop, by the keyboard alone, with a screen reader, on any screen."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.chromium import chromium
from tests.page_visits import Served, Visit, needs_page, picture, served, visit

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = needs_page


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("page"), models=["slow", "broken"]) as found:
        yield found


@pytest.fixture
def tab(browser: Browser, page: Served) -> Iterator[Visit]:
    with visit(browser, page.address) as found:
        yield found


def test_a_picture_is_taken_where_it_is_dropped(tab: Visit, tmp_path: Path) -> None:
    content = base64.b64encode(picture(tmp_path / "dropped.png").read_bytes()).decode()
    transfer = tab.page.evaluate_handle("""async content => {
      const transfer = new DataTransfer(), bytes = await (await fetch(`data:image/png;base64,${content}`)).blob();
      transfer.items.add(new File([bytes], 'dropped.png', {type: 'image/png'}));
      return transfer;
    }""", content)
    tab.page.dispatch_event("#pictures button", "drop", {"dataTransfer": transfer})
    tab.page.locator("#pictures .file-preview", has_text="dropped").wait_for()
    tab.choose("model", "broken")
    tab.start()
    assert tab.says("Done") == "Done: 1 of 1 upscaled."


def test_a_picture_is_upscaled_and_looked_at_by_the_keyboard_alone(tab: Visit, tmp_path: Path) -> None:
    keys = tab.page.keyboard

    def tab_to(selector: str) -> None:
        for _ in range(30):
            if tab.page.evaluate("selector => document.activeElement.matches(selector)", selector):
                return
            keys.press("Tab")
        raise AssertionError(f"{selector} is not reached by Tab")

    tab.page.on("filechooser", lambda _: None)  # from now on the browser opens none of its own
    tab_to("#pictures button[aria-label^='Pictures']")
    with tab.page.expect_file_chooser() as asked:
        keys.press("Enter")
    asked.value.set_files(picture(tmp_path / "keys.png"))
    tab.page.locator("#pictures .file-preview", has_text="keys").wait_for()
    tab_to("#model input")
    keys.press("ArrowDown")
    keys.press("Enter")
    tab_to("#start")
    keys.press("Enter")
    assert tab.says("Done") == "Done: 1 of 1 upscaled."
    tab.page.get_by_role("slider", name="Line between before and after").wait_for()
    tab_to("#results a")
    with tab.page.expect_download() as coming:
        keys.press("Enter")
    assert coming.value.suggested_filename == "keys.png"
    tab_to("#compare [role=slider]")
    keys.press("End")
    tab.page.wait_for_function("document.activeElement.getAttribute('aria-valuenow') === '100'")
    tab_to("#view-kind input[value^=Pixel]")
    keys.press("Space")
    tab.page.locator("#across").wait_for()


def test_everything_has_a_name_and_is_reached_by_tab(tab: Visit, tmp_path: Path) -> None:
    tab.drop(picture(tmp_path / "good.png"))
    tab.choose("model", "broken")
    tab.start()
    tab.says("Done")
    tab.page.get_by_role("slider", name="Line between before and after").wait_for()
    unnamed = tab.page.evaluate("""() => [...document.querySelectorAll('button, input, select, textarea, img, a')]
      .filter(one => one.checkVisibility() && !one.closest('[aria-hidden=true]'))
      .filter(one => !(one.getAttribute('aria-label') || one.getAttribute('aria-labelledby') || one.alt ||
                       one.textContent.trim() || one.title || [...(one.labels || [])].some(l => l.textContent.trim())))
      .map(one => one.outerHTML.slice(0, 120))""")
    assert unnamed == []
    parts = ["pictures", "model", "size", "format", "guard", "start", "stop", "results", "compare", "view", "mark"]
    reached = []
    tab.page.focus("#pictures button")
    for _ in range(30):
        reached += tab.page.evaluate("parts => parts.filter(one => document.activeElement.closest('#' + one))", parts)
        tab.page.keyboard.press("Tab")
    assert list(dict.fromkeys(reached)) == parts
    assert tab.page.locator("#status").get_attribute("role") == "status"


@pytest.mark.parametrize("width", [390, 1600])
def test_nothing_is_wider_than_the_screen_and_nothing_moves_aside_for_results(browser: Browser, page: Served,
                                                                              tmp_path: Path, width: int) -> None:
    with visit(browser, page.address, width=width, height=844) as tab:
        left = tab.page.evaluate("document.querySelector('#title').getBoundingClientRect().left")
        tab.drop(picture(tmp_path / ("a_name_that_has_no_space_to_break_it_" * 3 + ".png")))
        tab.choose("model", "broken")
        tab.start()
        tab.says("Done")
        tab.page.get_by_role("img", name="The picture after").wait_for()
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.page.evaluate("document.querySelector('#title').getBoundingClientRect().left") == left
        assert tab.others == []
