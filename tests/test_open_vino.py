"""OpenVINO: what it gives, what is kept of it, what is refused. Claims about every backend are in test_backends."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srn_deploy.architectures.checkpoint import save_checkpoint
from srn_deploy.backends import open_backend, open_on
from srn_deploy.errors import (
    BackendError,
    DeviceUnavailable,
    GraphError,
    GraphWithoutSpec,
    MissingPackage,
    OutOfMemory,
    UnsuitableBatch,
)
from srn_deploy.graph.export import ExportOptions
from srn_deploy.inference.upscale import upscale_rgb
from srn_deploy.registry.resolve import resolve_file
from srn_deploy.spec import Form, PixelType, Precision
from srn_deploy.system.cache import compiled_folder
from srn_deploy.tiling.windows import TileOptions
from srn_deploy.verification.export_proof import export_and_prove
from tests.commands import python, srn_deploy
from tests.networks import large_picture, seeded_network
from tests.optional import ONNX, needs_openvino

OPTIONS: dict[str, Any] = {"scale": 2, "channels": 8, "esa_channels": 4, "blocks": 1}

PICTURE = (large_picture(40, 51) * 255).round().astype(np.uint8)

FORMS = {"deploy": ExportOptions(), "float": ExportOptions(pixel_type=PixelType.FLOAT32),
         "half": ExportOptions(precision=Precision.FP16), "portable": ExportOptions(form=Form.PORTABLE)}


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One small network with ESA in every form of graph, and its checkpoint."""
    folder = tmp_path_factory.mktemp("graphs")
    checkpoint = folder / "net.safetensors"
    save_checkpoint(checkpoint, seeded_network(**OPTIONS).network, architecture="srn", options=OPTIONS, value_range=1.0)
    return {"checkpoint": checkpoint, **{name: export_and_prove(checkpoint, folder / f"{name}.onnx", options).path
                                         for name, options in FORMS.items()}}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SRN_CACHE", str(tmp_path / "cache"))


def kept() -> list[Path]:
    return list(compiled_folder().glob("*.compiled"))


@needs_openvino
@pytest.mark.parametrize("form", FORMS)
def test_it_gives_what_onnx_runtime_gives_for_batches_of_any_size(graphs: dict[str, Path], form: str) -> None:
    ours, theirs = open_backend(graphs[form], "openvino"), open_backend(graphs[form], "cpu")
    for shape in (1, 40, 51), (2, 31, 20), (1, 24, 24):
        levels = np.stack([PICTURE[:shape[1], :shape[2]], 255 - PICTURE[:shape[1], :shape[2]]])[:shape[0]]
        batch = levels.astype(np.float32) / np.float32(255) if form == "float" else levels
        # A level: a value next to one half may round either way, and FP16 keeps an eighth of a level.
        bound = 1e-4 if form == "float" else 1.0
        assert np.abs(ours.run(batch).astype(np.float64) - theirs.run(batch)).max() <= bound


class CountingModel:
    """A compiled model that counts how often its memory is given back."""

    def __init__(self, model: Any) -> None:
        self.model, self.released = model, 0

    def release_memory(self) -> None:
        self.released += 1
        self.model.release_memory()


