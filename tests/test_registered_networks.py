"""Networks of other packages, registered by an entry point: used, or left out with a warning that names the package."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from srn_deploy.architectures import ARCHITECTURES, srn
from srn_deploy.architectures.families import GROUP, Families
from tests import commands

OWN_PACKAGE = "## A network in a package of its own"
MODULE = "from dataclasses import replace\nfrom srn_deploy.architectures import srn\n"

MakePackage = Callable[..., None]


@pytest.fixture
def make_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakePackage]:
    """Makes what an installed package consists of: a module, and metadata with entry points."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def make(name: str, module: str, entries: str | None = None) -> None:
        (tmp_path / f"{name}.py").write_text(module, encoding="utf-8")
        metadata = tmp_path / f"{name}-2.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 2.0\n", encoding="utf-8")
        (metadata / "entry_points.txt").write_text(
            f"[{GROUP}]\n{entries or f'{name} = {name}:FAMILY'}\n", encoding="utf-8")

    yield make
    for name in set(sys.modules) - before:
        if name.startswith("zoo_"):
            del sys.modules[name]


def named(name: str) -> str:
    """A module with a family of this name, and keys of its own."""
    return (f"{MODULE}from srn_deploy.architectures.signature import Signature\n"
            f"FAMILY = replace(srn.ARCHITECTURE, name={name!r}, signature=Signature(required=({name!r},)))\n")


def families() -> Families:
    """As `ARCHITECTURES` is made, with one network built in."""
    return Families([srn.ARCHITECTURE])


def test_a_registered_network_is_found_by_its_name(make_package: MakePackage) -> None:
    make_package("zoo_a", named("anemone"))
    assert families()["anemone"].name == "anemone"


def test_a_registered_network_is_found_by_its_keys(make_package: MakePackage) -> None:
    make_package("zoo_a", named("anemone"))
    assert [family.name for family in families().recognising(["anemone"])] == ["anemone"]


def test_a_registered_network_stands_in_the_list_of_known_ones(make_package: MakePackage) -> None:
    make_package("zoo_a", named("anemone"))
    assert list(families()) == ["srn", "anemone"]


def test_the_package_of_a_registered_network_is_told(make_package: MakePackage) -> None:
    make_package("zoo_a", named("anemone"))
    found = families()
    assert (found.package("anemone"), found.package("srn")) == ("zoo_a 2.0", "")


def test_a_built_in_network_is_used_without_importing_a_registered_one(make_package: MakePackage) -> None:
    make_package("zoo_a", "raise AssertionError")
    assert families()["srn"] is srn.ARCHITECTURE


def test_a_registered_network_cannot_take_the_checkpoints_of_a_built_in_one(make_package: MakePackage) -> None:
    make_package("zoo_a", f"{MODULE}FAMILY = replace(srn.ARCHITECTURE, name='greedy')\n")
    keys = srn.ARCHITECTURE.build({"scale": 2, "channels": 8, "blocks": 1}).state_dict().keys()
    assert [family.name for family in families().recognising(keys)] == ["srn"]


@pytest.mark.parametrize(("module", "reason"), [
    ("import a_library_that_is_not_there\n", "ModuleNotFoundError: No module named 'a_library_that_is_not_there'"),
    ("raise SystemExit('not on this machine')\n", "SystemExit: not on this machine"),
    ("raise KeyError\n", "KeyError: no message"),
    ("FAMILI = 1\n", "AttributeError"),
    ("def FAMILY(\n", "SyntaxError"),
    ("FAMILY = 'anemone'\n", "is of type str, not an Architecture"),
])
def test_an_entry_point_that_cannot_be_used_is_a_warning_and_the_other_networks_are_there(
        make_package: MakePackage, caplog: pytest.LogCaptureFixture, module: str, reason: str) -> None:
    make_package("zoo_a", module)
    make_package("zoo_b", named("beroe"))
    assert list(families()) == ["srn", "beroe"]
    (warning,) = caplog.messages
    assert "The network 'zoo_a' is missing: zoo_a:FAMILY, registered by zoo_a 2.0" in warning
    assert reason in warning


