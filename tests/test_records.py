"""Records: numbers that keep their environment, and say when they deserve less trust."""

from __future__ import annotations

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.inputs import RECORDS
from srn_deploy.benchmark.environment import current_environment
from srn_deploy.benchmark.records import Record
from srn_deploy.benchmark.results import EvaluationResults, PaperResults, SteadyResults
from srn_deploy.benchmark.summary import doubts, paired_ratios, summarise
from srn_deploy.benchmark.tables import markdown_table
from srn_deploy.errors import OptionError
from srn_deploy.system.documents import to_builtins
from tests.environments import ENVIRONMENT

RESULTS = {"bench-paper": PaperResults, "bench-steady": SteadyResults, "eval": EvaluationResults}
"""What the package reads of each kind."""

RECORD = Record(kind="stones", title="Stones per bag", environment=ENVIRONMENT,
                results={"mass_kg": [1.5, 2.0], "lost": None})


def test_a_record_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    RECORD.save(tmp_path / "new" / "stones.json")
    assert Record.load(tmp_path / "new" / "stones.json") == RECORD


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, Path()])
def test_what_json_lacks_is_refused_and_leaves_no_file(tmp_path: Path, value: Any) -> None:
    with pytest.raises(OptionError, match="cannot be kept"):
        Record(kind="k", title="t", environment=ENVIRONMENT, results={"value": value}).save(tmp_path / "record.json")
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_cannot_be_written_is_our_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OptionError, match="cannot be written"):
        RECORD.save(tmp_path / "file" / "record.json")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format_version": 1}', '{"format_version": 1, "kind": "k"}', "\0"])
def test_a_file_that_is_not_a_record_is_our_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "record.json").write_text(text)
    with pytest.raises(OptionError, match="is not a record"):
        Record.load(tmp_path / "record.json")


def test_a_missing_record_is_our_error(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="cannot be read"):
        Record.load(tmp_path / "record.json")


def test_a_record_of_another_version_is_refused(tmp_path: Path) -> None:
    RECORD.save(tmp_path / "record.json")
    data = json.loads((tmp_path / "record.json").read_text()) | {"format_version": 999}
    (tmp_path / "record.json").write_text(json.dumps(data))
    with pytest.raises(OptionError, match="format version 999"):
        Record.load(tmp_path / "record.json")


def test_a_summary_holds_median_quartiles_and_extremes() -> None:
    summary = summarise([5.0, 1.0, 2.0, 4.0, 3.0])
    assert (summary.minimum, summary.lower_quartile, summary.median, summary.upper_quartile, summary.maximum) == \
        (1.0, 2.0, 3.0, 4.0, 5.0)
    assert summary.samples == 5
    assert summary.spread == pytest.approx(2 / 3)


@given(st.lists(st.floats(0.001, 1000), min_size=1, max_size=20))
def test_a_median_lies_between_quartiles_between_extremes(samples: list[float]) -> None:
    summary = summarise(samples)
    ordered = [summary.minimum, summary.lower_quartile, summary.median, summary.upper_quartile, summary.maximum]
    # Interpolation between equal samples may be off by a rounding.
    assert all(lower <= upper * (1 + 1e-12) for lower, upper in pairwise(ordered))


def test_a_single_sample_is_its_own_summary() -> None:
    summary = summarise([7.0])
    assert (summary.median, summary.minimum, summary.maximum, summary.spread, summary.samples) == (7, 7, 7, 0, 1)


def test_no_sample_has_no_summary() -> None:
    with pytest.raises(OptionError, match="no sample"):
        summarise([])


def test_ratios_are_taken_pair_by_pair_so_that_a_drift_cancels() -> None:
    slow, fast = [30.0, 60.0, 90.0], [10.0, 20.0, 30.0]  # the machine becomes three times slower on the way
    assert paired_ratios(slow, fast) == [3.0, 3.0, 3.0]


def test_series_of_unequal_length_make_no_pairs() -> None:
    with pytest.raises(OptionError, match="pairs"):
        paired_ratios([1.0, 2.0], [1.0])


def test_a_wide_spread_is_doubted_with_what_to_do() -> None:
    (told,) = doubts({"steady": [1.0, 1.01, 1.02, 1.03, 1.04], "noisy": [1.0, 1.0, 1.2, 1.4, 1.4]})
    assert told.startswith("noisy: the quartiles lie 33% of the median apart; end other programs")


def test_few_samples_are_doubted() -> None:
    (told,) = doubts({"hasty": [1.0, 1.0]})
    assert told.startswith("hasty: only 2 of the 5 samples")


def test_an_environment_says_what_matters() -> None:
    environment = current_environment(threads=3)
    assert environment.threads == 3
    assert environment.cpu
    assert set(environment.versions) >= {"srn-deploy", "numpy", "onnxruntime", "opencv"}


def test_an_environment_holds_nothing_else_and_no_path_of_this_machine() -> None:
    fields = to_builtins(current_environment(threads=1))
    # A host name, a user or a path would need a field: these are all there are.
    assert set(fields) == {"date", "cpu", "logical_cores", "threads", "memory_gib", "load_1min", "gpu", "system",
                           "python", "versions"}
    assert str(Path.cwd()) not in json.dumps(fields)
    assert sys.prefix not in json.dumps(fields)


@pytest.mark.parametrize("path", sorted(RECORDS.glob("*.json")), ids=lambda path: path.stem)
def test_every_published_record_opens_and_is_written_as_it_was(path: Path, tmp_path: Path) -> None:
    record = Record.load(path)
    record.save(tmp_path / path.name)
    first, second = (json.loads(one.read_text(encoding="utf-8")) for one in (path, tmp_path / path.name))
    assert first == second
    if record.kind in RESULTS:
        assert record.results_as(RESULTS[record.kind])  # type: ignore[arg-type]  # the classes are of many kinds


def test_the_published_records_hold_kinds_that_the_package_reads() -> None:
    assert {Record.load(path).kind for path in RECORDS.glob("*.json")} >= {"bench-paper", "eval"}


def test_a_table_is_markdown_and_bars_in_cells_stay_in_their_cell() -> None:
    assert markdown_table([("a", "b"), ("1", "x|y")]) == "| a | b |\n|---|---|\n| 1 | x\\|y |"


@pytest.mark.parametrize("rows", [[], [("a", "b"), ("1",)]])
def test_a_table_with_ragged_rows_is_refused(rows: list[tuple[str, ...]]) -> None:
    with pytest.raises(OptionError, match="table"):
        markdown_table(rows)


def test_records_need_no_library() -> None:
    script = "import sys, srn_deploy.benchmark.records; print('\\n'.join(sys.modules))"
    listing = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert {"numpy", "torch", "cv2", "onnxruntime"}.isdisjoint(listing)
