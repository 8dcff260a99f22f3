"""What runs code from outside is a process that may fail, and what it makes is kept in the cache."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from srn_deploy.errors import GraphError, MismatchedTensors, OptionError
from srn_deploy.external import store
from srn_deploy.external.request import ExternalAnswer, ExternalRequest, message_in, message_line
from srn_deploy.system.bounded_process import Ended
from srn_deploy.system.hashing import sha256_of_file

REQUEST = ExternalRequest(source="net.pth", output="", network="net.py:Net")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SRN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize(("ended", "message"), [
    (Ended(reason="it does not end within 1800 s", exceeded=True),
     "could not be prepared: it does not end within 1800 s"),
    (Ended(reason="it ends in signal 11 (SIGSEGV)", last_line="a last word"), r"\(SIGSEGV\) \(a last word\)"),
    (Ended(output=b"no json"), "answers wrongly")])
def test_a_process_that_fails_is_an_error_and_leaves_nothing(
        cache: Path, monkeypatch: pytest.MonkeyPatch, ended: Ended, message: str) -> None:
    monkeypatch.setattr(store, "run_bounded", lambda *arguments, **bounds: ended)
    with pytest.raises(GraphError, match=message):
        store.kept_graph(REQUEST, ["a"])
    assert [path for path in (cache / "external").rglob("*") if path.is_file() and path.suffix != ".lock"] == []


@pytest.mark.parametrize(("ended", "remedy"), [
    (Ended(reason="it takes more than 12.0 GiB", exceeded=True), store.MEMORY_VARIABLE),
    (Ended(reason="it ends in signal 11 (SIGSEGV)"), "by itself")])
def test_more_time_and_memory_are_offered_only_where_they_were_exceeded(
        cache: Path, monkeypatch: pytest.MonkeyPatch, ended: Ended, remedy: str) -> None:
    monkeypatch.setattr(store, "run_bounded", lambda *arguments, **bounds: ended)
    with pytest.raises(GraphError) as caught:
        store.kept_graph(REQUEST, ["a"])
    assert remedy in caught.value.remedy


def test_an_error_of_the_process_is_raised_here(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = b'{"error": "MismatchedTensors", "message": "It does not fit.", "remedy": "Give another."}'
    monkeypatch.setattr(store, "run_bounded", lambda *arguments, **bounds: Ended(output=answer))
    with pytest.raises(MismatchedTensors) as caught:
        store.kept_graph(REQUEST, ["a"])
    assert (caught.value.message, caught.value.remedy) == ("It does not fit.", "Give another.")


@pytest.mark.parametrize("text", ["0", "-1", "soon", "inf"])
def test_a_bound_that_is_no_positive_number_is_refused(cache: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv(store.SECONDS_VARIABLE, text)
    with pytest.raises(OptionError, match=store.SECONDS_VARIABLE):
        store.kept_graph(REQUEST, ["a"])


def test_what_makes_another_graph_has_a_place_of_its_own(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def made_now(module: str, request: bytes, **bounds: object) -> Ended:
        Path(json.loads(request)["output"]).write_bytes(b"graph")
        return Ended(output=b'{"images": 5}')

    monkeypatch.setattr(store, "run_bounded", made_now)
    requests = [REQUEST, replace(REQUEST, settings={"a": 1}), replace(REQUEST, trust=True),
                replace(REQUEST, value_range=1.0), replace(REQUEST, weights="x"), replace(REQUEST, form="portable"),
                replace(REQUEST, pixel_type="float32"), replace(REQUEST, precision="fp16"),
                replace(REQUEST, network="b.py:B")]
    paths = {store.kept_graph(request, ["a"]).path for request in requests}
    assert len(paths) == len(requests)
    assert store.kept_graph(REQUEST, ["b"]).path not in paths
    assert store.kept_graph(replace(REQUEST, threads=7), ["a"]) == store.KeptGraph(
        path=store.kept_graph(REQUEST, ["a"]).path, answer=ExternalAnswer(images=5))


def test_messages_travel_through_stderr_and_nothing_else_is_taken_for_one() -> None:
    assert message_in(message_line(20, "two\nlines")) == (20, "two\nlines")
    assert message_in("imported") is None
    assert message_in(message_line(20, "cut")[:-3]) is None


@pytest.mark.parametrize("is_removed", [False, True])
def test_code_that_was_imported_from_anywhere_and_has_changed_makes_the_graph_again(
        cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_removed: bool) -> None:
    made, code = [], tmp_path / "blocks.py"
    code.write_text("GAIN = 1", encoding="utf-8")

    def made_now(module: str, request: bytes, **bounds: object) -> Ended:
        made.append(module)
        Path(json.loads(request)["output"]).write_bytes(b"graph")
        files = {str(code): sha256_of_file(code)} if code.exists() else {}
        return Ended(output=json.dumps({"files": files}).encode())

    monkeypatch.setattr(store, "run_bounded", made_now)
    store.kept_graph(REQUEST, ["a"])
    store.kept_graph(REQUEST, ["a"])
    assert len(made) == 1
    if is_removed:
        code.unlink()
    else:
        code.write_text("GAIN = 2", encoding="utf-8")
    store.kept_graph(REQUEST, ["a"])
    assert len(made) == 2
