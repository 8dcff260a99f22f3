"""Fetching from a server that serves well, cuts, lies and stalls: the file is the pinned one or absent."""

from __future__ import annotations

import socket
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from srn_deploy.errors import DownloadError
from srn_deploy.registry.download import Patience, fetch, partial_path
from tests.rude_server import BODY, CUT, QUICK, SIZE, Manner, Server, bring, left_in, pinned, serving

pytestmark = pytest.mark.usefixtures("no_proxy")


def test_a_file_that_is_served_well_is_there_after_one_request(tmp_path: Path) -> None:
    with serving() as server:
        path, told = bring(server, tmp_path / "new" / "folder")
    assert path.read_bytes() == BODY
    assert (server.ranges, told, left_in(path.parent)) == ([None], [], {"net.pt"})


def test_a_cut_is_resumed_where_it_was(tmp_path: Path) -> None:
    with serving(Manner(cut_after=CUT), Manner()) as server:
        path, told = bring(server, tmp_path)
    assert path.read_bytes() == BODY
    assert server.ranges == [None, f"bytes={CUT}-"]
    assert server.sent_bytes == [CUT, SIZE - CUT]
    assert told == [f"127.0.0.1: the connection ended after {CUT} of {SIZE} bytes; trying again in 0.001 s."]


def test_a_server_that_always_cuts_at_once_ends_in_an_error_and_what_came_waits(tmp_path: Path) -> None:
    with serving(Manner(cut_after=CUT), Manner(cut_after=0)) as server:
        with pytest.raises(DownloadError, match=f"ended after {CUT} of {SIZE} bytes, 3 times in a row") as caught:
            bring(server, tmp_path)
        partial = partial_path(pinned(server), tmp_path / "net.pt")
        assert left_in(tmp_path) == {partial.name}
        assert partial.read_bytes() == BODY[:CUT]
        assert str(tmp_path / "net.pt") in caught.value.remedy
        server.manners = [Manner()]
        path, _ = bring(server, tmp_path)
    assert path.read_bytes() == BODY
    assert server.ranges[-1] == f"bytes={CUT}-"


