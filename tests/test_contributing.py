"""The example in CONTRIBUTING.md works when it is followed step by step."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

BLOCK = re.compile(r"^```(?P<kind>python|diff) file=(?P<file>\S+)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


def apply_diff(old: str, diff: str) -> str:
    """Replace each `-` line, which must occur once, by the `+` lines after it."""
    for change in re.split("^-", diff, flags=re.M)[1:]:
        removed, *added = change.splitlines()
        assert added
        assert {line[:1] for line in added} == {"+"}
        assert old.count(f"\n{removed}\n") == 1, f"not in the file as it stands: {removed}"
        old = old.replace(f"\n{removed}\n", "".join(f"\n{line[1:]}" for line in added) + "\n")
    return old


@pytest.fixture(scope="module")
def package_with_the_example(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package and its configuration, changed as the document says."""
    house = tmp_path_factory.mktemp("house")
    shutil.copytree(repository / "srn_deploy", house / "srn_deploy", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "ruff.toml", "tests/conftest.py", "tests/optional.py", "tests/run_folder.py",
                 "tests/shared_exports.py"):
        (house / name).parent.mkdir(exist_ok=True)
        shutil.copy(repository / name, house / name)
    # What the type checker knows of the libraries is known here too; changed files it reads again.
    if (repository / ".mypy_cache").is_dir():
        shutil.copytree(repository / ".mypy_cache", house / ".mypy_cache")
    for block in BLOCK.finditer((repository / "CONTRIBUTING.md").read_text(encoding="utf-8")):
        target = house / block["file"]
        if block["kind"] == "diff":
            target.write_text(apply_diff(target.read_text(encoding="utf-8"), block["text"]), encoding="utf-8")
        else:
            assert not target.exists(), f"the example {block['file']} is no longer new: choose another one"
            target.write_text(block["text"], encoding="utf-8")
    return house


def run(house: Path, *arguments: str) -> None:
    ended = subprocess.run([sys.executable, "-m", *arguments], cwd=house, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_example_network_passes_its_own_test(package_with_the_example: Path) -> None:
    run(package_with_the_example, "pytest", "-q", "tests/test_espcn.py")


def test_the_example_network_passes_the_linter(package_with_the_example: Path) -> None:
    run(package_with_the_example, "ruff", "check", "srn_deploy/architectures", "tests/test_espcn.py")


def test_the_example_network_passes_the_type_checker(package_with_the_example: Path) -> None:
    run(package_with_the_example, "mypy", "srn_deploy/architectures/espcn.py")
