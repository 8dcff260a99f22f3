"""Backends: which one opens an artefact, what is said about it, and what is refused."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srn_deploy import backends
from srn_deploy.architectures.checkpoint import save_checkpoint
from srn_deploy.backends import Backend, open_backend
from srn_deploy.backends.onnx_runtime import OnnxRuntimeBackend
from srn_deploy.backends.pytorch import PyTorchBackend
from srn_deploy.errors import (
    BackendError,
    CheckpointError,
    DeviceUnavailable,
    GraphError,
    OptionError,
    OutOfMemory,
    UnknownModel,
    UnsuitableBatch,
)
from srn_deploy.graph.export import ExportOptions
from srn_deploy.grid import ESA_GRID
from srn_deploy.spec import Form
from srn_deploy.system.cuda_driver import why_no_gpu
from srn_deploy.tiling.interpolation import whole_geometry
from srn_deploy.verification.export_proof import export_and_prove
from tests.fakes import NearestBackend
from tests.networks import large_picture, seeded_network
from tests.optional import needs_openvino

WAYS = ["checkpoint", "deploy", "portable", pytest.param("deploy on openvino", marks=needs_openvino),
        pytest.param("portable on openvino", marks=needs_openvino)]
"""Artefacts, each on what runs it on a CPU unless another device is named."""

DEPLOY_WAYS = [WAYS[0], WAYS[1], WAYS[3]]

OPTIONS: dict[str, Any] = {"scale": 2, "channels": 8, "esa_channels": 4, "blocks": 1}


@pytest.fixture(scope="module")
def artefacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One small network as a checkpoint, a deploy and a portable graph."""
    folder = tmp_path_factory.mktemp("artefacts")
    checkpoint = folder / "net.safetensors"
    save_checkpoint(checkpoint, seeded_network(**OPTIONS).network, architecture="srn", options=OPTIONS, value_range=1.0)
    return {
        "checkpoint": checkpoint,
        "deploy": export_and_prove(checkpoint, folder / "deploy.onnx").path,
        "portable": export_and_prove(checkpoint, folder / "portable.onnx", ExportOptions(form=Form.PORTABLE)).path,
    }


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SRN_CACHE", str(tmp_path / "cache"))


def opened(artefacts: dict[str, Path], way: str) -> Backend:
    kind, _, device = way.partition(" on ")
    return open_backend(artefacts[kind], device or "cpu")


@pytest.mark.parametrize("way", WAYS)
def test_every_artefact_opens_on_the_cpu_and_gives_the_same_image(artefacts: dict[str, Path], way: str) -> None:
    batch = (large_picture(40, 51)[None] * 255).round().astype(np.uint8)
    expected = open_backend(artefacts["checkpoint"], "cpu").run(batch)
    result = opened(artefacts, way).run(batch)
    assert result.shape == (1, 80, 102, 3)
    assert np.abs(result.astype(int) - expected).max() <= 1  # a value next to one half may round either way


@pytest.mark.skipif(not why_no_gpu(), reason="this machine has a GPU")
def test_auto_says_what_it_took_and_why(artefacts: dict[str, Path], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "srn_deploy")
    open_backend(artefacts["deploy"], "auto")
    open_backend(artefacts["checkpoint"], "auto")
    assert caplog.messages == [f"ONNX Runtime on the CPU ({why_no_gpu()}).", f"PyTorch on the CPU ({why_no_gpu()})."]


@pytest.mark.skipif(not why_no_gpu(), reason="this machine has a GPU")
@pytest.mark.parametrize("kind", ["checkpoint", "deploy"])
def test_a_missing_gpu_that_was_requested_is_an_error(artefacts: dict[str, Path], kind: str,
                                                               capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DeviceUnavailable, match="--device cpu"):
        open_backend(artefacts[kind], "cuda")
    assert capfd.readouterr().err == ""


