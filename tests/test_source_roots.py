"""The folder from which a network's file is imported: above the packages that its imports name."""

from __future__ import annotations

from pathlib import Path

import pytest

from srn_deploy.external.source_files import find_source, source_digest


def written(folder: Path, **files: str) -> Path:
    """Files below a folder, their names with two underscores for a slash; the folder."""
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


@pytest.mark.parametrize(("file", "imports", "root", "module"), [
    ("net", "import torch\n", ".", "net"),
    ("models__net", "from torch import nn\n", "models", "net"),
    ("models__net", "import models.block as B\n", ".", "models.net"),
    ("models__team__net", "from models.team.block import *\n", ".", "models.team.net"),
    ("models__team__net", "from . import block\n", "models", "team.net"),
    ("models__team__net", "from .. import block\n", ".", "models.team.net"),
    ("torch__net", "import torch.nn\n", "torch", "net"),
])
def test_the_root_is_above_what_the_file_imports(
        tmp_path: Path, file: str, imports: str, root: str, module: str) -> None:
    folder = written(tmp_path, **{file: imports, "block": "", "models__block": "", "models__team__block": ""})
    source = find_source(f"{folder / file.replace('__', '/')}.py:Net")
    assert (source.root, source.module) == ((folder / root).resolve(), module)


def test_a_change_in_a_file_of_a_package_without_init_makes_another_digest(tmp_path: Path) -> None:
    written(tmp_path, models__net="from models.block import Block\n", models__block="class Block: ...\n")
    before = source_digest(find_source(f"{tmp_path}/models/net.py:Net"))
    written(tmp_path, models__block="class Block:\n    width = 3\n")
    assert source_digest(find_source(f"{tmp_path}/models/net.py:Net")) != before
