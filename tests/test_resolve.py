"""A model is resolved once: per command, each model file is hashed and each JSON document decoded at most once."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from srn_deploy.benchmark.environment import Ceilings
from srn_deploy.cli import main
from srn_deploy.errors import DamagedCheckpoint, OptionError, UnknownModel
from srn_deploy.image import Image, write_image
from srn_deploy.registry import published, shipped
from srn_deploy.registry.published import published_models
from srn_deploy.registry.resolve import ModelKind, SpecOrigin, resolve, resolve_file
from srn_deploy.registry.shipped import default_model, models_folder, shipped_models
from srn_deploy.spec import SPEC_KEY, Corrections
from srn_deploy.system import documents


class Counted:
    """How often each file was hashed, and how often each content was decoded as JSON."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hashed: Counter[str] = Counter()
        self.decoded: Counter[bytes] = Counter()
        shipped._decoded.cache_clear()
        published._decoded.cache_clear()
        hash_file: Callable[..., Any] = hashlib.file_digest
        hash_bytes: Callable[..., Any] = hashlib.sha256
        decode = documents.decode_json

        def file_digest(file: Any, digest: Any) -> Any:
            self.hashed[str(Path(file.name).resolve())] += 1
            return hash_file(file, digest)

        def sha256(data: bytes = b"", **options: Any) -> Any:
            if len(data) > 10_000:  # a file read whole; keys and names are shorter
                self.hashed[hash_bytes(data).hexdigest()] += 1
            return hash_bytes(data, **options)

        def decode_json(text: str | bytes, *given: Any) -> Any:
            self.decoded[text if isinstance(text, bytes) else text.encode()] += 1
            return decode(text, *given)

        monkeypatch.setattr(hashlib, "file_digest", file_digest)
        monkeypatch.setattr(hashlib, "sha256", sha256)
        for module in (documents, shipped, published):
            monkeypatch.setattr(module, "decode_json", decode_json)
        monkeypatch.setattr("srn_deploy.engine.manifest.decode_json", decode_json)

    def check(self) -> None:
        """Nothing was done twice; a file that was read whole counts as the file with that hash.

        An engine is not counted: its hash is made when it is built, and checked each time before it is loaded.
        """
        engines = {_sha256(path) for path in Path("cache").rglob("*.engine")}
        by_content: Counter[str] = Counter()
        for name, count in self.hashed.items():
            by_content[_sha256(Path(name)) if Path(name).is_file() else name] += count
        assert {name: count for name, count in by_content.items() if count > 1 and name not in engines} == {}
        assert [content[:80] for content, count in self.decoded.items() if count > 1] == []
        assert self.hashed
        assert self.decoded


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.new("sha256", file.read()).hexdigest()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder with its own cache, an image and a folder of images."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SRN_CACHE", str(tmp_path / "cache"))
    pixels = np.random.default_rng(0).integers(0, 256, (48, 60, 3), dtype=np.uint8)
    write_image(Path("in.png"), Image(pixels=pixels[:24, :24]))
    write_image(Path("deep.png"), Image(pixels=pixels[:24, :24].astype(np.uint16) * 257))
    write_image(Path("hr/a.png"), Image(pixels=pixels))
    return tmp_path


COMMANDS = {
    "upscale": ("upscale", "in.png", "out.png"),
    "upscale 16 bits": ("upscale", "deep.png", "out.png", "--device", "cpu"),
    "eval": ("eval", "--hr", "hr", "--device", "cpu"),
    "info": ("info",),
    "export": ("export", "-o", "net.onnx"),
    "verify": ("verify", "copy.onnx", "--images", "hr", "--device", "cpu"),
    "verify a checkpoint": ("verify", "copy.safetensors", "--images", "hr", "--device", "cpu"),
    "build-engine": ("build-engine", "--runtime", "tensorrt-rtx", "--shapes", "24x24"),
    "bench": ("bench", "--size", "16x16", "--rounds", "1", "--device", "cpu"),
}

