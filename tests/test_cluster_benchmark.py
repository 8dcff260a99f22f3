"""The page of the benchmark of Ray, and what it counts; nothing here is a time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from benchmarks.cluster import rate_of
from benchmarks.render import rendered
from srn_deploy.benchmark.records import Record
from tests.environments import ENVIRONMENT


def record(**changes: Any) -> Record:
    results = {"model": "a", "sha256": "5" * 64, "threads": 2, "side_px": 192, "ray": "2.60.0", "pictures": 96,
               "pairs": 3, "rates": {"alone": [10.0, 11.0, 12.0], "on_ray": [9.5, 10.5, 11.5]},
               "until_first_s": {"alone": [1.0] * 3, "on_ray": [5.0] * 3}, "shares": [0.95] * 3, **changes}
    return Record(kind="cluster", title="t", environment=ENVIRONMENT, results=results)


@pytest.mark.parametrize(("share", "met"), [(0.95, "yes"), (0.949, "no")])
def test_the_page_says_whether_the_share_is_reached(share: float, met: str) -> None:
    page = rendered([record(shares=[share] * 3)])
    assert f"| {100 * share:.1f} % ({100 * share:.1f} … {100 * share:.1f}) | at least 95 % | {met} |" in page


def test_the_page_has_the_time_until_the_first_result_beside() -> None:
    page = rendered([record()])
    assert "| a single process | 11.00 | 1.0 |" in page
    assert "| one worker on Ray | 10.50 | 5.0 |" in page


def test_pictures_are_counted_from_the_first_result_to_the_last(tmp_path: Path) -> None:
    for number, time_s in enumerate((5.0, 6.0, 9.0)):
        (tmp_path / f"{number}.png").touch()
        os.utime(tmp_path / f"{number}.png", (time_s, time_s))
    assert rate_of(tmp_path) == (0.5, 5.0)
