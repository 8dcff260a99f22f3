"""What the documents tell people to type works, and what they point at is there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

DOCUMENTS = ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "engines/README.md",
             "benchmarks/README.md", "benchmarks/ablation.md", "docs/training.md", "docs/benchmarks.md",
             "docs/pictures.md")


def blocks(path: Path, language: str) -> list[str]:
    """The fenced blocks of one language in a Markdown file."""
    return re.findall(rf"^```{language}\n(.*?)^```$", path.read_text(encoding="utf-8"), flags=re.M | re.S)


@pytest.mark.parametrize("document", ["README.md", "docs/training.md", "docs/benchmarks.md", "docs/pictures.md"])
def test_every_shell_block_runs_in_order(repository: Path, tmp_path: Path, document: str) -> None:
    shutil.copytree(repository / "benchmarks", tmp_path / "benchmarks",
                    ignore=shutil.ignore_patterns("plots", "records", "__pycache__"))
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    scripts = blocks(repository / document, "bash")
    assert scripts
    for script in scripts:
        done = subprocess.run(["bash", "-euc", script], cwd=tmp_path, env=environment, capture_output=True, text=True,
                              timeout=300, check=False)
        assert done.returncode == 0, f"{script}\n{done.stderr}"
    made = {"README.md": ("demo_x4.png", "large/demo.png"), "docs/training.md": ("runs/mine/model.safetensors",),
            "docs/benchmarks.md": ("before.json", "scores.csv", "upscaled/demo.png"),
            "docs/pictures.md": ("demo.webp", "large/demo.tif", "small.jpg", "lifted.png")}
    assert all((tmp_path / name).is_file() for name in made[document])


def test_every_python_block_of_the_readme_runs(repository: Path) -> None:
    scripts = blocks(repository / "README.md", "python")
    assert scripts
    for script in scripts:
        subprocess.run([sys.executable, "-W", "error", "-c", script], check=True, timeout=120)


def test_every_make_target_of_the_readme_exists(repository: Path) -> None:
    lines = [line for block in blocks(repository / "README.md", "console") for line in block.splitlines()]
    targets = [line.split()[1] for line in lines if line.startswith("make ")]
    assert targets == ["demo", "test"]
    for target in targets:
        subprocess.run(["make", "--dry-run", target], cwd=repository, check=True, capture_output=True)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_somewhere(repository: Path, document: str) -> None:
    path = repository / document
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
        if not target.startswith("https://"):
            assert (path.parent / target).exists(), f"{document} points at {target}"
