"""The code that a network of the user's is made of: when it changes, another graph is made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from srn_deploy.external import prepare, source_files
from srn_deploy.external.network_class import load_class
from srn_deploy.external.source_files import find_source, imported_files, source_digest
from tests.own_network_files import forgotten_modules, write


@pytest.fixture(autouse=True)
def nothing_stays_imported() -> Iterator[None]:
    with forgotten_modules():
        yield


def test_files_imported_from_other_folders_and_by_name_at_run_time_are_told(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path / "elsewhere"))
    parts = [write(tmp_path, f"elsewhere/{name}.py", "BASE = object") for name in ("part_one", "part_two")]
    file = write(tmp_path, "net_of_parts.py", "import importlib, torch\nfrom part_one import BASE\n"
                                              "importlib.import_module('part_two')\nclass Net(torch.nn.Module): pass")
    load_class(find_source(f"{file}:Net"))
    found = imported_files()
    assert {str(file), *map(str, parts)} <= found.keys()
    assert torch.__file__ not in found
    assert prepare.__file__ not in found


def test_of_installed_packages_only_the_networks_own_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "large/__init__.py", "SIZE = 1")
    write(tmp_path, "mine/__init__.py", "")
    file = write(tmp_path, "mine/net.py", "import large\nfrom .parts import A")
    write(tmp_path, "mine/parts.py", "A = 1")
    monkeypatch.setattr(source_files, "_INSTALLED", (str(tmp_path),))
    before = source_digest(find_source(f"{file}:Net"))
    write(tmp_path, "large/__init__.py", "SIZE = 2")
    assert source_digest(find_source(f"{file}:Net")) == before
    write(tmp_path, "mine/parts.py", "A = 2")
    assert source_digest(find_source(f"{file}:Net")) != before
