"""A graph that was never run here is first run in a process of its own."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from srn_deploy.backends import first_run, open_backend
from srn_deploy.errors import GraphError
from srn_deploy.registry.shipped import default_model, shipped_models
from srn_deploy.system.bounded_process import Ended
from srn_deploy.system.hashing import sha256_of_file
from tests import hostile_graphs
from tests.commands import srn_deploy
from tests.hostile_graphs import written
from tests.optional import OPENVINO
from tests.tiny_graph import tiny_graph

SHORT_S = 1.0
"""Whether the process is running the graph by then or still starting makes no difference."""

LITTLE_BYTES = 2**29
"""More than the libraries take, and less than a million images."""


@pytest.fixture(autouse=True)
def careful(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Graphs are tried first in this process too, and nothing is known yet."""
    monkeypatch.setattr(first_run, "_bounded", False)
    monkeypatch.setenv("SRN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def trials(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The requests of trials, each of which ends well at once."""
    requests: list[bytes] = []

    def answered(module: str, request: bytes, **bounds: float) -> Ended:
        requests.append(request)
        return Ended(output=b"{}", reason="", last_line="")

    monkeypatch.setattr(first_run, "run_bounded", answered)
    return requests


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    path = tmp_path / "half.onnx"
    path.write_bytes(tiny_graph().SerializeToString())
    return path


@pytest.mark.parametrize("name", list(hostile_graphs.CRASHES))
def test_a_graph_that_crashes_onnx_runtime_is_an_error_in_words(tmp_path: Path, name: str) -> None:
    path = written(hostile_graphs.CRASHES[name], tmp_path)
    with pytest.raises(GraphError, match=r"cannot be run: .*it ends in signal \d+ \(SIGFPE\)"):
        open_backend(path, "cpu")


@pytest.mark.parametrize("command", [
    ("info",), ("upscale", "image.png", "large.png", "--device", "cpu", "--model"), ("verify",),
    ("bench", "--device", "cpu", "--size", "24x32", "--rounds", "1")])
def test_every_command_survives_a_graph_that_crashes_and_leaves_nothing(tmp_path: Path,
                                                                        command: tuple[str, ...]) -> None:
    path = written(hostile_graphs.huge_blocks, tmp_path)
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "image.png")
    before = sorted(tmp_path.rglob("*"))
    ended = srn_deploy(*command, path, cwd=tmp_path)
    assert (ended.returncode, "SIGFPE" in ended.stderr) == (1, True), ended
    assert sorted(tmp_path.rglob("*")) == before


def test_a_graph_that_never_ends_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_run, "SECONDS", SHORT_S)
    with pytest.raises(GraphError, match="does not end within 1 s"):
        open_backend(written(hostile_graphs.endless_loop, tmp_path), "cpu")


def test_a_graph_that_fills_the_memory_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_run, "MEMORY_BYTES", LITTLE_BYTES)
    with pytest.raises(GraphError, match=r"takes more than 0\.5 GiB"):
        open_backend(written(hostile_graphs.million_images, tmp_path), "cpu")


def test_a_graph_with_an_impossible_constant_is_an_error_of_the_graph_and_not_of_the_image(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match="not even on a small image"):
        open_backend(written(hostile_graphs.impossible_constant, tmp_path), "cpu")


def test_what_openvino_cannot_survive_is_an_error_too(tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason=OPENVINO)
    with pytest.raises(GraphError, match=r"cannot be run: .*SIGFPE"):
        open_backend(written(hostile_graphs.overflowing_constants, tmp_path), "openvino")


def test_a_graph_that_ran_is_tried_once(graph: Path, trials: list[bytes]) -> None:
    for _ in range(2):
        open_backend(graph, "cpu").close()
    assert trials == [b"onnxruntime\n" + os.fsencode(graph)]


def test_a_graph_that_ran_really_is_remembered(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_backend(graph, "cpu").close()
    monkeypatch.setattr(first_run, "run_bounded", None)
    open_backend(graph, "cpu").close()


def test_a_graph_that_crashed_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_run, "run_bounded", lambda *_, **__: Ended(output=b"", reason="it ends", last_line=""))
    for _ in range(2):
        with pytest.raises(GraphError, match="it ends"):
            open_backend(written(hostile_graphs.huge_blocks, tmp_path), "cpu")
    assert not (tmp_path / "cache").exists()


def test_another_content_under_the_same_name_is_another_graph(graph: Path, trials: list[bytes]) -> None:
    open_backend(graph, "cpu").close()
    changed = tiny_graph()
    changed.doc_string = "changed"
    graph.write_bytes(changed.SerializeToString())
    open_backend(graph, "cpu").close()
    assert len(trials) == 2


@pytest.mark.parametrize(("library", "version"), [("openvino", "1"), ("onnxruntime", "2")])
def test_another_library_and_another_version_try_it_again(
        graph: Path, trials: list[bytes], library: str, version: str) -> None:
    digest = sha256_of_file(graph)
    first_run.ensure_runs(graph, "onnxruntime", "1", digest)
    first_run.ensure_runs(graph, library, version, digest)
    assert len(trials) == 2


def test_shipped_graphs_are_known(trials: list[bytes]) -> None:
    open_backend(shipped_models()[default_model()].graph.path, "cpu").close()
    assert trials == []


def test_a_graph_that_was_exported_here_is_known_to_every_library(graph: Path, trials: list[bytes]) -> None:
    digest = sha256_of_file(graph)
    first_run.remember_export(digest)
    first_run.ensure_runs(graph, "onnxruntime", "1", digest)
    first_run.ensure_runs(graph, "openvino", "1", digest)
    assert trials == []


def test_without_a_cache_folder_a_graph_is_tried_each_time(
        graph: Path, trials: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SRN_CACHE", str(graph))  # a file: there can be no folder in it
    for _ in range(2):
        open_backend(graph, "cpu").close()
    assert len(trials) == 2


def test_an_error_of_the_trial_is_the_error_of_the_graph(tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"\x08\x08\x12\x04text")
    with pytest.raises(GraphError, match=r"broken.onnx cannot be opened by ONNX Runtime"):
        open_backend(path, "cpu")


def test_an_answer_that_cannot_be_read_is_an_error(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_run, "run_bounded", lambda *_, **__: Ended(output=b"?", reason="", last_line=""))
    with pytest.raises(GraphError, match="answer cannot be read"):
        open_backend(graph, "cpu")