NEEDED = {"export": "onnxscript", "build-engine": "tensorrt_rtx", "verify a checkpoint": "torch"}


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_hashes_no_model_and_decodes_no_document_twice(
        command: str, here: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None) -> None:
    if command in NEEDED:
        pytest.importorskip(NEEDED[command], reason=f"needs {NEEDED[command]}: pip install {NEEDED[command]}")
    model = shipped_models()[default_model()]
    shutil.copyfile(model.graph.path, "copy.onnx")
    shutil.copyfile(model.checkpoint.path, "copy.safetensors")
    if command == "bench":  # the speed of the machine is not the claim
        monkeypatch.setattr("srn_deploy.benchmark.steady_state.ceilings", lambda device, precisions: Ceilings())
    counted = Counted(monkeypatch)
    done = CliRunner().invoke(main, COMMANDS[command])
    assert done.exit_code == 0, done.stderr
    counted.check()


def test_a_resolved_model_knows_its_file_its_kind_and_the_shipped_model_it_belongs_to() -> None:
    model = shipped_models()[default_model()]
    graph, checkpoint = resolve(), resolve(wanted=ModelKind.CHECKPOINT)
    assert (graph.path, graph.kind, graph.sha256) == (model.graph.path, ModelKind.GRAPH, model.graph.sha256)
    assert (checkpoint.path, checkpoint.kind) == (model.checkpoint.path, ModelKind.CHECKPOINT)
    assert graph.shipped == checkpoint.shipped == model
    assert graph.checkpoint is not None
    assert graph.checkpoint.path == checkpoint.path
    assert checkpoint.checkpoint is checkpoint
    assert (graph.spec_origin, checkpoint.spec_origin) == (SpecOrigin.GRAPH, SpecOrigin.CHECKPOINT)


def test_a_resolved_model_is_returned_as_it_is() -> None:
    model = resolve()
    assert resolve(model) is resolve_file(model) is model


def test_a_graph_that_is_not_shipped_has_no_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(b"another graph")
    model = resolve(tmp_path / "net.onnx")
    assert (model.shipped, model.checkpoint, model.published) == (None, None, None)


def test_an_engine_is_known_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "net.ENGINE").write_bytes(b"plan")
    assert resolve(str(tmp_path / "net.ENGINE")).spec_origin is SpecOrigin.MANIFEST


@pytest.mark.parametrize("name", ["net.onnx", "net.engine"])
def test_what_carries_its_spec_cannot_be_corrected(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(SPEC_KEY.encode())
    with pytest.raises(OptionError, match="cannot be corrected"):
        resolve(tmp_path / name, Corrections(value_range=1.0))


def test_a_graph_of_another_tool_takes_corrections(tmp_path: Path) -> None:
    (tmp_path / "other.onnx").write_bytes(b"a graph")
    given = Corrections(value_range=1.0)
    assert resolve(tmp_path / "other.onnx", given).corrections == given


def test_the_corrections_of_the_user_hold_above_those_of_the_catalogue(here: Path) -> None:
    model = published_models()["carn-m-x2"]
    model.path.parent.mkdir(parents=True)
    model.path.write_bytes(b"weights")
    found = resolve(model.path, Corrections(options={"scale": 3}))
    assert (found.published, found.corrections) == (model, Corrections(options={"scale": 3}, value_range=1.0))
    assert found.spec_origin is SpecOrigin.CORRECTED


def test_a_model_that_arrives_while_the_program_runs_is_found(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = published_models()["rlfn-x4"]
    with pytest.raises(UnknownModel, match="not on this machine"):
        resolve("rlfn-x4")
    model.path.parent.mkdir(parents=True)
    model.path.write_bytes(b"something else")
    with pytest.raises(DamagedCheckpoint, match="not the file"):
        resolve("rlfn-x4")


def test_a_manifest_that_changes_while_the_program_runs_is_read_again(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = json.loads((models_folder() / "manifest.json").read_text(encoding="utf-8"))
    path = tmp_path / "manifest.json"
    monkeypatch.setattr(shipped, "models_folder", lambda: tmp_path)
    for default in (manifest["default"], "x" * len(manifest["default"])):  # the same size: no time stamp could tell
        path.write_text(json.dumps(manifest | {"default": default}), encoding="utf-8")
        assert default_model() == default


def test_a_name_that_is_too_long_for_a_file_is_an_unknown_model() -> None:
    with pytest.raises(UnknownModel):
        resolve("x" * 5000)
