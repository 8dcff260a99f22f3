"""Findings about models, shipped and pulled, and about the cache that holds pulled ones."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from srn_deploy.doctor import fixes, machine
from srn_deploy.doctor.findings import Status
from srn_deploy.registry import published, shipped
from srn_deploy.registry.published import PublishedModel, published_models


@pytest.mark.parametrize("kind", ["graph", "float_graph"])
def test_a_damaged_model_is_named_with_the_command_that_restores_it(
        repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    folder = shutil.copytree(repository / "models", tmp_path / "models")
    damaged = getattr(shipped.shipped_models()[shipped.default_model()], kind)
    (folder / damaged.name).write_bytes(b"not the graph")
    monkeypatch.setattr(shipped, "models_folder", lambda: folder)
    (found,) = machine.model_findings()
    assert (found.name, found.state) == (damaged.name, Status.BROKEN)
    assert "install" in found.fix
    assert not machine.default_is_whole()


def test_intact_models_are_listed_with_the_first_digits_of_their_hashes() -> None:
    (found,) = machine.model_findings()
    assert found.state is Status.OK
    for model in shipped.shipped_models().values():
        assert f"{model.name} {model.graph.sha256[:12]}" in found.detail


@pytest.fixture
def pulled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PublishedModel:
    """The first model of the catalogue, and its place in an empty cache."""
    monkeypatch.setenv("SRN_CACHE", str(tmp_path / "cache"))
    model = next(iter(published_models().values()))
    model.path.parent.mkdir(parents=True)
    return model


def test_models_that_were_not_pulled_have_no_finding(pulled: PublishedModel) -> None:
    assert machine.pulled_findings() == []


def test_a_damaged_pulled_model_is_named_with_the_command_that_fetches_it(pulled: PublishedModel) -> None:
    pulled.path.write_bytes(b"not the weights")
    (found,) = machine.pulled_findings()
    assert (found.name, found.state) == (pulled.name, Status.BROKEN)
    assert found.fix == f"srn-deploy models pull {pulled.name}"


def test_an_intact_pulled_model_is_listed_with_its_hash(
        pulled: PublishedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    pulled.path.write_bytes(b"the weights")
    monkeypatch.setattr(published, "sha256_of_file", lambda path: pulled.sha256)
    (found,) = machine.pulled_findings()
    assert (found.name, found.state) == (pulled.name, Status.OK)
    assert found.detail.endswith(pulled.sha256[:12])


def test_a_cache_that_cannot_be_read_is_a_finding_for_its_models(
        pulled: PublishedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(model: PublishedModel) -> None:
        raise PermissionError(13, "Permission denied", str(model.path))

    monkeypatch.setattr(machine, "state_of", refuse)
    found = {finding.name: finding for finding in machine.pulled_findings()}[pulled.name]
    assert found.state is Status.BROKEN
    assert "Permission denied" in found.detail


@pytest.mark.parametrize("text", ["", "[]", '{"models": [{"name": "x"}], "default": "x"}'])
def test_a_manifest_that_cannot_be_read_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                     text: str) -> None:
    (tmp_path / "manifest.json").write_text(text, encoding="utf-8")
    monkeypatch.setattr(shipped, "models_folder", lambda: tmp_path)
    (found,) = machine.model_findings()
    assert found.state is Status.MISSING
    assert not machine.default_is_whole()


def test_a_model_of_a_checkout_is_restored_by_git(repository: Path) -> None:
    if not (repository / ".git").exists():
        pytest.skip("this is not a clone")
    assert fixes.restore(repository / "models" / "x.onnx") == f"git -C {repository} restore models/x.onnx"


def test_an_unwritable_cache_that_a_variable_names_is_fixed_by_unsetting_it(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SRN_CACHE", str(tmp_path / "file" / "cache"))
    assert machine.cache_finding().fix == "unset SRN_CACHE"


def test_an_unwritable_cache_of_the_user_is_fixed_with_a_word_on_pulled_models(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.delenv("SRN_CACHE", raising=False)
    monkeypatch.setattr(machine, "engines_folder", lambda: tmp_path / "file" / "engines")
    fix = machine.cache_finding().fix
    assert "writable" in fix
    assert "pulled models" in fix
