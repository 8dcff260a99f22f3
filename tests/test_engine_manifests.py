"""Manifests of engines: those of earlier versions are read and found again, damaged ones are refused with a remedy."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from srn_deploy.cli import main
from srn_deploy.engine.library import Runtime
from srn_deploy.engine.manifest import manifest_as_json
from srn_deploy.engine.store import EngineStore, StoredEngine
from srn_deploy.errors import DamagedEngine
from srn_deploy.spec import Precision
from srn_deploy.tiling.shapes import ShapeRange

NAME = "tiny-fp16-cd81d0cbac47232a.engine"
"""What the first version called the engine of this manifest: the key is derived from its identity."""


@pytest.fixture
def store(repository: Path, tmp_path: Path) -> EngineStore:
    """A store with an engine as the first version wrote it."""
    shutil.copy(repository / "tests/data/engine_manifest.json", (tmp_path / NAME).with_suffix(".json"))
    (tmp_path / NAME).write_bytes(b"a plan")
    return EngineStore(tmp_path)


def test_an_engine_of_the_first_version_is_read_and_found_by_its_identity(store: EngineStore) -> None:
    (engine,) = store.engines()
    identity, certificate = engine.manifest.identity, engine.manifest.certificate
    assert (identity.runtime, identity.version) == (Runtime.TENSORRT, "11.4.0")
    assert identity.options.shapes == (ShapeRange.parse("15x15..64x72@32x36"),)
    assert (engine.spec.precision, engine.spec.min_side_px) == (Precision.FP16, 15)
    assert certificate is not None
    assert (certificate.passed, certificate.psnr_db, certificate.overflowing_layers) == (True, 60.5, ())
    assert store.find("tiny", identity) == engine
    assert engine.path.name == NAME


def test_an_option_that_a_manifest_lacks_has_its_default_in_the_identity(store: EngineStore) -> None:
    """As every manifest does after an option is added: it is the same engine, and is written whole."""
    path = (store.folder / NAME).with_suffix(".json")
    recorded = json.loads(path.read_text(encoding="utf-8"))
    del recorded["identity"]["options"]["tf32"]
    path.write_text(json.dumps(recorded), encoding="utf-8")
    (engine,) = store.engines()
    assert f"-{engine.manifest.identity.key}.engine" in NAME
    assert engine.manifest.identity.differences(engine.manifest.identity) == []
    assert manifest_as_json(engine.manifest)["identity"]["options"]["tf32"] is False


def test_a_manifest_is_written_as_the_first_version_wrote_it(store: EngineStore, repository: Path) -> None:
    (engine,) = store.engines()
    recorded = json.loads((repository / "tests/data/engine_manifest.json").read_text(encoding="utf-8"))
    assert json.loads(json.dumps(manifest_as_json(engine.manifest))) == recorded
    assert engine.manifest.certificate is not None
    again: StoredEngine = store.certified(engine, engine.manifest.certificate)
    assert again == engine


def changed(keys: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """Sets the value at dotted keys; removes it where the value is None."""
    *above, last = keys.split(".")

    def change(document: dict[str, Any]) -> None:
        for key in above:
            document = document[key]
        if value is None:
            del document[last]
        else:
            document[last] = value

    return change


@pytest.mark.parametrize(("keys", "value", "reason"), [
    ("version", 2, "version"), ("name", None, "name"), ("name", 7, "name"), ("identity", None, "identity"),
    ("identity.flavour", "cuda", "flavour"), ("identity.options.shapes", None, "shapes"),
    ("identity.options.shapes", [{"smallest": [9, 9], "largest": [8, 8], "optimum": [8, 8]}], "inconsistent"),
    ("identity.options.hardware_compatibility", "all", "hardware_compatibility"), ("spec", None, "spec"),
    ("spec.halo_px", None, "halo_px"), ("spec.version", 9, "version 9"), ("certificate.passed", "yes", "passed"),
    ("certificate.failures", None, "failures"), ("convolutions", [1], "convolutions")])
def test_a_damaged_manifest_is_refused_with_the_reason_and_a_remedy(
        store: EngineStore, keys: str, value: Any, reason: str) -> None:
    path = store.folder / NAME
    document = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    changed(keys, value)(document)
    path.with_suffix(".json").write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(DamagedEngine, match=f"no valid manifest next to it .*{reason}") as caught:
        store.open(path)
    assert "srn-deploy build-engine" in caught.value.remedy
    assert store.engines() == []


@pytest.mark.parametrize("text", ["", "no JSON", "[]", "null", "[" * 100_000, "\udcff"])
def test_a_file_that_is_not_a_manifest_is_refused(store: EngineStore, text: str) -> None:
    path = store.folder / NAME
    path.with_suffix(".json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(DamagedEngine, match="no valid manifest"):
        store.open(path)


def test_the_list_for_programs_is_the_manifest_and_the_file(
        store: EngineStore, monkeypatch: pytest.MonkeyPatch, repository: Path) -> None:
    monkeypatch.setenv("SRN_CACHE", str(store.folder))
    (entry,) = json.loads(CliRunner().invoke(main, ["engines", "list", "--json"]).stdout)
    recorded = json.loads((repository / "tests/data/engine_manifest.json").read_text(encoding="utf-8"))
    assert entry == {"file": str(store.folder / NAME), **recorded}
