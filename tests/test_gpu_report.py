"""The GPU report works without a GPU, keeps what it has, and one section's failure is not the others'."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import gpu_report, gpu_sections
from benchmarks.gpu_table import report_table
from srn_deploy.cli import RUNNER_STATUS
from srn_deploy.cuda_driver import why_no_gpu
from srn_deploy.errors import MissingPackage
from srn_deploy.records import Record


def works(scale: gpu_sections.Scale) -> list[dict[str, Any]]:
    return [{"what": "a pass", "median_ms": 1.23456, "lower_quartile_ms": 1.0, "upper_quartile_ms": 2.0}]


def is_missing(scale: gpu_sections.Scale) -> list[dict[str, Any]]:
    raise MissingPackage("It needs a library.", remedy="Install it.")


def breaks(scale: gpu_sections.Scale) -> list[dict[str, Any]]:
    raise ZeroDivisionError


def test_every_section_is_kept_with_its_rows_or_what_stood_in_its_way(tmp_path: Path) -> None:
    kept = tmp_path / "record.json"
    record = gpu_report.report(60, {"a": works, "b": is_missing, "c": breaks, "d": works},
                               keep=lambda record: record.save(kept))
    told = {name: section["obstacle"] for name, section in record.results["sections"].items()}
    assert told == {"a": "", "b": "MissingPackage: It needs a library.", "c": "ZeroDivisionError: ", "d": ""}
    assert Record.load(kept) == record
    table = report_table(record.results)
    assert "| a | a pass | 1.235 ms (1.000–2.000) |" in table
    assert "| b | – | MissingPackage: It needs a library. |" in table


def test_what_comes_too_late_is_not_begun() -> None:
    record = gpu_report.report(0, {"a": works})
    assert record.results["sections"]["a"]["obstacle"] == "not begun: the time was up"


def test_contestants_run_in_turn_after_warming_up() -> None:
    runs: list[str] = []

    def contestant(name: str) -> gpu_sections.Pass:
        return lambda: runs.append(name) or float(len(runs))  # type: ignore[func-returns-value]

    scale = gpu_sections.Scale(size=(1, 1), rounds=2, warm_ups=1, on_gpu=False)
    rows = gpu_sections.timed({"a": contestant("a"), "b": contestant("b")}, scale)
    assert "".join(runs) == "ab" + "abab"
    assert [(row["what"], row["median_ms"]) for row in rows] == [("a", 4.0), ("b", 5.0)]


def test_the_sections_that_need_no_gpu_measure_on_the_cpu(one_thread: None) -> None:
    names = {row["what"] for row in gpu_sections.onnx_runtime(gpu_sections.REDUCED)}
    assert names == {"ONNX Runtime: resident", "ONNX Runtime: host to host"}


@pytest.mark.skipif(not why_no_gpu(), reason="here it would run")
def test_tensorrt_rtx_is_built_and_says_why_it_did_not_run() -> None:
    pytest.importorskip("tensorrt_rtx")
    rows = gpu_sections.tensorrt_rtx(gpu_sections.REDUCED)
    assert [row["what"] for row in rows] == ["fp32: built", "fp16: built"]
    assert [row["convolutions"] for row in rows] == ["{'FLOAT': 26}", "{'HALF': 26}"]
    assert all("Not yet certified" in row["told"] for row in rows)


def test_what_readme_and_version_say_of_the_runner_is_what_the_records_show(repository: Path) -> None:
    """An engine that ran shows as a row with its tiles."""
    records = [Record.load(path) for path in (repository / "benchmarks/records").glob("gpu-report-*.json")]
    rows = [row for record in records if not record.results["reduced"]
            for name in ("TensorRT", "TensorRT-RTX") for row in record.results["sections"][name]["rows"]]
    executed = any("tiles" in row["what"] for row in rows)
    never = "never executed on hardware" in RUNNER_STATUS
    assert never is not executed
    readme = " ".join((repository / "README.md").read_text(encoding="utf-8").split())
    assert ("built and checked against the API, never executed on hardware" in readme) is never
