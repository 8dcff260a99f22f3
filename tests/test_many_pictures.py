"""The study of memory over many pictures: what it runs, what its page says, and that the recorded runs are flat."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks import many_pictures
from benchmarks.inputs import RECORDS
from benchmarks.many_pictures import COUNTS, KIND, MOST_GROWTH, growths, many_picture_tables
from benchmarks.render import load_records, of_kind, section
from srn_deploy.benchmark.records import Record
from tests.environments import ENVIRONMENT


def test_every_picture_is_written_one_by_one_and_several_at_once(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("many")
    many_pictures.main(["--counts", "9", "5", "--repeats", "1", "--threads", "1", "--records", str(folder)])
    rows = Record.load(folder / f"{KIND}.json").results["rows"]
    assert [(row["at_once"], row["pictures"]) for row in rows] == [(1, 5), (1, 9), (4, 5), (4, 9)]
    assert [run["written"] for row in rows for run in row["runs"]] == [5, 9, 5, 9]
    assert all(run["peak_bytes"] > 0 for row in rows for run in row["runs"])


def row(at_once: int, pictures: int, *peaks: int) -> dict[str, Any]:
    return {"at_once": at_once, "pictures": pictures,
            "runs": [{"peak_bytes": peak * 2**20, "seconds": 2.0} for peak in peaks]}


@pytest.mark.parametrize(("peak", "growth", "met"), [(105, "+5.0 %", "yes"), (106, "+6.0 %", "no"),
                                                     (90, "-10.0 %", "yes")])
def test_the_page_says_how_much_the_peak_grows_and_whether_that_is_flat(peak: int, growth: str, met: str) -> None:
    results = {"sides_px": (96,), "most_growth": MOST_GROWTH,
               "rows": [row(1, 300, 90, 100, 110), row(1, 3000, 1, peak, 500), row(4, 300, 50)]}
    page = "\n".join(section([Record(kind=KIND, title="t", environment=ENVIRONMENT, results=results)],
                             many_picture_tables))
    assert "| 1 | 300 | 100 (90 … 110) | 2 | – | – |" in page
    assert f"| 1 | 3,000 | {peak} (1 … 500) | 2 | {growth} | {met} |" in page
    assert "| 4 | 300 | 50 (50 … 50) | 2 | – | – |" in page


def test_the_recorded_peak_does_not_grow_from_300_to_3000_pictures() -> None:
    (record,) = of_kind(load_records(RECORDS), KIND)
    assert {each["pictures"] for each in record.results["rows"]} == set(COUNTS)
    assert all(run["written"] == each["pictures"] for each in record.results["rows"] for run in each["runs"])
    assert max(growth for growth in growths(record.results) if growth is not None) <= MOST_GROWTH
