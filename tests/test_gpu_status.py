"""What README.md, the tutorial and `--version` say of the GPU is what the records show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu_status import NEVER, PLACES, runner_status, status_texts, write_status
from benchmarks.inputs import RECORDS
from benchmarks.render import load_records
from srn_deploy.benchmark.records import Record
from srn_deploy.cli import RUNNER_STATUS
from tests.environments import ENVIRONMENT

RAN: list[dict[str, Any]] = [
    {"what": "fp16: built"}, {"what": "TensorRT in FP16: tiles of 96 px against the whole", "worst_levels": 1}]


def gpu_report(rows: list[dict[str, Any]], *, reduced: bool = False) -> Record:
    return Record(kind="gpu-report", title="t", environment=ENVIRONMENT, results={
        "device": "NVIDIA X1 9.0", "reduced": reduced, "sections": {"TensorRT": {"rows": rows, "obstacle": ""}}})


def test_the_files_are_those_of_todays_records(repository: Path) -> None:
    for path, text in status_texts(repository, load_records(RECORDS)).items():
        assert (repository / path).read_text(encoding="utf-8") == text, f"{path} is stale: python -m benchmarks.render"
    assert runner_status(load_records(RECORDS)) == RUNNER_STATUS


@pytest.mark.parametrize("records", [[], [gpu_report(RAN, reduced=True)], [gpu_report(RAN[:1])]])
def test_an_engine_that_never_ran_on_a_gpu_is_said_never_to_have_run(records: list[Record]) -> None:
    assert runner_status(records) == NEVER


def test_a_record_of_engines_that_ran_changes_every_place_and_without_it_they_change_back(
        repository: Path, tmp_path: Path) -> None:
    for path in PLACES:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes((repository / path).read_bytes())
    write_status(tmp_path, [gpu_report(RAN)])
    for path in PLACES:
        text = (tmp_path / path).read_text(encoding="utf-8")
        assert "executed with TensorRT on NVIDIA X1 9.0" in text
        assert "TensorRT runner: built and checked" not in text
    assert "On a GPU nothing has been run yet" not in (tmp_path / "README.md").read_text(encoding="utf-8")
    write_status(tmp_path, [])
    for path in PLACES:
        assert "never executed on hardware" in (tmp_path / path).read_text(encoding="utf-8")
