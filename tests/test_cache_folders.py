"""Where engines are kept: in a checkout, after an installation, and where the user says."""

from __future__ import annotations

from pathlib import Path

import pytest

from srn_deploy.system import cache


@pytest.fixture
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder of the user."""
    monkeypatch.delenv("SRN_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    return tmp_path / "user"


def placed(module: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "__file__", str(module))


def test_a_checkout_keeps_its_engines_itself(repository: Path, user: Path) -> None:
    assert cache.engines_folder() == repository / "engines"


def test_an_installation_keeps_them_in_the_cache_folder_of_the_user(
        tmp_path: Path, user: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    placed(tmp_path / "lib/site-packages/srn_deploy/system/cache.py", monkeypatch)
    assert cache.engines_folder() == user / "srn-deploy" / "engines"


def test_without_a_folder_of_its_own_that_is_in_the_home_folder(
        tmp_path: Path, user: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    placed(tmp_path / "lib/site-packages/srn_deploy/system/cache.py", monkeypatch)
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache.engines_folder() == tmp_path / "home" / ".cache" / "srn-deploy" / "engines"


def test_the_folder_that_the_user_names_counts_before_both(
        tmp_path: Path, user: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SRN_CACHE", str(tmp_path / "named"))
    assert cache.engines_folder() == tmp_path / "named"
