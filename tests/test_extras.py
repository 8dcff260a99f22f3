"""The check that all extras fit into one environment: what it asks, and that it fails where they do not.

The check itself asks the package index, so `make extras` runs it and no test does.
"""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import zipfile
from itertools import pairwise
from pathlib import Path

import numpy as np
from packaging.requirements import Requirement

from srn_deploy.doctor.requirements import read_requirements
from srn_deploy.image import Image, write_image
from tests import optional
from tests.extras import requirements, resolved, verdict

_UPSCALE = """
import json, sys
from srn_deploy.cli import main
try:
    main(["upscale", *sys.argv[1:], "--device", "cpu"])
except SystemExit as ended:
    assert not ended.code, ended.code
print(json.dumps(sorted(sys.modules)))
"""


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


def test_a_version_that_does_not_exist_fails_the_check(tmp_path: Path) -> None:
    wheel(tmp_path, "srn_page", "1")
    wheel(tmp_path, "srn_page", "2")
    code, said = verdict(resolved(["srn_page>=3"], "--no-index", "--find-links", str(tmp_path)))
    assert code == 1
    assert said.startswith("There is no version of srn_page>=3:\n")
    assert "(from versions: 1, 2)" in said


def test_a_version_that_does_not_exist_of_what_an_extra_needs_fails_the_check(tmp_path: Path) -> None:
    wheel(tmp_path, "srn_page", "1", "srn_pictures>=9")
    wheel(tmp_path, "srn_pictures", "8")
    code, said = verdict(resolved(["srn_page"], "--no-index", "--find-links", str(tmp_path)))
    assert code == 1
    assert "srn-pictures>=9" in said.replace("_", "-")


def test_without_an_index_the_check_says_that_it_was_none() -> None:
    code, said = verdict(resolved(["no-such-package-as-this"], "--no-index"))
    assert code == 0
    assert "could not be checked" in said


def test_extras_that_fit_pass() -> None:
    assert verdict(subprocess.CompletedProcess([], 0, "", "")) == (0, "All extras fit into one environment.")


def test_upscaling_imports_nothing_that_is_of_an_extra_alone(tmp_path: Path) -> None:
    write_image(tmp_path / "in.png", Image(pixels=np.zeros((16, 20, 3), np.uint8)))
    done = subprocess.run([sys.executable, "-c", _UPSCALE, tmp_path / "in.png", tmp_path / "out.png"],
                          capture_output=True, text=True, check=True)
    imported = json.loads(done.stdout.splitlines()[-1])
    of_extras = {package.module for package in read_requirements() if package.extra}
    assert {"torch", "openvino", "av", "ray", "gradio", "tritonclient.grpc", "jinja2", "nncf"} <= of_extras
    assert of_extras & set(imported) == set()


def test_every_test_that_is_skipped_without_a_package_says_what_installs_it(repository: Path) -> None:
    told = {name for name, reason in vars(optional).items() if isinstance(reason, str) and "pip install" in reason}
    silent = []
    for path in sorted((repository / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.importorskip"):
                continue
            reasons = [ast.unparse(keyword.value) for keyword in node.keywords if keyword.arg == "reason"]
            if not any(reason in told or "pip install" in reason for reason in reasons):
                silent.append(f"{path.name}:{node.lineno} {ast.unparse(node)}")
    others = ("tests.", "'fcntl'", "'onnxruntime.capi")  # files with a reason of their own; nothing that is installed
    assert [one for one in silent if not any(words in one for words in others)] == []


def test_where_the_video_extra_is_named_its_licences_are_told(repository: Path) -> None:
    setup, install, video = ((repository / name).read_text() for name in ("setup.cfg", "docs/install.md",
                                                                           "docs/video.md"))
    (above,) = [above for above, line in pairwise(setup.splitlines()) if line == "video ="]
    (row,) = [line for line in install.splitlines() if line.startswith("| `video`")]
    for told in (above, row, video):
        assert "x264 and x265" in told
        assert "under the GPL" in told
