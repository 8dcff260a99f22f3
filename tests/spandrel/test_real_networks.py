"""Checkpoints of the real spandrel's networks go the whole road through the command line."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from tests.commands import srn_deploy


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("spandrel")


@pytest.fixture(scope="module")
def network(folder: Path) -> torch.nn.Module:
    """PLKSR with random weights, which are saved as its authors publish theirs."""
    torch.manual_seed(0)
    plksr: Any = importlib.import_module("spandrel.architectures.PLKSR").PLKSR
    made: torch.nn.Module = plksr(dim=16, n_blocks=2, upscaling_factor=2, kernel_size=5)
    torch.save({"params_ema": made.state_dict()}, folder / "plksr.pth")
    return made.eval()


@pytest.fixture(scope="module")
def graph(folder: Path, network: torch.nn.Module) -> Path:
    made = folder / "plksr.onnx"
    done = srn_deploy("export", folder / "plksr.pth", "-o", made, "--portable",
                      environment={"SRN_CACHE": str(folder / "cache")})
    assert done.returncode == 0, done.stderr
    assert "spandrel knows it: PLKSR" in done.stderr
    return made


def test_the_exported_graph_computes_what_spandrels_network_computes(graph: Path, network: torch.nn.Module) -> None:
    image = np.random.default_rng(0).random((1, 3, 21, 34), np.float32)
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    [result] = session.run(None, {session.get_inputs()[0].name: image})
    with torch.no_grad():
        expected = network(torch.from_numpy(image)).numpy()
    np.testing.assert_allclose(result, expected, atol=1e-4)  # float32 in another order of additions


def test_info_says_where_the_network_comes_from(graph: Path) -> None:
    done = srn_deploy("info", graph)
    assert done.returncode == 0, done.stderr
    assert "spandrel: PLKSR" in done.stdout


def test_a_shipped_model_is_not_asked_about() -> None:
    done = srn_deploy("info", "srn-s-b4-x4")
    assert done.returncode == 0, done.stderr
    assert "spandrel" not in done.stdout + done.stderr


def test_what_spandrel_does_not_know_either_is_said(folder: Path) -> None:
    torch.save({"strange.weight": torch.zeros(2, 2, 3, 3)}, folder / "strange.pth")
    done = srn_deploy("info", folder / "strange.pth", environment={"SRN_CACHE": str(folder / "cache")})
    assert done.returncode != 0
    assert "does not know it either" in done.stderr
