"""PyTorch in FP16: near the FP32 picture, honest about what it is, and graphs that are recorded once for a shape."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from srn_deploy.backends.pytorch import PyTorchBackend
from srn_deploy.backends.pytorch_graph import MOST_GRAPHS, GraphedPass
from srn_deploy.errors import UnsuitableBatch
from srn_deploy.inference.upscale import upscale_rgb
from srn_deploy.spec import Precision
from srn_deploy.tiling.windows import TileOptions
from tests.networks import large_picture, seeded_network


def test_half_precision_is_near_single_precision_tiled_and_whole(one_thread: None) -> None:
    loaded = seeded_network(scale=2, channels=8, esa_channels=4, blocks=1)
    half, single = PyTorchBackend(loaded, precision=Precision.FP16), PyTorchBackend(loaded)
    picture = (large_picture(60, 71) * 255).round().astype(np.uint8)
    expected = upscale_rgb(picture, single)
    for tiles in (TileOptions(tile=None), TileOptions(tile=32)):
        assert np.abs(upscale_rgb(picture, half, tiles).astype(int) - expected).max() <= 2
    assert {parameter.dtype for parameter in half.network.parameters()} == {torch.float16}
    assert half.spec.precision is Precision.FP16


def test_images_of_16_bits_are_refused_in_half_precision() -> None:
    half = PyTorchBackend(seeded_network(scale=2, channels=8, esa_channels=4, blocks=1), precision=Precision.FP16)
    with pytest.raises(UnsuitableBatch, match="takes 8 bits") as caught:
        upscale_rgb(np.zeros((20, 20, 3), np.uint16), half)
    assert "--device" in caught.value.remedy


class FakeGraph:
    """torch.cuda.CUDAGraph, and the context that records into it: a replay runs what was recorded again."""

    fails = False

    def __init__(self, *recorded: object) -> None:
        self.replays = 0

    def __enter__(self) -> None:
        if FakeGraph.fails:
            raise RuntimeError("operation not permitted when stream is capturing\nmore")

    def __exit__(self, *error: object) -> None:
        pass

    def replay(self) -> None:
        self.replays += 1


@pytest.fixture
def doubled(monkeypatch: pytest.MonkeyPatch) -> tuple[GraphedPass, list[Tensor]]:
    """A pass that is recorded, and every tensor it really ran on."""
    monkeypatch.setattr(torch.cuda, "CUDAGraph", FakeGraph)
    monkeypatch.setattr(torch.cuda, "graph", FakeGraph)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(FakeGraph, "fails", False)
    ran: list[Tensor] = []

    def double(values: Tensor) -> Tensor:
        ran.append(values)
        return values * 2

    return GraphedPass(double), ran


def test_a_shape_runs_once_is_recorded_and_replayed_with_the_new_values(
        doubled: tuple[GraphedPass, list[Tensor]]) -> None:
    run, ran = doubled
    for value in (1.0, 2.0, 3.0):
        run(torch.full((2, 3), value))
    assert len(ran) == 2
    assert float(ran[1].mean()) == 3.0  # the recorded input received the last values
    (recorded,) = run._recorded.values()
    assert recorded is not None
    assert isinstance(recorded.graph, FakeGraph)
    assert recorded.graph.replays == 2


def test_only_the_last_shapes_are_kept(doubled: tuple[GraphedPass, list[Tensor]]) -> None:
    run, _ = doubled
    for side in range(1, MOST_GRAPHS + 4):
        run(torch.zeros(side))
    assert list(run._recorded) == [((side,),) for side in range(4, MOST_GRAPHS + 4)]


def test_where_recording_fails_it_is_said_once_and_the_work_goes_on(
        doubled: tuple[GraphedPass, list[Tensor]], caplog: pytest.LogCaptureFixture) -> None:
    run, ran = doubled
    FakeGraph.fails = True
    results = [float(run(torch.full((2,), value)).sum()) for value in (1.0, 2.0, 3.0)]
    assert results == [4.0, 8.0, 12.0]
    assert len(ran) == 3
    assert [record.message for record in caplog.records] == [
        "CUDA graphs are not used: operation not permitted when stream is capturing"]
