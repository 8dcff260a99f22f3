"""Steady state: the budget decides the rounds, Ctrl-C keeps what is enough, and the progress is visible."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from srn_deploy.benchmark import paper_page, paper_protocol, steady_state
from srn_deploy.benchmark.candidates import Pass, wall_clock, warm_up
from srn_deploy.benchmark.environment import Ceilings, GpuState
from srn_deploy.benchmark.inputs import Inputs
from srn_deploy.benchmark.paper import paper_rows
from srn_deploy.benchmark.paper_protocol import run_paper
from srn_deploy.benchmark.records import Record
from srn_deploy.benchmark.results import PaperResults, SteadyResults
from srn_deploy.benchmark.steady_state import MOST_ROUNDS, WARM_UP_SHARE, Plan, _Budget, run_steady
from srn_deploy.benchmark.summary import FEW_SAMPLES
from srn_deploy.benchmark.ways import Candidate, Task, _candidates_on
from srn_deploy.cli import main
from srn_deploy.spec import Form, Precision
from tests.fakes import NEAREST, NearestBackend


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["bench", *map(str, arguments)])
def steady_candidate(name: str, run: Pass) -> Candidate:
    return Candidate(name=name, run=run, pictures=1, library="a library", precision=Precision.FP32, form=Form.DEPLOY)


@pytest.fixture
def with_candidates(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes `run_steady` time these passes instead of a model."""
    monkeypatch.setattr(steady_state, "ceilings", lambda device, precisions: Ceilings())

    def use(**passes: Pass) -> None:
        monkeypatch.setattr(steady_state, "candidates_of", lambda model, task, opened, on_way: [
            steady_candidate(name, run) for name, run in passes.items()])

    return use


def test_a_budget_gives_more_rounds_to_fast_candidates_and_the_fewest_to_slow_ones(
        with_candidates: Callable[..., None]) -> None:
    with_candidates(fast=lambda: 1.0)
    assert len(samples_of(run_steady([None], Plan(budget_s=5.0)))) == MOST_ROUNDS
    with_candidates(slow=wall_clock(lambda: time.sleep(0.02)))
    assert len(samples_of(run_steady([None], Plan(budget_s=1e-3)))) == FEW_SAMPLES


def test_warming_up_leaves_time_for_the_fewest_rounds() -> None:
    passes = [replace(steady_candidate("slow", lambda: 1.0), first_ms=1000.0)] * 2
    budget = _Budget(Plan(budget_s=5 + FEW_SAMPLES * 2))
    assert budget.warm_up_seconds(passes) == pytest.approx(5 * WARM_UP_SHARE / 2, rel=0.01)
    assert _Budget(Plan(budget_s=1.0)).warm_up_seconds(passes) == 0


@pytest.mark.parametrize(("device", "every_way", "has_copies"), [
    ("cpu", False, False), ("cpu", True, True), ("cuda", False, True)])
def test_host_to_host_is_measured_where_it_is_not_the_same_as_resident(
        device: str, every_way: bool, has_copies: bool) -> None:
    task = Task(device=device, size=(8, 8), batches=(1,), every_way=every_way)
    backend = NearestBackend(replace(NEAREST, architecture="srcnn", options={"scale": 2}))  # one that can be counted
    with ExitStack() as opened:
        names = [one.name for one in _candidates_on("x", backend, "fake", task, opened)]
    assert names == ["x, resident, batch 1", *(["x, host to host"] if has_copies else []), "x, file to file"]


def test_a_number_of_rounds_holds_whatever_the_budget(with_candidates: Callable[..., None]) -> None:
    with_candidates(fast=lambda: 1.0)
    assert len(samples_of(run_steady([None], Plan(rounds=3, budget_s=1e-3)))) == 3


def samples_of(record: Record) -> list[float]:
    """Of the only candidate."""
    (candidate,) = record.results_as(SteadyResults).candidates.values()
    return candidate.samples_ms


def interrupted_in_pass(number: int) -> Pass:
    """Ctrl-C arrives in this pass; the first ones warm up."""
    passes = count(1)

    def run() -> float:
        if next(passes) == number:
            raise KeyboardInterrupt
        return 1.0

    return run


