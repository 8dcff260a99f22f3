"""Two records compared: a change is called real only where the spread leaves no other reading."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from srn_deploy.benchmark.comparison import compare
from srn_deploy.benchmark.records import Record
from srn_deploy.cli import main
from srn_deploy.errors import OptionError
from tests.environments import ENVIRONMENT


def record(kind: str = "bench-steady", cpu: str = "a", **series: list[float]) -> Record:
    return Record(kind=kind, title=kind, environment=replace(ENVIRONMENT, cpu=cpu),
                  results={"contestants": {name: {"samples_ms": samples} for name, samples in series.items()}})


def noisy(median_ms: float, *, seed: int, spread: float = 0.05) -> list[float]:
    samples: list[float] = (median_ms * np.random.default_rng(seed).normal(1, spread, 25)).tolist()
    return samples


def test_a_large_change_is_real_and_noise_is_none() -> None:
    found = compare(record(same=noisy(10, seed=0), faster=noisy(10, seed=1), slower=noisy(10, seed=2)),
                    record(same=noisy(10, seed=3), faster=noisy(7, seed=4), slower=noisy(15, seed=5)))
    verdicts = {change.name: change.verdict for change in found.changes}
    assert verdicts["same"] == "no real change"
    assert verdicts["faster"].endswith("times as fast")
    assert verdicts["slower"].endswith("times as slow")
    slower = next(change for change in found.changes if change.name == "slower")
    assert slower.low < 1.5 < slower.high
    assert slower.ratio == pytest.approx(1.5, rel=0.05)


def test_few_wide_samples_are_no_proof() -> None:
    found = compare(record(a=[8.0, 10.0, 14.0]), record(a=[7.0, 9.0, 12.0]))
    assert not found.changes[0].is_real
    assert not compare(record(a=[1.0]), record(a=[9.0])).changes[0].is_real


def test_a_change_below_two_percent_is_not_called_real() -> None:
    found = compare(record(a=[10.0] * 9), record(a=[10.1] * 9))
    assert not found.changes[0].is_real
    assert compare(record(a=[10.0] * 9), record(a=[10.3] * 9)).changes[0].is_real


def test_what_differs_beside_the_times_and_what_only_one_has_is_reported() -> None:
    found = compare(record(a=[1.0], b=[1.0]), record(cpu="b", a=[1.0], c=[1.0]))
    assert (found.environment, found.only_before, found.only_after) == (("cpu: a -> b",), ("b",), ("c",))


@pytest.mark.parametrize(("other", "told"), [
    (record(kind="eval", a=[1.0]), "cannot be compared"), (record(), "holds no samples"),
    (record(z=[1.0]), "in common")])
def test_records_that_have_nothing_to_compare_are_refused(other: Record, told: str) -> None:
    with pytest.raises(OptionError, match=told):
        compare(record(a=[1.0]), other)


def test_the_command_prints_ratios_with_their_spread(tmp_path: Path) -> None:
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    for path, median_ms in zip(paths, (10.0, 20.0), strict=True):
        record(a=noisy(median_ms, seed=1)).save(path)
    ended = CliRunner().invoke(main, ["compare", *map(str, paths)])
    assert ended.stdout.startswith("a  time x 2.000 (")
    assert "2.00 times as slow" in ended.stdout
    (change,) = json.loads(CliRunner().invoke(main, ["compare", *map(str, paths), "--json"]).stdout)["changes"]
    assert change["is_real"]


def test_records_of_different_tasks_are_not_compared() -> None:
    large = record(a=[1.0])
    with pytest.raises(OptionError, match=r"differ in size: None and \[48, 64\]"):
        compare(large, Record(kind=large.kind, title="", environment=ENVIRONMENT,
                              results={**large.results, "size": [48, 64]}))


@pytest.mark.parametrize("contestants", [[], {"a": {"samples_ms": ["fast"]}}, {"a": 3}])
def test_a_record_that_makes_no_sense_is_reported(contestants: object) -> None:
    broken = Record(kind="bench-steady", title="", environment=ENVIRONMENT, results={"contestants": contestants})
    with pytest.raises(OptionError, match="holds no samples"):
        compare(broken, broken)
