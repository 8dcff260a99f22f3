"""What the guard's documents claim is what its study recorded, at the bounds that the guard has now."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image as Pillow

from benchmarks import guard_cost
from benchmarks.guard_page import PLOT, cost_tables
from benchmarks.guard_study import BOUNDS, HALF, HARD_RECORD, HEALTHY_RECORD, OFFICIAL, PUBLISHED, verdicts
from benchmarks.inputs import BENCHMARKS, PLOTS, RECORDS
from benchmarks.plots import digest
from srn_deploy.benchmark.records import Record
from srn_deploy.benchmark.summary import summarise
from srn_deploy.registry.shipped import shipped_models

HEALTHY, HARD = Record.load(HEALTHY_RECORD).results["networks"], Record.load(HARD_RECORD).results["networks"]


def judged(verdict: str) -> list[float]:
    """The share of flagged blocks of every output that a person called so."""
    return [case["flagged"] for network, cases in HARD.items() for name, case in cases.items()
            if verdicts().get(network, {}).get(name, "whole") == verdict]


def test_every_network_saw_every_published_image() -> None:
    assert set(HEALTHY) == {*shipped_models(), *PUBLISHED}
    assert set(HARD) == {*HEALTHY, HALF}
    assert {network["pictures"] for network in HEALTHY.values()} == {5 + 14 + 100}


def test_the_hard_outputs_were_judged_at_the_bounds_of_today() -> None:
    assert Record.load(HARD_RECORD).results["bounds"] == BOUNDS


@pytest.mark.parametrize("sign", BOUNDS)
def test_no_healthy_output_comes_near_a_bound(sign: str) -> None:
    assert max(max(network["all"][sign]) for network in HEALTHY.values()) < 0.75 * BOUNDS[sign]


def test_no_broken_output_is_passed_and_no_whole_one_is_flagged() -> None:
    assert len(judged("broken")) == 34
    assert all(judged("broken"))
    assert not any(judged("whole"))


def test_of_nine_doubtful_outputs_five_pass_as_the_document_says() -> None:
    assert (len(judged("doubtful")), judged("doubtful").count(0)) == (9, 5)


def test_a_verdict_is_of_an_output_of_the_study() -> None:
    assert [name for network, cases in verdicts().items() for name in cases if name not in HARD[network]] == []
    assert verdicts()[OFFICIAL].keys() == verdicts()[HALF].keys()


def test_the_plot_is_drawn_from_these_records() -> None:
    with Pillow.open(PLOTS / PLOT) as plot:
        assert plot.info["Source"] == digest([Record.load(HEALTHY_RECORD), Record.load(HARD_RECORD)])


def test_the_cost_is_measured_in_pairs(tmp_path: Path) -> None:
    guard_cost.main(["--picture", str(BENCHMARKS / "pictures/badge.png"), "--pairs", "2", "--records", str(tmp_path)])
    results = Record.load(tmp_path / "guard-cost.json").results
    assert [len(samples) for samples in results["seconds"].values()] == [2, 2]
    assert [part for part in cost_tables(results) if "more time" in part]


def test_the_guard_costs_at_most_a_twentieth() -> None:
    results = Record.load(RECORDS / "guard-cost.json").results
    assert summarise(results["ratios"]).median - 1 <= results["most_share"] == 0.05