def test_auto_says_so_when_a_gpu_is_there_but_its_library_fails(artefacts: dict[str, Path],
                                                                monkeypatch: pytest.MonkeyPatch,
                                                                caplog: pytest.LogCaptureFixture) -> None:
    if not why_no_gpu():
        pytest.skip("this machine has a GPU")
    monkeypatch.setattr(backends, "why_no_gpu", lambda: "")
    caplog.set_level("INFO", "srn_deploy")
    open_backend(artefacts["checkpoint"], "auto")
    (message,) = caplog.messages
    assert "on the CPU (PyTorch" in message
    assert "cannot use a GPU" in message


@pytest.mark.parametrize("name", ["nothing.onnx", "nothing.pt"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnknownModel, match="There is no file"):
        open_backend(tmp_path / name)


@pytest.mark.parametrize("name", ["a.txt", "a.ONNX"])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("text")
    with pytest.raises((CheckpointError, GraphError)):
        open_backend(str(tmp_path / name))


def test_a_folder_is_not_a_model(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel, match="There is no file"):
        open_backend(tmp_path)


def test_an_unknown_device_is_refused(artefacts: dict[str, Path]) -> None:
    with pytest.raises(OptionError, match="auto, cpu, cuda, openvino"):
        open_backend(artefacts["deploy"], "tpu")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("batch", [
    np.zeros((20, 20, 3), np.uint8), np.zeros((1, 20, 20, 4), np.uint8), np.zeros((0, 20, 20, 3), np.uint8),
    np.zeros((1, 14, 20, 3), np.uint8), np.zeros((1, 20, 20, 3), np.int32)])
def test_an_unsuitable_batch_is_refused(artefacts: dict[str, Path], way: str, batch: Any) -> None:
    with pytest.raises(UnsuitableBatch):
        opened(artefacts, way).run(batch)


def test_geometry_for_a_network_without_esa_is_refused() -> None:
    backend = PyTorchBackend(seeded_network(**{**OPTIONS, "attention": "none"}))
    with pytest.raises(UnsuitableBatch, match="no ESA"):
        backend.run(np.zeros((1, 20, 20, 3), np.uint8), whole_geometry(1, 20, 20, grids=[ESA_GRID]))


@pytest.mark.parametrize("way", WAYS)
def test_a_prepared_step_runs_again_and_again(artefacts: dict[str, Path], way: str) -> None:
    backend = opened(artefacts, way)
    step = backend.prepare((2, 20, 31))
    for _ in range(3):
        step()
    backend.close()
    backend.close()


@pytest.mark.parametrize("way", WAYS)
def test_the_caller_owns_what_run_returns(artefacts: dict[str, Path], way: str) -> None:
    backend, batch = opened(artefacts, way), np.full((1, 20, 20, 3), 90, np.uint8)
    first = backend.run(batch)
    kept = first.copy()
    backend.run(255 - batch)
    np.testing.assert_array_equal(first, kept)
    first[:] = 0


@pytest.mark.parametrize("way", DEPLOY_WAYS)
def test_geometry_of_other_windows_is_refused(artefacts: dict[str, Path], way: str) -> None:
    backend, batch = opened(artefacts, way), np.zeros((3, 20, 30, 3), np.uint8)
    for wrong in (whole_geometry(1, 20, 30, grids=[ESA_GRID]), whole_geometry(3, 30, 20, grids=[ESA_GRID])):
        with pytest.raises(UnsuitableBatch, match="geometry_of"):
            backend.run(batch, wrong)


def test_a_portable_graph_refuses_geometry_that_it_would_ignore(artefacts: dict[str, Path]) -> None:
    backend = open_backend(artefacts["portable"], "cpu")
    with pytest.raises(UnsuitableBatch, match="takes no geometry"):
        backend.run(np.zeros((1, 20, 30, 3), np.uint8), whole_geometry(1, 20, 30, grids=[ESA_GRID]))


@pytest.mark.parametrize("way", WAYS)
def test_a_flipped_image_runs_like_its_copy(artefacts: dict[str, Path], way: str) -> None:
    backend, batch = opened(artefacts, way), (large_picture(20, 31)[None] * 255).astype(np.uint8)
    np.testing.assert_array_equal(backend.run(batch[:, ::-1]), backend.run(batch[:, ::-1].copy()))


@pytest.mark.parametrize("way", DEPLOY_WAYS)
def test_a_step_too_small_for_the_network_is_refused(artefacts: dict[str, Path], way: str) -> None:
    with pytest.raises(UnsuitableBatch, match="too small"):
        opened(artefacts, way).prepare((1, 10, 10))


def test_onnx_runtime_does_not_fall_back_from_a_failing_gpu_to_the_cpu(artefacts: dict[str, Path]) -> None:
    session = OnnxRuntimeBackend(artefacts["deploy"])._session
    assert session is not None
    assert session._enable_fallback is False or session._enable_fallback == 0


@pytest.mark.parametrize("threads", ["", "2,1", "many", "1"])
def test_any_thread_setting_of_openmp_is_taken(artefacts: dict[str, Path], threads: str,
                                               monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    OnnxRuntimeBackend(artefacts["deploy"]).run(np.zeros((1, 20, 20, 3), np.uint8))


def test_a_backend_does_not_change_the_network_it_was_given() -> None:
    loaded = seeded_network(**OPTIONS)
    PyTorchBackend(loaded)
    assert all(value.is_contiguous() for value in loaded.network.parameters())


@pytest.mark.parametrize("way", DEPLOY_WAYS)
def test_a_closed_backend_says_so(artefacts: dict[str, Path], way: str) -> None:
    backend = opened(artefacts, way)
    backend.close()
    with pytest.raises(BackendError, match="closed"):
        backend.run(np.zeros((1, 20, 20, 3), np.uint8))


@pytest.mark.parametrize("place", [
    "pytorch.PyTorchBackend", "onnx_runtime.OnnxRuntimeBackend", "tensor_rt.TensorRtBackend",
    pytest.param("open_vino.OpenVinoBackend", marks=needs_openvino), NearestBackend])
def test_every_backend_has_the_members_of_the_protocol(place: str | type) -> None:
    """With the same parameters: the fake of the tests stands for the real ones."""
    backend = pkgutil.resolve_name(f"srn_deploy.backends.{place}") if isinstance(place, str) else place
    members = {name: member for name, member in vars(Backend).items() if not name.startswith("_")}
    assert sorted(members) == ["close", "limits", "prepare", "run", "spec"]
    for name, member in members.items():
        if isinstance(member, property):
            assert isinstance(getattr(backend, name, None), property) or name in vars(backend).get("__match_args__", ())
        else:
            assert parameters(getattr(backend, name)) == parameters(member)


def parameters(function: Callable[..., Any]) -> list[tuple[str, object]]:
    """Names and defaults."""
    return [(name, parameter.default) for name, parameter in inspect.signature(function).parameters.items()]


@pytest.mark.parametrize(("said", "kind"), [
    ("could not create a primitive", OutOfMemory), ("DefaultCPUAllocator: can't allocate memory", OutOfMemory),
    ("shapes cannot be multiplied", BackendError)])
def test_what_pytorch_says_of_memory_is_told_from_other_failures(
        monkeypatch: pytest.MonkeyPatch, said: str, kind: type[Exception]) -> None:
    def fails(*arguments: Any) -> Any:
        raise RuntimeError(said)

    backend = PyTorchBackend(seeded_network(scale=2, channels=4, esa_channels=2, blocks=1))
    monkeypatch.setattr("srn_deploy.architectures.forms.DeployForm.forward", fails)
    with pytest.raises(kind):
        backend.run(np.zeros((1, 20, 20, 3), np.uint8))
