"""Ways to run a model in a benchmark: what a way that fails has opened is closed at once."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from srn_deploy.benchmark import ways
from srn_deploy.benchmark.ways import Task, Way, candidates_of, ways_of
from srn_deploy.errors import BackendError
from srn_deploy.registry.resolve import ModelKind, resolve
from srn_deploy.spec import Precision
from tests.fakes import NearestBackend
from tests.networks import large_picture, seeded_network
from tests.optional import TORCH

TASK = Task(device="cpu", size=(16, 16), batches=(1,), every_way=False)


def opened_by(backend: NearestBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways, "ways_of", lambda *given: [Way("fake", lambda: (backend, "Fake"))])
    monkeypatch.setattr(ways, "_cost", lambda *given: None)


def test_the_backend_of_a_way_that_fails_is_closed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(NearestBackend):
        def run(self, *given: object, **named: object) -> None:  # type: ignore[override]
            raise BackendError("It broke.", remedy="None.")

    backend = Failing()
    opened_by(backend, monkeypatch)
    with ExitStack() as opened:
        assert list(candidates_of(None, TASK, opened)) == []
        assert backend.closed


def test_the_backend_of_a_way_that_runs_stays_open_until_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = NearestBackend()
    opened_by(backend, monkeypatch)
    with ExitStack() as opened:
        assert list(candidates_of(None, TASK, opened))
        assert not backend.closed
    assert backend.closed


def test_on_a_cpu_pytorch_runs_as_scripts_run_it(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason=TORCH)

    def names(**changed: Any) -> list[str]:
        with ExitStack() as opened:
            found = [way.name for way in ways_of(resolve(), replace(TASK, **changed), opened)]
        return [name for name in found if "orch" in name]

    monkeypatch.setattr(ways, "cpu_features", lambda: {"BF16": True})
    assert names() == ["PyTorch FP32", "PyTorch BF16"]
    assert names(every_way=True) == ["PyTorch FP32", "PyTorch BF16", "PyTorch FP32 channels first",
                                     "torch.compile FP32", "torch.compile BF16"]
    monkeypatch.setattr(ways, "cpu_features", lambda: None)
    assert names() == ["PyTorch FP32"]
    assert names(every_way=True) == ["PyTorch FP32", "PyTorch FP32 channels first", "torch.compile FP32"]


def test_only_ways_that_are_there_after_a_benchmark_can_be_tuned() -> None:
    with ExitStack() as opened:
        found = {way.name: way.reopens for way in ways_of(resolve(), TASK, opened)}
    assert found["graph"] is not None
    with ExitStack() as opened:
        exported = [way.reopens for way in ways_of(resolve("srn-s-b4-x4", wanted=ModelKind.CHECKPOINT), TASK, opened)
                    if "graph" in way.name or "OpenVINO" in way.name]
    assert set(exported) <= {None}


@pytest.mark.parametrize("ways_to_open", [{"precision": Precision.BF16}, {"channels_last": False}, {"compiled": True}])
def test_every_way_of_pytorch_computes_the_same(ways_to_open: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch", reason=TORCH)
    from srn_deploy.backends.pytorch import PyTorchBackend

    compiled: list[object] = []

    monkeypatch.setattr(torch.nn.Module, "compile", lambda core, dynamic: compiled.append(core))  # takes half a minute
    network = seeded_network(scale=2, channels=8, esa_channels=4, blocks=1)
    pixels = (large_picture(30, 40) * 255).astype(np.uint8)[None]
    ours = PyTorchBackend(network, **ways_to_open)
    assert len(compiled) == ("compiled" in ways_to_open)
    assert ours.spec.precision is ways_to_open.get("precision", Precision.FP32)
    most = 2 if "precision" in ways_to_open else 1  # levels of 255; BF16 keeps eight bits
    assert np.abs(ours.run(pixels).astype(int) - PyTorchBackend(network).run(pixels)).max() <= most
