"""The package as others get it: from a wheel and as an editable installation, each in a fresh environment.

Both are installed from a copy of the checkout, without an index and without dependencies; the libraries
are those of the running environment, seen through links. Nothing else of that environment is seen, so
the checkout's own installation cannot stand in for what was forgotten.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

import srn_deploy
from srn_deploy.image import read_image
from srn_deploy.registry.published import published_models

CACHES = (".git", ".venv", ".venv-spandrel", ".triton-server", "__pycache__", ".*_cache", ".hypothesis", "*.egg-info",
          "build", "dist", "runs")

FIND_MODELS = "from srn_deploy.registry.shipped import models_folder; print(models_folder())"
NOT_IN_THE_BASE = ("av", "torch", "onnx", "onnxscript", "safetensors", "matplotlib")
"""Libraries of the extras: upscaling does without them."""

WHERE = "import srn_deploy; print(srn_deploy.__file__)"


def is_ours(name: str) -> bool:
    """True for what installing srn-deploy leaves among the libraries."""
    return "srn_deploy" in name.replace("-", "_")


@pytest.fixture(scope="module")
def checkout(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository: an installation writes beside its source."""
    copy = tmp_path_factory.mktemp("checkout") / "srn-deploy"
    return shutil.copytree(repository, copy, ignore=shutil.ignore_patterns(*CACHES))


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a source archive that was built from the checkout: both must be complete."""
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, checkout)
    (built,) = out.glob("*.whl")
    return built


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """stdout of a command that must succeed, outside any checkout and with no PYTHONPATH."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    ended = subprocess.run([str(part) for part in command], cwd=cwd or "/", env=environment,
                           capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout.strip()


def fresh_environment(folder: Path, without: tuple[str, ...] = ()) -> Path:
    """The `bin` of an environment with this one's libraries, pip and setuptools too, but without srn-deploy."""
    venv.create(folder / "env", symlinks=True, with_pip=False)
    libraries = folder / "libraries"
    libraries.mkdir()
    for place in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for entry in Path(place).iterdir():
            if not is_ours(entry.name) and entry.name not in without and entry.suffix != ".pth":
                (libraries / entry.name).symlink_to(entry)
    (site_packages,) = (folder / "env").glob("lib/python*/site-packages")
    (site_packages / "libraries.pth").write_text(f"{libraries}\n", encoding="utf-8")
    return folder / "env" / "bin"


def pip_install(programs: Path, *what: str | Path) -> None:
    run(programs / "python", "-m", "pip", "install", "--no-index", "--no-deps", "--no-build-isolation", *what)


@pytest.fixture(scope="module", params=["wheel", "editable"])
def programs(request: pytest.FixtureRequest, checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of a fresh environment in which srn-deploy is installed one way or the other."""
    bin_folder = fresh_environment(tmp_path_factory.mktemp(request.param))
    what: list[str | Path] = ["--editable", checkout]
    if request.param == "wheel":
        what = [request.getfixturevalue("wheel")]
    pip_install(bin_folder, *what)
    return bin_folder


def test_the_package_is_the_one_just_installed(programs: Path, checkout: Path) -> None:
    found = Path(run(programs / "python", "-c", WHERE))
    assert found.is_relative_to(programs.parent) or found.is_relative_to(checkout)


def test_every_shipped_model_is_found(programs: Path, repository: Path) -> None:
    folder = Path(run(programs / "python", "-c", FIND_MODELS))
    shipped = {path.name for path in (repository / "models").iterdir() if path.is_file()}
    assert "manifest.json" in shipped
    assert {path.name for path in folder.iterdir() if path.is_file()} == shipped


def test_the_command_tells_the_version(programs: Path) -> None:
    assert srn_deploy.__version__ in run(programs / "srn-deploy", "--version")


def test_the_metadata_tells_the_same_version(wheel: Path) -> None:
    assert wheel.name.startswith(f"srn_deploy-{srn_deploy.__version__}-")


def test_the_shipped_recipes_are_found(programs: Path, repository: Path) -> None:
    listed = run(programs / "python", "-c",
                 "from srn_deploy.training.recipe_store import shipped_recipes; print(*shipped_recipes())")
    there = {path.stem for path in (repository / "srn_deploy/training/recipes").glob("*.toml")}
    assert there == set(listed.split()) != set()


def test_the_catalogue_is_found(programs: Path) -> None:
    listed = run(programs / "python", "-c",
                 "from srn_deploy.registry.published import published_models; print(*published_models())")
    assert listed.split() == list(published_models())


def test_the_wheel_holds_every_module_and_marks_them_as_typed(wheel: Path, repository: Path) -> None:
    # setup.cfg names the packages one by one; a new sub-package is forgotten there easily.
    names = {path.relative_to(repository).as_posix() for path in (repository / "srn_deploy").rglob("*.py")}
    with zipfile.ZipFile(wheel) as archive:
        assert names | {"srn_deploy/py.typed"} <= set(archive.namelist())


def test_the_wheel_holds_the_graph_that_the_doctor_runs(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        assert "srn_deploy/doctor/tiny.onnx" in archive.namelist()


def test_the_wheel_brings_only_its_own_names(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        assert {name.split("/")[0] for name in archive.namelist() if ".dist-info/" not in name} == {
            "srn_deploy", "srn_deploy_models"}


def test_the_base_without_any_extra_upscales_a_image(
        wheel: Path, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    bin_folder = fresh_environment(tmp_path_factory.mktemp("base"), without=NOT_IN_THE_BASE)
    pip_install(bin_folder, wheel)
    ramp = np.arange(24 * 20 * 3, dtype=np.uint8).reshape(24, 20, 3)
    cv2.imwrite(str(tmp_path / "in.png"), ramp)
    run(bin_folder / "srn-deploy", "upscale", tmp_path / "in.png", tmp_path / "out.png")
    assert read_image(tmp_path / "out.png").pixels.shape == (96, 80, 3)
