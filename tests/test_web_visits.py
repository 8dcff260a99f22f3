"""The local page when things go wrong or many come at once, in a real browser."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from srn_deploy.web.access import POLICY
from tests.chromium import chromium
from tests.page_visits import Served, Visit, needs_page, picture, served, visit

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = needs_page

SLOW_PX = 320
"""Side of a picture that `slow` takes some hundred windows for."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("page"), models=["slow", "broken"], max_megapixels=0.2,
                max_file_bytes=2**20, max_waiting=1, max_pictures=3) as found:
        yield found


@pytest.fixture
def tab(browser: Browser, page: Served) -> Iterator[Visit]:
    with visit(browser, page.address) as found:
        yield found


def names(page: Served) -> list[str]:
    return [path.name for path in page.files()]


def until(holds: Callable[[], bool], found: Callable[[], object], seconds: float = 40) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, found()
        time.sleep(0.1)


LATE = """(() => {
  const asked = window.fetch;
  window.fetch = async (...given) => {
    const answer = await asked(...given);
    if (!String(given[0].url || given[0]).includes('/queue/data')) return answer;
    const late = new TransformStream({
      transform: (part, out) => { setTimeout(() => out.enqueue(part), 1000); },
      flush: () => new Promise(done => setTimeout(done, 1100)),
    });
    return new Response(answer.body.pipeThrough(late), answer);
  };
})()"""
"""Everything that the server tells of runs comes a second later."""


def test_a_run_is_not_lost_where_something_else_is_still_being_told(tab: Visit, tmp_path: Path) -> None:
    tab.page.add_init_script(LATE)
    tab.page.reload()
    tab.page.wait_for_selector("#start")
    tab.choose("model", "broken")
    tab.choose("size", "Factor")
    tab.page.fill("#size-text textarea, #size-text input", "2")
    tab.drop(picture(tmp_path / "good.png"))
    tab.start()
    assert tab.says("Done") == "Done: 1 of 1 upscaled."
    tab.choose("size", "As the model gives it")
    tab.start()
    tab.page.locator("#bar progress:not([value='1'])").wait_for()
    assert tab.says("Done") == "Done: 1 of 1 upscaled."
    tab.page.get_by_role("img", name="The picture after").wait_for()


def test_the_same_file_is_upscaled_in_a_new_tab_while_the_one_before_it_closes(browser: Browser, page: Served,
                                                                               tmp_path: Path) -> None:
    source = picture(tmp_path / "again.png")
    for _ in range(3):
        with visit(browser, page.address) as before, visit(browser, page.address) as tab:
            before.drop(source)
            tab.choose("model", "broken")
            tab.page.set_input_files("#pictures input[type=file]", str(source))
            before.page.context.close()
            tab.page.locator("#pictures .file-preview", has_text="again").wait_for()
            tab.start()
            assert tab.says("Done") == "Done: 1 of 1 upscaled."


def test_a_picture_that_is_too_large_to_be_shown_is_said_to_be_and_can_be_downloaded(browser: Browser,
                                                                                     tmp_path: Path) -> None:
    with served(tmp_path / "page", models=["broken"], most_shown_pixels=5000) as own, \
            visit(browser, own.address) as tab:
        tab.drop(picture(tmp_path / "large.png"))
        tab.start()
        tab.says("Done: 1 of 1")
        note = tab.page.locator("#view-note[role=status]", has_text="too many to be shown here")
        note.wait_for()
        assert not tab.page.locator("#compare").is_visible()
        assert note.inner_text().startswith("large.png has 80 x 80 pixels")
        assert tab.fetched("large.png", tmp_path / "own").stat().st_size > 0


def test_a_wrong_file_says_why_and_the_others_go_on(tab: Visit, tmp_path: Path) -> None:
    (tmp_path / "notes.png").write_text("no picture <b>at all</b>")
    tab.drop(tmp_path / "notes.png", picture(tmp_path / "good.png"))
    tab.choose("model", "broken")
    tab.start()
    assert tab.says("Done") == "Done: 1 of 2 upscaled, 1 failed."
    rows = tab.page.locator("#results tbody tr").all_inner_texts()
    assert "notes.png is a text file, not an image" in rows[0]
    assert "srn-deploy-web-" not in rows[0]
    assert "Download good.png" in rows[1]


def test_a_picture_of_too_many_pixels_is_refused_before_it_is_decoded(tab: Visit, tmp_path: Path) -> None:
    tab.drop(picture(tmp_path / "wide.png", 500))
    tab.choose("model", "broken")
    tab.start()
    assert tab.says("Done") == "Done: 0 of 1 upscaled, 1 failed."
    assert "megapixels" in tab.page.inner_text("#results")


