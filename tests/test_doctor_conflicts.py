"""What `srn-deploy doctor` knows of its extras, and of installed packages that contradict each other."""

from __future__ import annotations

import configparser
import importlib.util
import json
from pathlib import Path

import pytest

from srn_deploy.doctor import requirements
from srn_deploy.doctor.conflicts import Conflict, ConflictsReport, disagreements
from srn_deploy.doctor.findings import Finding, Status
from srn_deploy.doctor.packages import BASE, EXTRAS, FEATURES
from srn_deploy.doctor.subprocesses import ProbeResult, run_probes
from srn_deploy.system.documents import to_builtins
from tests.probe_results import CRASHED, made_up


def finding_of(conflict: Conflict) -> Finding:
    """As it comes from the process that looked."""
    reported = json.loads(json.dumps(to_builtins(ConflictsReport(conflicts=[conflict]))))
    (found,) = disagreements(ProbeResult(reported=reported))
    return found


def test_a_package_that_another_one_does_not_take_is_named_with_the_version_that_all_take(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_up(tmp_path, "gradio", "6.31.0", "pillow<13.0,>=8.0", "absent>=1", "tritonclient[grpc]",
            "never>1; extra == 'x'")
    made_up(tmp_path, "tritonclient", "2.73.0", "protobuf<7; extra == 'grpc'", "numpy>=99; extra == 'cuda'",
            "not a line")
    for name, version in (("pillow", "13.1.0"), ("protobuf", "7.1"), ("numpy", "2.4"), ("never", "1")):
        made_up(tmp_path, name, version)
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    pillow, protobuf = requirements.read_conflicts()
    asked = "gradio 6.31.0 for pillow>=8.0,<13.0"
    assert (pillow.name, pillow.installed, pillow.asked) == ("pillow", "13.1.0", [asked])
    assert pillow.requirement == "pillow>=8.0,>=11.3,<13.0"
    assert (protobuf.name, protobuf.asked, protobuf.requirement) == (
        "protobuf", ["tritonclient 2.73.0 for protobuf<7"], "protobuf<7")
    found = finding_of(pillow)
    assert (found.name, found.state) == ("pillow", Status.WARNING)
    assert found.detail == f"13.1.0 is installed, and asked for is another: {asked}"
    assert found.fix.endswith("install 'pillow>=8.0,>=11.3,<13.0'")


def test_a_package_that_two_extras_want_in_versions_that_exclude_each_other_is_named_with_both(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As an installed copy has it: by its metadata, with what is for other platforms and for development alone."""
    made_up(tmp_path, "srn-deploy", "9", "pillow>=11; extra == 'heif'", "gradio<7; extra == 'web'",
            "numpy>=99; sys_platform == 'another'", "pillow>=99; extra == 'dev'",
            "pillow>=98; extra == 'heif' and sys_platform == 'another'")
    made_up(tmp_path, "gradio", "6.31.0", "pillow<11")
    for name, version in (("pillow", "10.4"), ("numpy", "2.4")):
        made_up(tmp_path, name, version)
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    monkeypatch.setattr(requirements, "CHECKOUT", None)
    (found,) = requirements.read_conflicts()
    assert (found.name, found.installed, found.requirement) == ("pillow", "10.4", "")
    told = finding_of(found)
    assert told.detail == ("10.4 is installed, and no version suits all: gradio 6.31.0 for pillow<11; "
                           "srn-deploy[heif] for pillow>=11")
    assert told.fix.endswith("install --upgrade 'gradio'")


def test_what_only_development_needs_is_no_conflict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_up(tmp_path, "pytest", "8.0")  # of the extra dev of setup.cfg, which asks for 9
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    assert requirements.read_conflicts() == []


def test_every_extra_for_users_is_known(repository: Path) -> None:
    written = configparser.ConfigParser()
    written.read(repository / "setup.cfg", encoding="utf-8")
    assert {BASE, *written["options.extras_require"]} - {"dev"} == set(EXTRAS) == set(FEATURES)


def test_every_required_package_is_imported_under_the_name_that_it_has() -> None:
    for needed in requirements.read_requirements():
        if needed.installed:
            assert importlib.util.find_spec(needed.module) is not None, needed


def test_no_conflict_is_reported_where_the_requirements_cannot_be_read() -> None:
    assert disagreements(CRASHED) == []


def test_what_is_installed_here_fits_together() -> None:
    result = run_probes({"it": ("conflicts",)}, timeout_s=120)["it"]
    assert result.ok, result.text
    assert disagreements(result) == []
