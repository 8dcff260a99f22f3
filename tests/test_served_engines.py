"""A served model on a machine with a GPU takes the engines in its cache, once they are certified."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from srn_deploy.backends.onnx_runtime import read_spec
from srn_deploy.engine.store import EngineStore
from srn_deploy.registry.resolve import resolve
from srn_deploy.spec import Precision
from srn_deploy.verification import sample_images
from tests.fake_machine import Machine, computing, stored

pytest.importorskip("tritonclient.grpc", reason="needs tritonclient: pip install '.[triton]'")
pytest.importorskip("onnx", reason="needs onnx: pip install '.[torch]'")

from srn_deploy.serving.options import InstanceOptions, ServeOptions
from srn_deploy.serving.repository import write_repository
from srn_deploy.serving.served import ServedModel


@pytest.fixture
def version(tmp_path: Path) -> Path:
    """The folder of a version of the default model, which is served on a GPU."""
    (model,) = write_repository(tmp_path / "models", [None], ServeOptions(instances=InstanceOptions(gpus=(0,))))
    return model.folder / "1"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EngineStore:
    monkeypatch.setenv("SRN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sample_images, "ORIGINAL_SHAPES", ((192, 256),))  # certificates of one small image: faster
    return EngineStore()


def test_an_engine_in_the_cache_is_served_and_certified_once_though_the_graph_is_a_copy(
        version: Path, store: EngineStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "srn_deploy")
    graph = resolve().path
    machine = Machine(monkeypatch)
    engine = stored(store, graph, read_spec(graph))
    machine.runs(computing(machine.gpu, graph))
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    for turn in range(2):  # a server that starts, and one that starts again
        caplog.clear()
        with ServedModel.read(version).open(version) as upscaler:
            assert upscaler.spec.precision is Precision.FP16
            assert upscaler.upscale(image).shape == (240, 320, 3)
        assert ("is certified before its first use" in caplog.text) == (turn == 0)
        assert f"({engine.path.name}) on the GPU (an engine of it is in the cache)" in caplog.text
    certificate = store.open(engine.path).manifest.certificate
    assert certificate is not None
    assert certificate.passed
    assert machine.gpu.used_bytes == 0


def test_an_engine_that_computes_something_else_is_not_served(
        version: Path, store: EngineStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "srn_deploy")
    graph = resolve().path
    machine = Machine(monkeypatch)
    stored(store, graph, read_spec(graph))
    machine.runs(computing(machine.gpu, graph, change=9))
    with ServedModel.read(version).open(version) as upscaler:
        assert upscaler.spec.precision is Precision.FP32
    assert "differs from its reference: " in caplog.text