def test_a_connection_that_is_reset_before_any_answer_is_tried_again(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        def accept_and_close() -> None:
            for _ in range(QUICK.tries):
                listener.accept()[0].close()

        thread = threading.Thread(target=accept_and_close)
        thread.start()
        server = Server([], url=f"http://127.0.0.1:{listener.getsockname()[1]}/weights.pt")
        with pytest.raises(DownloadError, match=r"the connection was cut.*3 times in a row"):
            bring(server, tmp_path)
        thread.join()


@pytest.mark.parametrize("announced", [SIZE - 1, SIZE + 1, 12])
def test_another_length_is_refused_before_a_byte_is_read(tmp_path: Path, announced: int) -> None:
    with serving(Manner(announced=announced)) as server, pytest.raises(DownloadError, match="announces") as caught:
        bring(server, tmp_path)
    assert f"{announced} bytes instead of {SIZE}" in caught.value.message
    assert len(server.ranges) == 1
    assert left_in(tmp_path) == set()


def test_other_bytes_of_the_right_length_are_removed_and_that_is_said(tmp_path: Path) -> None:
    with serving(Manner(body=bytes(SIZE))) as server, pytest.raises(DownloadError, match="sha256 is different"):
        bring(server, tmp_path)
    assert len(server.ranges) == 1
    assert left_in(tmp_path) == set()


def test_no_more_than_the_pinned_size_is_read(tmp_path: Path) -> None:
    endless = Manner(body=bytes(SIZE) + bytes(50_000_000), tells_length=False)
    with serving(endless) as server, pytest.raises(DownloadError, match="sha256"):
        seen: list[int] = []
        fetch(pinned(server), tmp_path / "net.pt", patience=QUICK, opener=server.opener(), on_bytes=seen.append)
    assert max(seen) == SIZE
    assert left_in(tmp_path) == set()


@pytest.mark.parametrize("after", [0, CUT])
def test_a_stall_ends_in_an_error_and_what_came_waits(tmp_path: Path, after: int) -> None:
    with serving(Manner(stall_after=after)) as server, pytest.raises(DownloadError, match=r"no answer for 0\.3 s"):
        bring(server, tmp_path, replace(QUICK, tries=1))
    partial = partial_path(pinned(server), tmp_path / "net.pt")
    assert partial.read_bytes() == BODY[:after]


def test_a_server_that_takes_the_connection_and_says_nothing_ends_in_an_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Server([], url=f"http://127.0.0.1:{listener.getsockname()[1]}/weights.pt")
        with pytest.raises(DownloadError, match=r"no answer for 0\.3 s"):
            bring(server, tmp_path, replace(QUICK, tries=1))


@pytest.mark.parametrize("status", [403, 404, 410, 401])
def test_a_refusal_is_not_tried_again(tmp_path: Path, status: int) -> None:
    with serving(Manner(status=status)) as server, pytest.raises(DownloadError, match=f"answers {status} "):
        bring(server, tmp_path)
    assert len(server.ranges) == 1


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_a_passing_fault_is_tried_again(tmp_path: Path, status: int) -> None:
    with serving(Manner(status=status), Manner()) as server:
        path, told = bring(server, tmp_path)
    assert path.read_bytes() == BODY
    assert len(told) == 1
    assert f"answers {status} " in told[0]


def test_pauses_grow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    with serving(Manner(status=500)) as server, pytest.raises(DownloadError, match="5 times in a row"):
        bring(server, tmp_path, Patience(timeout_s=1))
    assert pauses == [1, 2, 4, 8]


def test_a_server_is_left_alone_as_long_as_it_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    with serving(Manner(status=429, headers=(("Retry-After", "2"),)), Manner()) as server:
        bring(server, tmp_path)
    assert pauses == [2]


def test_a_date_to_come_back_at_is_understood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    then = format_datetime(datetime.now(UTC) + timedelta(seconds=40), usegmt=True)
    with serving(Manner(status=503, headers=(("Retry-After", then),)), Manner()) as server:
        bring(server, tmp_path, replace(QUICK, longest_pause_s=60))
    assert 20 < pauses[0] <= 40  # a date has whole seconds, and starting the server took some


def test_a_server_that_asks_for_an_hour_is_not_waited_for(tmp_path: Path) -> None:
    with serving(Manner(status=429, headers=(("Retry-After", "3600"),))) as server, \
            pytest.raises(DownloadError, match="a pause of 3600 s"):
        bring(server, tmp_path)
    assert len(server.ranges) == 1


def partly(server: Server, folder: Path, part: bytes) -> None:
    """Leave a partial file, as a cut would."""
    partial_path(pinned(server), folder / "net.pt").write_bytes(part)


def test_a_server_that_knows_no_parts_sends_the_whole_anew(tmp_path: Path) -> None:
    with serving(Manner(ignores_range=True)) as server:
        partly(server, tmp_path, BODY[:CUT])
        path, _ = bring(server, tmp_path)
    assert path.read_bytes() == BODY
    assert server.ranges == [f"bytes={CUT}-"]
    assert server.sent_bytes == [SIZE]


def test_after_416_the_whole_is_asked_for(tmp_path: Path) -> None:
    with serving(Manner(status=416), Manner()) as server:
        partly(server, tmp_path, BODY[:CUT])
        path, _ = bring(server, tmp_path)
    assert path.read_bytes() == BODY
    assert server.ranges == [f"bytes={CUT}-", None]


@pytest.mark.parametrize("span", [f"bytes 0-{SIZE - 1}/{SIZE}", f"bytes {CUT}-{SIZE - 1}/{SIZE + 5}", "nonsense"])
def test_a_part_that_was_not_asked_for_is_refused_and_the_next_time_begins_anew(tmp_path: Path, span: str) -> None:
    with serving(Manner(content_range=span), Manner()) as server:
        partly(server, tmp_path, BODY[:CUT])
        with pytest.raises(DownloadError, match="was asked for bytes"):
            bring(server, tmp_path)
        assert left_in(tmp_path) == set()
        path, _ = bring(server, tmp_path)
    assert path.read_bytes() == BODY
    assert server.ranges == [f"bytes={CUT}-", None]


def test_a_whole_partial_file_is_only_checked(tmp_path: Path) -> None:
    with serving() as server:
        partly(server, tmp_path, BODY)
        path, _ = bring(server, tmp_path)
    assert path.read_bytes() == BODY
    assert server.ranges == []


def test_a_partial_file_that_is_too_long_is_begun_anew(tmp_path: Path) -> None:
    with serving() as server:
        partly(server, tmp_path, BODY + b"more")
        path, _ = bring(server, tmp_path)
    assert path.read_bytes() == BODY
    assert server.ranges == [None]


def test_a_partial_file_of_other_bytes_does_not_become_the_file(tmp_path: Path) -> None:
    with serving() as server:
        partly(server, tmp_path, bytes(CUT))
        with pytest.raises(DownloadError, match="sha256"):
            bring(server, tmp_path)
        path, _ = bring(server, tmp_path)
    assert path.read_bytes() == BODY


def test_a_packed_answer_is_refused(tmp_path: Path) -> None:
    with serving(Manner(headers=(("Content-Encoding", "gzip"),))) as server, \
            pytest.raises(DownloadError, match="compressed as gzip"):
        bring(server, tmp_path)
