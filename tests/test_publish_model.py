"""Publishing a trained run: the mean of several, and INT8 graphs that are shipped or not."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmarks import publish_model
from benchmarks.publish_model import int8_entry, main, mean_of, mean_sentence
from srn_deploy.architectures.checkpoint import save_checkpoint
from srn_deploy.errors import ExportMismatch
from srn_deploy.system.hashing import sha256_of_file
from srn_deploy.verification.verify import CERTIFICATE_SUFFIX
from tests.networks import seeded_network

OPTIONS: dict[str, Any] = {"scale": 2, "channels": 8, "esa_channels": 4, "blocks": 1}


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    """Two runs of one network that ended with different weights."""
    folders = [tmp_path / "first", tmp_path / "second"]
    for seed, folder in enumerate(folders):
        folder.mkdir()
        save_checkpoint(folder / "model.safetensors", seeded_network(seed=seed, **OPTIONS).network, architecture="srn",
                        options=OPTIONS, value_range=1.0)
    return folders


def test_the_mean_of_runs_is_that_of_each_of_their_weights(runs: list[Path]) -> None:
    first, second, mean = (mean_of(some).network.state_dict() for some in (runs[:1], runs[1:], runs))
    for name, weights in mean.items():
        torch.testing.assert_close(weights, (first[name] + second[name]) / 2)
    assert not torch.equal(*(one["recon_trunk.0.conv1.weight"] for one in (first, second)))


def test_the_card_names_the_runs_of_a_mean_and_says_nothing_of_one(runs: list[Path]) -> None:
    assert "mean of those after `first` and `second`" in mean_sentence(runs)
    assert mean_sentence(runs[1:]) == ""


def test_a_mean_of_one_run_is_wrong_usage(runs: list[Path], monkeypatch: pytest.MonkeyPatch,
                                          capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["publish_model", "name", str(runs[0]), "--title", "t", "--data-note", "d",
                                      "--mean"])
    with pytest.raises(SystemExit):
        main()
    assert "--mean needs two runs" in capsys.readouterr().err


@pytest.mark.parametrize(("lost_db", "is_shipped"), [(0.1, True), (0.101, False), (None, False)])
def test_an_int8_graph_is_shipped_where_it_loses_little(runs: list[Path], monkeypatch: pytest.MonkeyPatch,
                                                        lost_db: float | None, is_shipped: bool) -> None:
    graph = runs[0] / "int8.onnx"

    def export(_: object, output: Path, __: object) -> SimpleNamespace:
        output.write_bytes(b"a graph")
        Path(f"{output}{CERTIFICATE_SUFFIX}").touch()
        return SimpleNamespace(certificate=SimpleNamespace(psnr_loss_db=lost_db))

    monkeypatch.setattr(publish_model, "export_int8", export)
    entry = int8_entry(runs[0] / "model.safetensors", graph)
    assert graph.exists() is is_shipped
    assert entry == ({"int8_graph": {"name": "int8.onnx", "sha256": sha256_of_file(graph)}} if is_shipped else {})
    assert not list(runs[0].glob(f"*{CERTIFICATE_SUFFIX}"))


def test_an_int8_graph_that_cannot_be_certified_is_not_shipped_nor_that_of_the_model_before(
        runs: list[Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def export(*_: object) -> None:
        raise ExportMismatch("The INT8 graph is too far from the FP32 one.", remedy="Use --fp16.")

    monkeypatch.setattr(publish_model, "export_int8", export)
    (graph := runs[0] / "int8.onnx").write_bytes(b"the graph of the model before")
    assert int8_entry(runs[0] / "model.safetensors", graph) == {}
    assert not graph.exists()
    assert "too far from the FP32 one" in capsys.readouterr().out
