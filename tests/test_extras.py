"""The check that all extras fit into one environment: what it asks, and that it fails where they do not.

The check itself asks the package index, so `make extras` runs it and no test does.
"""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path

from packaging.requirements import Requirement

from tests.extras import requirements, resolved, verdict


def test_every_extra_is_part_of_the_question() -> None:
    names = {Requirement(line).name for line in requirements()}
    assert {"numpy", "torch", "tensorrt-rtx", "pycuda", "openvino", "av", "nncf", "spandrel", "pillow-heif",
            "pillow-jxl-plugin", "tritonclient", "gradio", "nvidia-ml-py", "pytest"} <= names
    assert not {"srn-deploy", "tensorrt"} & names


def wheel(folder: Path, name: str, version: str, *needs: str) -> None:
    """A package with nothing in it."""
    place = f"{name}-{version}.dist-info"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}",
             *(f"Requires-Dist: {one}" for one in needs)]
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as file:
        file.writestr(f"{place}/METADATA", "\n".join([*lines, ""]))
        file.writestr(f"{place}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        file.writestr(f"{place}/RECORD", "")


def test_extras_that_contradict_each_other_fail_the_check(tmp_path: Path) -> None:
    wheel(tmp_path, "srn_page", "1", "srn_pictures<13")
    wheel(tmp_path, "srn_reader", "1", "srn_pictures>=13")
    wheel(tmp_path, "srn_pictures", "12")
    wheel(tmp_path, "srn_pictures", "13")
    options = ("--no-index", "--find-links", str(tmp_path))
    assert verdict(resolved(["srn_page"], *options))[0] == 0
    code, said = verdict(resolved(["srn_page", "srn_reader"], *options))
    assert code == 1
    assert "srn-page 1 depends on srn-pictures<13" in said.replace("_", "-")


def test_without_an_index_the_check_says_that_it_was_none() -> None:
    code, said = verdict(resolved(["no-such-package-as-this"], "--no-index"))
    assert code == 0
    assert "could not be checked" in said


def test_extras_that_fit_pass() -> None:
    assert verdict(subprocess.CompletedProcess([], 0, "", "")) == (0, "All extras fit into one environment.")