def test_a_file_of_too_many_bytes_is_refused_while_it_is_sent(tab: Visit, page: Served, tmp_path: Path) -> None:
    (tmp_path / "huge.png").write_bytes(bytes(3 * 2**20))
    tab.page.set_input_files("#pictures input[type=file]", str(tmp_path / "huge.png"))
    tab.page.get_by_text("exceed the maximum allowed size").first.wait_for()
    tab.start()
    assert "There is nothing to upscale" in tab.says("Drop a picture")
    assert [path for path in page.files() if path.stat().st_size >= 2**20] == []


def test_more_pictures_than_a_run_may_have_are_refused(tab: Visit, tmp_path: Path) -> None:
    tab.drop(*(picture(tmp_path / f"{number}.png") for number in range(4)))
    tab.start()
    assert "4 pictures are more than the 3 of one run" in tab.says("command line")


def test_a_size_that_is_none_is_said_before_the_work(tab: Visit, tmp_path: Path) -> None:
    tab.drop(picture(tmp_path / "good.png"))
    tab.choose("size", "Factor")
    tab.page.fill("#size-text textarea, #size-text input", "twice")
    tab.start()
    assert "'twice' is not a number" in tab.says("not a number")


def test_a_run_shows_how_long_it_takes_and_is_stopped_after_the_current_tile(tab: Visit, tmp_path: Path) -> None:
    tab.drop(picture(tmp_path / "a.png"), picture(tmp_path / "b.png", SLOW_PX))
    tab.choose("model", "slow")
    tab.start()
    tab.says("Upscaling b.png, 2 of 2")
    tab.page.locator("#bar", has_text="left").wait_for()
    tab.page.click("#stop")
    assert tab.says("Stopped") == "Stopped: 1 of 2 upscaled."
    assert tab.page.locator("#results a", has_text="Download a.png").count() == 1
    tab.choose("model", "broken")
    tab.start()
    tab.says("Done: 2 of 2")


def test_two_tabs_take_turns_and_a_third_is_told_to_come_again(browser: Browser, page: Served, tab: Visit,
                                                               tmp_path: Path) -> None:
    source = picture(tmp_path / "same.png", SLOW_PX)
    with visit(browser, page.address) as second, visit(browser, page.address) as third:
        for one in (tab, second, third):
            one.drop(source)
            one.choose("model", "slow")
        opened = page.said().count("opened slow")
        tab.start()
        tab.says("Upscaling")
        second.start()
        assert second.says("Waiting") == "Waiting: 1 run is before yours."
        third.start()
        assert "no more are taken" in third.says("no more")
        tab.page.click("#stop")
        tab.says("Stopped")
        second.says("Upscaling")
        second.page.click("#stop")
        second.says("Stopped")
        third.choose("model", "broken")
        third.start()
        third.says("Done: 1 of 1")
        assert page.said().count("opened slow") - opened <= 1


def test_what_a_tab_sent_and_was_given_is_removed_when_it_is_closed(browser: Browser, page: Served,
                                                                    tmp_path: Path) -> None:
    with visit(browser, page.address) as one, visit(browser, page.address) as other:
        for tab in (one, other):
            tab.drop(picture(tmp_path / "shared.png"))
        one.choose("model", "broken")
        one.start()
        one.says("Done")
        assert {path.name for path in page.files()} >= {"shared.png"}
        one.page.context.close()
        until(lambda: names(page) == ["shared.png"], lambda: names(page))  # the other tab has it, too
        other.choose("model", "broken")
        other.start()
        other.says("Done")
    until(lambda: names(page) == [], lambda: names(page))


def test_closing_a_tab_ends_its_run(browser: Browser, page: Served, tab: Visit, tmp_path: Path) -> None:
    with visit(browser, page.address) as gone:
        gone.drop(picture(tmp_path / "long.png", SLOW_PX))
        gone.choose("model", "slow")
        gone.start()
        gone.says("Upscaling")
    tab.drop(picture(tmp_path / "short.png"))
    tab.choose("model", "broken")
    tab.start()
    tab.says("Done: 1 of 1")


def test_a_server_that_ends_while_it_works_leaves_nothing_and_the_page_says_so(browser: Browser,
                                                                               tmp_path: Path) -> None:
    with served(tmp_path / "page", models=["slow"]) as own, visit(browser, own.address) as tab:
        headers = tab.page.request.get(own.address).headers
        assert headers["content-security-policy"] == POLICY
        tab.drop(picture(tmp_path / "long.png", SLOW_PX))
        tab.start()
        tab.says("Upscaling")
        assert own.end() == 130
        assert list(own.temporary.iterdir()) == []
        assert "Traceback" not in own.said()
        tab.page.locator("#gone", has_text="has ended").wait_for()