def test_a_name_that_is_built_in_is_not_replaced_and_the_package_is_named(
        make_package: MakePackage, caplog: pytest.LogCaptureFixture) -> None:
    make_package("zoo_a", named("srn"))
    found = families()
    assert list(found) == ["srn"]
    assert found["srn"] is srn.ARCHITECTURE
    assert caplog.messages == ["zoo_a 2.0 registers a network 'srn', which is built in: the built-in one is used."]


def test_a_name_that_two_packages_claim_belongs_to_neither_and_both_are_named(
        make_package: MakePackage, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("zoo_b", "zoo_a"):
        make_package(name, named("anemone"))
    assert "anemone" not in families()
    (warning,) = caplog.messages
    assert warning == ("zoo_a 2.0 and zoo_b 2.0 register a network of the name 'anemone': none of them is used. "
                       "Uninstall all but one.")


def test_a_warning_is_given_once(make_package: MakePackage, caplog: pytest.LogCaptureFixture) -> None:
    make_package("zoo_a", "FAMILY = None\n")
    found = families()
    assert [len(found), len(found)] == [1, 1]
    assert len(caplog.messages) == 1


def test_the_families_of_this_package_are_the_built_in_ones() -> None:
    assert not any(map(ARCHITECTURES.package, ARCHITECTURES))


def test_two_registered_networks_with_the_same_keys_are_both_found(make_package: MakePackage) -> None:
    for name in ("zoo_a", "zoo_b"):
        make_package(name, named("same").replace("name='same'", f"name='{name}'"))
    assert [family.name for family in families().recognising(["same"])] == ["zoo_a", "zoo_b"]


@pytest.fixture(scope="module")
def installed(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which the package that CONTRIBUTING prints is installed, built as it says."""
    text = (repository / "CONTRIBUTING.md").read_text(encoding="utf-8")
    written = {found["file"]: found["text"] for found in re.finditer(
        r"^```\w+ file=(?P<file>\S+)\n(?P<text>.*?)^```$", text, re.MULTILINE | re.DOTALL)}
    folder = tmp_path_factory.mktemp("own")
    for name in ("srn_deploy/architectures/espcn.py", "srn-deploy-espcn/pyproject.toml"):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(written[name], encoding="utf-8")
    found = re.search(r"^```bash\n(.*?)^```$", text[text.index(OWN_PACKAGE):], re.MULTILINE | re.DOTALL)
    assert found is not None
    copy, install = found[1].splitlines()
    assert install == "pip install ./srn-deploy-espcn"
    subprocess.run(copy, shell=True, cwd=folder, check=True)
    ended = subprocess.run(
        [sys.executable, "-m", *install.split(), "--no-index", "--no-deps", "--no-build-isolation", "--target",
         folder / "installed"], cwd=folder, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder / "installed"


SAVE = """
import sys
import torch
sys.path.insert(0, sys.argv[1])
from srn_deploy.architectures import ARCHITECTURES
torch.save(ARCHITECTURES["espcn"].build({"scale": 3, "channels": 8}).state_dict(), sys.argv[2])
"""

OPEN = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from srn_deploy.cli import main
main()
"""


def test_a_checkpoint_of_an_installed_package_is_opened(installed: Path, tmp_path: Path) -> None:
    assert commands.python(SAVE, installed, tmp_path / "espcn.pth").returncode == 0
    shown = commands.python(OPEN, installed, "info", tmp_path / "espcn.pth", "--trust", "--value-range", "1")
    assert shown.returncode == 0, shown.stderr
    rows = dict(line.split(maxsplit=1) for line in shown.stdout.splitlines())
    assert (rows["architecture"], rows["options"], rows["scale"]) == ("espcn", "scale=3, channels=8", "3")


def test_a_network_of_an_installed_package_is_named_among_the_known_ones(installed: Path, tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    shown = commands.python(OPEN, installed, "info", tmp_path / "other.pth")
    assert shown.returncode == 1
    assert re.search(r"Known: srn, .*vdsr, .*, espcn\.", shown.stderr)


def test_the_help_does_not_look_up_registered_networks(installed: Path) -> None:
    code = OPEN.replace("from srn_deploy.cli", "import importlib.metadata as m\n"
                        "m.entry_points = lambda **_: sys.exit('looked up')\nfrom srn_deploy.cli")
    for command in (["--help"], ["models", "list"], ["recipes"]):
        assert commands.python(code, installed, *command).returncode == 0