@needs_openvino
def test_memory_of_a_large_run_is_kept_for_the_next_of_its_shape_and_given_back_for_another(
        graphs: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    backend = open_backend(graphs["deploy"], "openvino")
    model = CountingModel(vars(backend)["_model"])
    monkeypatch.setattr(backend, "_model", model)
    monkeypatch.setattr("srn_deploy.backends.batch._KEPT_BYTES", 40 * 51 * backend.spec.activation_bytes_per_px)
    large, small = PICTURE[None], PICTURE[None, :24, :24]
    first = backend.run(large)
    np.testing.assert_array_equal(backend.run(large), first)
    assert model.released == 0
    backend.run(small)
    assert model.released == 1
    backend.run(small)
    np.testing.assert_array_equal(backend.run(large), first)
    assert model.released == 1


@needs_openvino
def test_what_was_taken_is_said(graphs: dict[str, Path], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "srn_deploy")
    open_backend(graphs["deploy"], "openvino")
    (message,) = caplog.messages
    assert message.startswith("OpenVINO 20")
    assert message.endswith(" in FP32 on the CPU (asked for).")


@needs_openvino
def test_tiles_equal_the_whole_image(graphs: dict[str, Path]) -> None:
    backend, picture = open_backend(graphs["float"], "openvino"), large_picture(163, 190)
    whole = upscale_rgb(picture, backend, TileOptions(tile=None))
    assert np.abs(upscale_rgb(picture, backend, TileOptions(tile=32)) - whole).max() < 1 / 255


@needs_openvino
@pytest.mark.parametrize("threads", ["1", "2"])
def test_it_runs_on_as_many_threads_as_are_asked_for(graphs: dict[str, Path], threads: str,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    from srn_deploy.backends.open_vino import OpenVinoBackend

    monkeypatch.setenv("OMP_NUM_THREADS", threads)
    for _ in ("compiled", "from the cache"):
        model = OpenVinoBackend(graphs["deploy"])._model
        assert str(model.get_property("INFERENCE_NUM_THREADS")) == threads


@needs_openvino
def test_a_compiled_model_is_kept_and_not_compiled_again(graphs: dict[str, Path],
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    from srn_deploy.backends import open_vino

    first = open_backend(graphs["deploy"], "openvino")
    (file,) = kept()
    assert json.loads(file.read_bytes().partition(b"\n")[0])["identity"]["precision"] == "fp32"
    monkeypatch.delattr(open_vino, "_compiled")
    again = open_backend(graphs["deploy"], "openvino")
    assert again.spec == first.spec
    np.testing.assert_array_equal(again.run(PICTURE[None]), first.run(PICTURE[None]))


@needs_openvino
def test_another_graph_has_another_compiled_model(graphs: dict[str, Path]) -> None:
    open_backend(graphs["deploy"], "openvino")
    open_backend(graphs["float"], "openvino")
    assert len(kept()) == 2


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda data: data[:-100],
    "one bit": lambda data: data[:-200] + bytes([data[-200] ^ 1]) + data[-199:],
    "another graph": lambda data: data.replace(b'"graph_sha256": "', b'"graph_sha256": "0', 1),
    "empty header": lambda data: b"{}" + data,
    "text": lambda data: b"text",
}


@needs_openvino
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_compiled_model_is_made_again_and_never_opened(graphs: dict[str, Path], damage: str,
                                                                 caplog: pytest.LogCaptureFixture) -> None:
    expected = open_backend(graphs["deploy"], "openvino").run(PICTURE[None])
    (file,) = kept()
    whole = file.read_bytes()
    file.write_bytes(DAMAGES[damage](whole))
    np.testing.assert_array_equal(open_backend(graphs["deploy"], "openvino").run(PICTURE[None]), expected)
    (message,) = caplog.messages
    assert f"{file} is made again: it is damaged" in message
    assert len(file.read_bytes()) > len(whole) // 2


@needs_openvino
def test_a_cache_that_cannot_be_written_does_not_end_the_work(graphs: dict[str, Path], tmp_path: Path,
                                                              monkeypatch: pytest.MonkeyPatch,
                                                              caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SRN_CACHE", str(tmp_path / "file"))
    open_backend(graphs["deploy"], "openvino").run(PICTURE[None])
    assert any("is not kept" in message for message in caplog.messages)


@needs_openvino
def test_importing_it_reports_nothing_to_its_makers(tmp_path: Path) -> None:
    done = python("import sys\nfrom srn_deploy.backends import open_vino\nprint('openvino_telemetry' in sys.modules)",
                  environment={"HOME": str(tmp_path), "PATH": ""})
    assert (done.stdout, done.stderr, list(tmp_path.iterdir())) == ("False\n", "", [])


@needs_openvino
def test_after_a_failure_it_runs_again(graphs: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from srn_deploy.backends.open_vino import OpenVinoBackend

    class OutOfIt:
        """A request that fails as OpenVINO does."""

        model_inputs: tuple[Any, ...] = ()

        def __getattr__(self, name: str) -> Any:
            raise RuntimeError("Exception from a.cpp:1:\nCheck 'ptr' failed at b.cpp:2:\nFailed to allocate 9 bytes")

    backend = OpenVinoBackend(graphs["deploy"])
    expected = backend.run(PICTURE[None])
    failing = OutOfIt()
    failing.model_inputs = backend._request.model_inputs
    backend._request = failing
    with pytest.raises(OutOfMemory, match=r"\(1, 40, 51, 3\)"):
        backend.run(PICTURE[None])
    np.testing.assert_array_equal(backend.run(PICTURE[None]), expected)


@needs_openvino
def test_what_a_graph_cannot_compute_is_an_error_and_not_an_image(graphs: dict[str, Path],
                                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    from srn_deploy.backends import open_vino

    backend = open_backend(graphs["deploy"], "openvino")
    monkeypatch.setattr(open_vino, "matrices_of", lambda *given: {
        "rows": np.zeros((1, 3, 3), np.float32), "cols": np.zeros((1, 3, 3), np.float32)})
    with pytest.raises(BackendError, match="OpenVINO failed on a batch of shape"):
        backend.run(PICTURE[None])


@needs_openvino
@pytest.mark.parametrize("content", [b"text", None])
def test_a_damaged_graph_is_refused(graphs: dict[str, Path], tmp_path: Path, content: bytes | None) -> None:
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(graphs["deploy"].read_bytes()[:2000] if content is None else content)
    with pytest.raises(GraphError, match="cannot be opened by OpenVINO"):
        open_backend(damaged, "openvino")
    assert kept() == []


@needs_openvino
def test_a_graph_without_a_spec_is_refused(tmp_path: Path, graphs: dict[str, Path]) -> None:
    onnx = pytest.importorskip("onnx", reason=ONNX)
    graph = onnx.load(graphs["deploy"])
    del graph.metadata_props[:]
    onnx.save(graph, tmp_path / "plain.onnx")
    with pytest.raises(GraphWithoutSpec, match="does not say what network it is"):
        open_backend(tmp_path / "plain.onnx", "openvino")


@needs_openvino
def test_a_checkpoint_is_refused_with_the_command_that_makes_its_graph(graphs: dict[str, Path]) -> None:
    with pytest.raises(DeviceUnavailable, match=f"srn-deploy export {graphs['checkpoint']}"):
        open_backend(graphs["checkpoint"], "openvino")


def test_an_engine_is_refused(tmp_path: Path) -> None:
    (tmp_path / "some.engine").write_bytes(b"")
    with pytest.raises(DeviceUnavailable, match="Give the graph that it was built from"):
        open_on(resolve_file(tmp_path / "some.engine"), "openvino")


def test_without_the_package_the_error_says_how_to_install_it(graphs: dict[str, Path],
                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingPackage, match=r"pip install '\.\[openvino\]'"):
        open_backend(graphs["deploy"], "openvino")


@needs_openvino
def test_a_batch_it_does_not_take_is_refused(graphs: dict[str, Path]) -> None:
    with pytest.raises(UnsuitableBatch, match="takes float32"):
        open_backend(graphs["float"], "openvino").run(PICTURE[None])


@needs_openvino
def test_upscale_runs_on_it(tmp_path: Path, repository: Path) -> None:
    done = srn_deploy("upscale", repository / "benchmarks" / "pictures" / "demo.png", tmp_path / "out.png",
                      "--device", "openvino", "--precision", "fp32")
    assert done.returncode == 0, done.stderr
    assert "in FP32 on the CPU (asked for)" in done.stderr
