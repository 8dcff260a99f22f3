"""The GPU report works without a GPU, keeps what it has, and one section's failure is not the others'."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import gpu_report, gpu_sections
from benchmarks.gpu_table import report_table
from srn_deploy.benchmark.records import Record
from srn_deploy.cli import RUNNER_STATUS
from srn_deploy.errors import MissingPackage
from srn_deploy.system.cuda_driver import why_no_gpu


def became(name: str, seconds: float) -> gpu_report.SectionOutcome:
    rows = [{"what": "a pass", "median_ms": 1.23456, "lower_quartile_ms": 1.0, "upper_quartile_ms": 2.0}]
    if name == "a":
        return gpu_report.SectionOutcome(rows, "", 1.0)
    return gpu_report.SectionOutcome([], "it needs a library", 0.1)


def test_every_section_is_kept_with_its_rows_or_what_stood_in_its_way(tmp_path: Path) -> None:
    kept = tmp_path / "record.json"
    record = gpu_report.report(60, ("a", "b"), run=became, keep=lambda record: record.save(kept))
    assert Record.load(kept) == record
    table = report_table(record.results)
    assert "| a | a pass | 1.235 ms (1.000–2.000) |" in table
    assert "| b | – | it needs a library |" in table


def test_what_comes_too_late_is_not_begun() -> None:
    record = gpu_report.report(0, ("a",), run=became)
    assert record.results["sections"]["a"]["obstacle"] == "not begun: the time was up"


@pytest.mark.parametrize(("program", "obstacle"), [
    ("pass", ""), ("import os; os.abort()", "the process ended with -6"),
    ("import time; time.sleep(60)", "ended after 2 s"),
    ("print('{\"obstacle\": \"no GPU\"}')", "no GPU")])
def test_what_a_section_measured_is_kept_however_its_process_ends(program: str, obstacle: str) -> None:
    code = f"print('{{\"what\": \"a row\"}}', flush=True); {program}"
    told = gpu_report.in_a_process("a", 2.0, command=(sys.executable, "-c", code))
    assert (told.rows, told.obstacle) == ([{"what": "a row"}], obstacle)


def test_errors_of_a_section_are_its_last_line(capsys: pytest.CaptureFixture[str]) -> None:
    def section(scale: gpu_sections.Scale) -> Iterator[dict[str, Any]]:
        yield {"what": "a row"}
        raise MissingPackage("It needs a library.", remedy="Install it.")

    gpu_report.print_rows(section)
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [
        {"what": "a row"}, {"obstacle": "MissingPackage: It needs a library."}]


def test_candidates_run_in_turn_after_warming_up() -> None:
    runs: list[str] = []

    def candidate(name: str) -> Callable[[], float]:
        return lambda: runs.append(name) or float(len(runs))  # type: ignore[func-returns-value]

    scale = gpu_sections.Scale(size=(1, 1), rounds=2, warm_ups=1, on_gpu=False)
    rows = gpu_sections.timed({"a": candidate("a"), "b": candidate("b")}, scale)
    assert "".join(runs) == "ab" + "abab"
    assert [(row["what"], row["median_ms"]) for row in rows] == [("a", 4.0), ("b", 5.0)]


def test_the_sections_that_need_no_gpu_measure_on_the_cpu(one_thread: None) -> None:
    names = {row["what"] for row in gpu_sections.onnx_runtime(gpu_sections.REDUCED)}
    assert names == {"ONNX Runtime: resident", "ONNX Runtime: host to host"}


@pytest.mark.skipif(not why_no_gpu(), reason="here it would run")
def test_tensorrt_rtx_is_built_and_says_why_it_did_not_run() -> None:
    pytest.importorskip("tensorrt_rtx")
    rows = list(gpu_sections.tensorrt_rtx(gpu_sections.REDUCED))
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