def test_ctrl_c_keeps_the_complete_rounds_where_there_are_enough(with_candidates: Callable[..., None]) -> None:
    warm_ups = len(warm_up(lambda: 1.0))
    with_candidates(first=lambda: 1.0, second=interrupted_in_pass(warm_ups + 8))
    results = run_steady([None], Plan(rounds=20)).results_as(SteadyResults)
    assert results.interrupted
    assert results.cautions[0] == "Interrupted after 7 rounds."
    assert {name: len(one.samples_ms) for name, one in results.candidates.items()} == {"first": 7, "second": 7}


def test_ctrl_c_between_the_results_of_one_round_leaves_series_of_one_length(
        with_candidates: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    states = count(1)

    def state() -> GpuState:
        if next(states) == 9:  # the first is that of the machine before the rounds
            raise KeyboardInterrupt
        return GpuState(gpu="none: a test")

    monkeypatch.setattr(steady_state, "gpu_state", state)
    with_candidates(first=lambda: 1.0, second=lambda: 1.0)
    results = run_steady([None], Plan(rounds=20)).results_as(SteadyResults)
    assert {len(one.samples_ms) for one in results.candidates.values()} == {7}


def test_ctrl_c_after_the_last_round_keeps_the_measurement(
        with_candidates: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    measured = count(1)

    def ceilings(device: str, precisions: object) -> Ceilings:
        if next(measured) == 2:
            raise KeyboardInterrupt
        return Ceilings()

    with_candidates(only=lambda: 1.0)
    monkeypatch.setattr(steady_state, "ceilings", ceilings)
    record = run_steady([None], Plan(rounds=6))
    assert record.results_as(SteadyResults).interrupted
    assert len(samples_of(record)) == 6


def test_ctrl_c_after_too_few_rounds_keeps_nothing(with_candidates: Callable[..., None]) -> None:
    with_candidates(only=interrupted_in_pass(len(warm_up(lambda: 1.0)) + FEW_SAMPLES))
    with pytest.raises(KeyboardInterrupt):
        run_steady([None], Plan(rounds=20))


def test_an_interrupted_run_is_saved_and_printed_and_ends_in_130(
        with_candidates: Callable[..., None], tmp_path: Path) -> None:
    with_candidates(only=interrupted_in_pass(len(warm_up(lambda: 1.0)) + 8))
    ended = run("--device", "cpu", "--rounds", "20", "--save", tmp_path / "a.json")
    assert ended.exit_code == 130
    assert "| only |" in ended.stdout
    assert ended.stderr.endswith("Interrupted; what was measured until then is kept.\n")
    assert len(samples_of(Record.load(tmp_path / "a.json"))) == 7


def test_ctrl_c_keeps_the_networks_of_the_paper_that_ran_on_enough_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = np.zeros((16, 16, 3), np.uint8)
    networks = len({row.network for row in paper_rows() if row.is_runnable and row.scale == 4})
    times = interrupted_in_pass(networks * 6 + 2)
    monkeypatch.setattr(paper_protocol, "_timed_pass", lambda one, picture, device: times())
    record = run_paper(Inputs(label="tiny", pictures=(picture,) * 9))
    results = record.results_as(PaperResults)
    assert results.interrupted
    assert {len(network.samples_ms) for network in results.networks.values()} == {6}
    assert {network.scale for network in results.networks.values()} == {4}
    assert "not run" in {row[4] for row in paper_page.tables(record)["Table 1, ×2"]}


def test_progress_is_lines_where_there_is_no_terminal(with_candidates: Callable[..., None]) -> None:
    with_candidates(only=lambda: 1.0)
    ended = run("--device", "cpu", "--rounds", "5")
    assert "Warming up: only (1 of 1)\nMeasuring: rounds (1 of 5)\n" in ended.stderr


def test_a_terminal_gets_a_drawn_table_and_markdown_where_it_is_asked_for(
        with_candidates: Callable[..., None], monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str]) -> None:
    with_candidates(only=lambda: 1.0)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")
    main(["bench", "--device", "cpu", "--rounds", "5"], standalone_mode=False)
    assert "│ only" in capsys.readouterr().out
    main(["bench", "--device", "cpu", "--rounds", "5", "--markdown", "-"], standalone_mode=False)
    assert "| only |" in capsys.readouterr().out
