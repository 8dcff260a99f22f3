"""Files that are sent to the page: each stays for as long as a tab has it, however many tabs send the same."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from srn_deploy.web.access import Message, Receive, Scope, Send
from srn_deploy.web.uploads import ADDRESS, CLAIM_WITHIN_S, Uploads
from srn_deploy.web.visitors import Visitors

DIGEST = "0" * 64


@pytest.fixture
def visitors(tmp_path: Path) -> Visitors:
    return Visitors(tmp_path, Uploads(tmp_path))


def sent(folder: Path, name: str = "same.png") -> Path:
    """A file as Gradio keeps it: whole in one step, in the place of an equal one."""
    path = folder / DIGEST / name
    path.parent.mkdir(exist_ok=True)
    (part := folder / "part").write_bytes(b"pixels")
    return part.replace(path)


def test_a_file_stays_until_the_last_tab_that_has_it_is_closed(visitors: Visitors, tmp_path: Path) -> None:
    path = sent(tmp_path)
    for tab in ("one", "two"):
        visitors.took(tab, [path])
    visitors.left("one")
    assert path.exists()
    visitors.left("two")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_a_tab_takes_off_its_list_is_removed(visitors: Visitors, tmp_path: Path) -> None:
    first, second = sent(tmp_path, "first.png"), sent(tmp_path, "second.png")
    visitors.took("one", [first, second])
    visitors.took("one", [second])
    assert not first.exists()
    assert second.exists()


def test_a_file_that_another_tab_sent_just_now_is_not_removed_with_the_tab_that_had_it_before(visitors: Visitors,
                                                                                              tmp_path: Path) -> None:
    visitors.took("one", [sent(tmp_path)])
    path = sent(tmp_path)  # by two, which has not said so yet
    visitors.left("one")
    assert path.exists()
    visitors.took("two", [path])
    visitors.left("two")
    assert not path.exists()


def test_a_file_whose_tab_closed_before_it_said_so_is_removed_after_a_while(
        visitors: Visitors, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("srn_deploy.web.uploads.time.monotonic", lambda: now[0])
    path = sent(tmp_path)
    visitors.took("other", [])
    now[0] = CLAIM_WITHIN_S - 1
    visitors.took("other", [])
    assert path.exists()
    now[0] = CLAIM_WITHIN_S + 1
    visitors.took("other", [])
    assert not path.exists()


def test_nothing_is_removed_while_a_file_is_on_its_way_and_all_of_it_when_it_has_come(visitors: Visitors,
                                                                                      tmp_path: Path) -> None:
    path = sent(tmp_path)
    visitors.took("one", [path])

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        (tmp_path / "part").touch()
        visitors.left("one")
        assert path.exists()
        assert (tmp_path / "part").exists()

    async def receive() -> Message:
        return {}

    async def send(message: Message) -> None:
        """Nothing is sent."""

    async def one_request() -> None:
        await visitors.uploads.watched(application)({"type": "http", "path": ADDRESS}, receive, send)

    asyncio.run(one_request())
    assert list(tmp_path.iterdir()) == []


def test_files_outside_the_folder_are_never_removed(visitors: Visitors, tmp_path: Path) -> None:
    (own := tmp_path / "run" / "1").mkdir(parents=True)
    (result := own / "result.png").touch()
    visitors.took("one", [result])
    visitors.took("one", [])
    assert result.exists()
