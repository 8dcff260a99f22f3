"""The GPU report works without a GPU, keeps what it has however it ends, and one part's failure is not the others'."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import gpu_report, gpu_sections
from benchmarks.gpu_outputs import Outputs, PartOutcome, read_found, take_over
from benchmarks.gpu_parts import BY_NAME, Part
from benchmarks.gpu_plan import RESERVE_S, PartCost
from benchmarks.gpu_process import StopRequest
from benchmarks.gpu_records import collect, record_of
from benchmarks.gpu_table import report_table
from srn_deploy.benchmark.records import Record
from srn_deploy.errors import MissingPackage, OptionError
from srn_deploy.system.cuda_driver import why_no_gpu
from tests.optional import TENSORRT_RTX

COSTS = [PartCost(name=name, estimate_s=10) for name in "abc"]


@pytest.fixture
def outputs(tmp_path: Path) -> Outputs:
    return Outputs(tmp_path / "out")


def program(*lines: str) -> tuple[str, ...]:
    return (sys.executable, "-c", "import json, os, sys, time\n" + "\n".join(lines))


def row(**given: object) -> str:
    return f"print({json.dumps(json.dumps(given))}, flush=True)"


def ran(outputs: Outputs, command: tuple[str, ...], seconds: float = 30.0, name: str = "a") -> PartOutcome:
    gpu_report.run_in_a_process(outputs, name, seconds, StopRequest(), command=command)
    return outputs.parts[name]


def test_every_part_is_kept_with_its_rows_or_what_stood_in_its_way(outputs: Outputs) -> None:
    times = {"median_ms": 1.23456, "lower_quartile_ms": 1.0, "upper_quartile_ms": 2.0}

    def run(name: str, seconds: float, stop: StopRequest) -> None:
        outputs.parts[name] = PartOutcome(rows=[{"what": "a pass", **times}], ended=True) if name == "a" else \
            PartOutcome(obstacle="it needs a library", ended=True)

    assert gpu_report.report(outputs, COSTS, 120, run) == 0
    found = read_found(outputs.folder)
    assert found.parts == outputs.parts
    table = report_table(record_of(found).results)
    assert "| a | a pass | 1.235 ms (1.000–2.000) |" in table
    assert "| b | – | it needs a library |" in table


def test_what_does_not_fit_is_not_begun(outputs: Outputs) -> None:
    begun: list[str] = []

    def run(name: str, seconds: float, stop: StopRequest) -> None:
        begun.append(name)
        outputs.parts[name] = PartOutcome(ended=True)

    gpu_report.report(outputs, COSTS, RESERVE_S + 5, run)
    assert begun == []
    gpu_report.report(outputs, [*COSTS, PartCost(name="d", estimate_s=100, least_s=4)], RESERVE_S + 5, run)
    assert begun == ["d"]


@pytest.mark.parametrize(("lines", "obstacle"), [
    (("pass",), ""), (("os.abort()",), "the process ended with -6: it said nothing"),
    (("sys.exit('no more memory')",), "the process ended with 1: no more memory"),
    ((row(obstacle="no GPU"),), "no GPU")])
def test_what_a_part_measured_is_kept_however_its_process_ends(
        outputs: Outputs, lines: tuple[str, ...], obstacle: str) -> None:
    part = ran(outputs, program(row(what="a row"), *lines))
    assert (part.rows, part.obstacle, part.ended) == ([{"what": "a row"}], obstacle, True)
    assert read_found(outputs.folder).parts["a"] == part


def test_a_part_that_fails_is_recorded_and_the_others_go_on(outputs: Outputs) -> None:
    def run(name: str, seconds: float, stop: StopRequest) -> None:
        broken = ("raise ValueError('broken')",) if name == "a" else ()
        gpu_report.run_in_a_process(outputs, name, seconds, stop, command=program(row(what=name), *broken))

    assert gpu_report.report(outputs, COSTS, 120, run) == 0
    assert [part.obstacle for part in outputs.parts.values()] == [
        "the process ended with 1: ValueError: broken", "", ""]
    assert [part.rows for part in outputs.parts.values()] == [[{"what": name}] for name in "abc"]


def test_at_the_deadline_a_part_is_asked_to_end_and_gone_on_with_by_the_next_call(outputs: Outputs) -> None:
    saves = program(row(what="a row"), row(remaining_s=7.5), "try: time.sleep(60)",
                    f"except KeyboardInterrupt: {row(what='saved')}")
    part = ran(outputs, saves, seconds=3.0)
    assert [one["what"] for one in part.rows] == ["a row", "saved"]
    assert not part.ended
    assert part.obstacle.startswith("cut off after ")
    assert Outputs(outputs.folder).histories()["a"].remaining_s == 7.5
    assert ran(outputs, program(row(what="a row"), row(what="more"), row(what="all"))).rows[-1] == {"what": "all"}
    assert outputs.parts["a"].ended


def test_a_second_try_that_finds_less_does_not_lose_what_the_first_one_found(outputs: Outputs) -> None:
    ran(outputs, program(row(what="one"), row(what="two"), "time.sleep(60)"), seconds=3.0)
    assert len(ran(outputs, program(row(what="one"), "time.sleep(60)"), seconds=3.0).rows) == 2


def test_a_process_that_does_not_end_is_killed_with_all_that_it_started(
        outputs: Outputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.gpu_process.GRACE_S", 0.5)
    child = tmp_path / "child"
    ran(outputs, program("import signal, subprocess", "signal.signal(signal.SIGINT, signal.SIG_IGN)",
                         "child = subprocess.Popen(['sleep', '600'])",
                         f"open({str(child)!r}, 'w').write(str(child.pid))", "time.sleep(600)"), seconds=3.0)
    state = Path(f"/proc/{child.read_text()}/stat")
    assert not state.exists() or state.read_text().split()[2] == "Z"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_call_and_keeps_what_was_found(outputs: Outputs, number: int) -> None:
    def when_it_runs() -> None:
        while not outputs.parts.get("b", PartOutcome()).rows:
            time.sleep(0.05)
        os.kill(os.getpid(), number)

    def run(name: str, seconds: float, stop: StopRequest) -> None:
        waits = ("time.sleep(60)",) if name == "b" else ()
        gpu_report.run_in_a_process(outputs, name, seconds, stop, command=program(row(what=name), *waits))

    sender = threading.Thread(target=when_it_runs)
    sender.start()
    assert gpu_report.report(outputs, COSTS, 120, run) == 128 + number
    sender.join()
    found = read_found(outputs.folder).parts
    assert {name: (part.rows, part.ended) for name, part in found.items()} == {
        "a": ([{"what": "a"}], True), "b": ([{"what": "b"}], False)}


def test_a_call_that_is_killed_has_every_row_that_was_printed(tmp_path: Path, repository: Path) -> None:
    out = tmp_path / "out"
    code = (f"from pathlib import Path\nfrom benchmarks import gpu_report\nfrom benchmarks.gpu_outputs import Outputs\n"
            f"from benchmarks.gpu_process import StopRequest\ngpu_report.run_in_a_process(Outputs(Path({str(out)!r})), "
            f"'a', 600, StopRequest(), command={program(row(what='a row'), 'time.sleep(20)')!r})")
    with subprocess.Popen([sys.executable, "-c", code], cwd=repository) as call:
        while not (out / "found.json").is_file() or not read_found(out).parts["a"].rows:
            time.sleep(0.05)
            assert call.poll() is None
        call.kill()
    found = read_found(out).parts["a"]
    assert (found.rows, found.obstacle, found.ended) == ([{"what": "a row"}], "cut off", False)


def test_a_further_call_does_what_is_missing(outputs: Outputs, tmp_path: Path) -> None:
    calls: list[str] = []

    def run_in(kept: Outputs) -> gpu_report.RunPart:
        def run(name: str, seconds: float, stop: StopRequest) -> None:
            calls.append(name)
            kept.parts[name] = PartOutcome(rows=[{"what": name}], ended=name != "b" or len(calls) > 3)
            kept.save()
        return run

    gpu_report.report(outputs, COSTS, 120, run_in(outputs))
    take_over(outputs.folder, tmp_path / "another machine")
    again = Outputs(tmp_path / "another machine")
    gpu_report.report(again, COSTS, 120, run_in(again))
    assert calls == ["a", "b", "c", "b"]
    assert all(part.ended for part in again.parts.values())


def test_times_of_two_devices_are_not_mixed(outputs: Outputs, monkeypatch: pytest.MonkeyPatch) -> None:
    outputs.save()
    monkeypatch.setattr("benchmarks.gpu_outputs.device_title", lambda: "another GPU")
    with pytest.raises(OptionError, match="another GPU"):
        Outputs(outputs.folder)


def test_a_reduced_report_becomes_no_record_and_one_of_a_gpu_does(outputs: Outputs, tmp_path: Path) -> None:
    outputs.save()
    if why_no_gpu():
        with pytest.raises(OptionError, match="without a GPU"):
            collect(outputs.folder, tmp_path)
    found = json.loads((outputs.folder / "found.json").read_text()) | {"reduced": False, "device": "NVIDIA X1 9.0"}
    (outputs.folder / "found.json").write_text(json.dumps(found))
    (path,) = collect(outputs.folder, tmp_path / "records")
    assert path.name == "gpu-report-nvidia-x1-9-0.json"
    assert Record.load(path).results["device"] == "NVIDIA X1 9.0"
    with pytest.raises(OptionError, match=r"found\.json"):
        collect(tmp_path, tmp_path)


def test_errors_of_a_part_are_its_last_line(
        capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def section(scale: gpu_sections.Scale) -> Iterator[dict[str, Any]]:
        yield {"what": "a row"}
        raise MissingPackage("It needs a library.", remedy="Install it.")

    monkeypatch.setitem(BY_NAME, "a", Part(cost=COSTS[0], run=section))
    gpu_report.print_rows("a")
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
    pytest.importorskip("tensorrt_rtx", reason=TENSORRT_RTX)
    rows = list(gpu_sections.tensorrt_rtx(gpu_sections.REDUCED))
    assert [row["what"] for row in rows] == ["fp32: built", "fp16: built"]
    assert [row["convolutions"] for row in rows] == ["{'FLOAT': 26}", "{'HALF': 26}"]
    assert all("Not yet certified" in row["told"] for row in rows)


def test_the_whole_command_runs_in_its_reduced_form_and_a_second_time_has_nothing_left_to_do(
        tmp_path: Path, repository: Path) -> None:
    given = [sys.executable, "-m", "benchmarks.gpu_report", "--minutes", "9", "--out", str(tmp_path / "out"), "--work",
             str(tmp_path / "work"), "--only", "ONNX Runtime", "--only", "memory and copies (PyCUDA)"]
    for times in ("an estimate", "an earlier call"):
        ended = subprocess.run(given, cwd=repository, capture_output=True, text=True, check=True)
        assert ended.stdout.count(times) == 2
    assert "begun" not in ended.stdout
    parts = read_found(tmp_path / "out").parts
    assert len(parts["ONNX Runtime"].rows) == 2
    if why_no_gpu():
        assert parts["memory and copies (PyCUDA)"].obstacle.startswith("MissingPackage: PyCUDA needs a GPU")
