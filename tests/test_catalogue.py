"""What can be pulled is pinned, and each file of the catalogue is what the catalogue says."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srn_deploy.architectures.checkpoint import load_checkpoint
from srn_deploy.backends.pytorch import PyTorchBackend
from srn_deploy.errors import DamagedCheckpoint, UnknownModel
from srn_deploy.open_model import open_model
from srn_deploy.registry.published import DownloadState, published_models, state_of
from srn_deploy.registry.resolve import ModelKind, resolve
from srn_deploy.registry.shipped import shipped_models
from srn_deploy.spec import Corrections
from srn_deploy.system.hashing import sha256_of_file
from tests.model_tables import DOCUMENT, filled, tables

PUBLISHED = sorted(published_models())

SCORED_ELSEWHERE = ("efdn-x4", "fmen-x4", "bsrn-s-x4", "bsrn-x4", "spanv2-x4", "span-ntire-x4")
"""Files that the real data may lack: tests/test_challenge_networks.py compares what they scored with their authors."""

ADDRESS = re.compile(r"https://raw\.githubusercontent\.com/([\w.-]+/[\w.-]+)/[0-9a-f]{40}/[\w./%-]+\.(pt|pth)")


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_address_is_of_one_commit_of_the_repository_that_is_named(name: str) -> None:
    model = published_models()[name]
    matched = ADDRESS.fullmatch(model.url)
    assert matched is not None
    assert model.source == f"https://github.com/{matched[1]}"


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_model_is_pinned_and_says_its_licence(name: str) -> None:
    model = published_models()[name]
    assert re.fullmatch(r"[0-9a-f]{64}", model.sha256)
    assert model.size_bytes > 0
    assert model.licence in ("MIT", "Apache-2.0", "none stated")
    assert "licence" in model.note or model.licence != "none stated"


def test_no_published_model_has_the_name_of_a_shipped_one() -> None:
    assert not set(PUBLISHED) & set(shipped_models())


def entry(data: Path, name: str) -> dict[str, Any]:
    """What the index of the real data says of a model's file."""
    model = published_models()[name]
    found = [one for one in json.loads((data / "checkpoints/index.json").read_text()) if one["sha256"] == model.sha256]
    if not found and name in SCORED_ELSEWHERE:
        pytest.skip(f"the real data do not hold {name}")
    assert len(found) == 1
    return dict(found[0])


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_fact_is_that_of_the_real_file(name: str, data: Path) -> None:
    model, told = published_models()[name], entry(data, name)
    path = data / told["file"]
    assert (sha256_of_file(path), path.stat().st_size) == (model.sha256, model.size_bytes)
    assert model.url == f"https://raw.githubusercontent.com/{told['repo']}/{told['commit']}/{told['path']}"
    assert model.licence == told["licence"]
    assert f"0-{model.value_range:g}" == told["data_range"]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of pulled models."""
    monkeypatch.setenv("SRN_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache" / "models").mkdir(parents=True)
    return tmp_path / "cache" / "models"


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_real_file_opens_by_its_name_as_the_network_it_is(name: str, data: Path, cache: Path) -> None:
    model = published_models()[name]
    shutil.copyfile(data / entry(data, name)["file"], model.path)
    known = resolve(name).corrections
    spec = load_checkpoint(resolve(name, wanted=ModelKind.CHECKPOINT).path, known).spec
    assert (spec.architecture, spec.scale, spec.value_range) == (model.architecture, model.scale, model.value_range)
    backend = open_model(name, "cpu")
    told = model.corrections
    reference = PyTorchBackend(load_checkpoint(data / entry(data, name)["file"], told))
    picture = np.random.default_rng(0).integers(0, 256, (1, 32, 40, 3), dtype=np.uint8)
    assert np.array_equal(backend.run(picture), reference.run(picture))
    assert backend.run(picture).shape == (1, 32 * model.scale, 40 * model.scale, 3)


@pytest.mark.parametrize("wanted", [ModelKind.GRAPH, ModelKind.CHECKPOINT])
def test_a_model_that_was_not_pulled_says_how_to_pull_it(wanted: ModelKind, cache: Path) -> None:
    with pytest.raises(UnknownModel, match="not on this machine") as caught:
        resolve("rlfn-x4", wanted=wanted)
    assert caught.value.remedy == "Fetch it with `srn-deploy models pull rlfn-x4`."


def test_a_pulled_file_that_was_changed_is_not_opened(cache: Path) -> None:
    model = published_models()["rlfn-x4"]
    model.path.write_bytes(b"something else")
    assert state_of(model) is DownloadState.DAMAGED
    with pytest.raises(DamagedCheckpoint, match="not the file") as caught:
        resolve("rlfn-x4")
    assert "srn-deploy models pull rlfn-x4" in caught.value.remedy


def test_a_name_that_nobody_knows_lists_both_kinds(cache: Path) -> None:
    with pytest.raises(UnknownModel) as caught:
        resolve("rlfn-x5")
    assert "srn-s-b4-x4" in caught.value.remedy
    assert "rlfn-x4" in caught.value.remedy


def test_what_the_catalogue_knows_holds_for_the_pulled_file_however_its_path_is_written(cache: Path) -> None:
    model = published_models()["carn-m-x2"]
    model.path.write_bytes(b"weights")
    known = Corrections.parse(("scale=2",), 1.0)
    assert resolve(model.path).corrections == known
    assert resolve(str(cache.parent / "models" / ".." / "models" / model.path.name)).corrections == known


def test_nothing_is_reported_of_other_files_and_shipped_models(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "carn-m-x2.pth").write_bytes(b"weights")
    for model in (tmp_path / "carn-m-x2.pth", "srn-s-b4-x4", None):
        assert resolve(model).corrections == Corrections()


def test_what_the_user_says_goes_before_the_catalogue(cache: Path) -> None:
    model = published_models()["carn-m-x2"]
    model.path.write_bytes(b"weights")
    told = resolve(model.path, Corrections.parse(("scale=3",), 255.0)).corrections
    assert told.options == {"scale": "3"}
    assert told.value_range == 255.0


def test_pulled_models_lie_in_the_cache_that_is_named_else_in_the_users(
        monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    model = published_models()["srn-official"]
    monkeypatch.setenv("SRN_CACHE", str(tmp_path / "named"))
    assert model.path == tmp_path / "named" / "models" / "srn-official.pt"
    monkeypatch.delenv("SRN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    assert model.path == tmp_path / "user" / "srn-deploy" / "models" / "srn-official.pt"


def test_the_tables_of_the_document_are_those_of_manifest_and_catalogue() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert all(table in text for table in tables().values())
    assert text == filled(text)  # if not: python -m tests.model_tables
