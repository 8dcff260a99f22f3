"""The benchmark of the server, reduced: what it measures is what it says."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.service_page import service_tables
from srn_deploy.benchmark.records import Record
from srn_deploy.image import Image, write_image
from tests.triton_server import needs_server


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Record:
    """Two small pictures of each size, one pair."""
    needs_server()
    from benchmarks import service

    folder = tmp_path_factory.mktemp("service")
    write_image(folder / "in.png", Image(pixels=np.zeros((40, 50, 3), np.uint8)))
    service.main(["--picture", str(folder / "in.png"), "--pictures", "2", "--small", "2", "--pairs", "1", "--single",
                  "1", "--threads", "1", "--records", str(folder)])
    return Record.load(folder / "service.json")


def test_both_ways_are_timed_as_often(record: Record) -> None:
    for row in (*record.results["folders"], *record.results["singles"]):
        assert len(row["here_s"]) == len(row["there_s"]) == 1
        assert min(*row["here_s"], *row["there_s"]) > 0


def test_the_first_pair_is_not_counted_and_the_order_changes() -> None:
    from benchmarks.service import _in_turn

    order: list[str] = []
    found = _in_turn(2, lambda: order.append("here"), lambda: order.append("there"))
    assert {name: len(times) for name, times in found.items()} == {"here_s": 2, "there_s": 2}
    assert order == ["there", "here", "here", "there", "there", "here"]


def test_the_share_is_that_of_the_local_speed() -> None:
    row = {"height_px": 8, "width_px": 9, "pictures": 10, "here_s": [1.0], "there_s": [1.25]}
    results = {"model": "m", "device": "cpu", "threads": 2, "in_flight": 8, "pairs": 1, "folders": [row],
               "singles": [row]}
    _, folders, _, singles = service_tables(results)
    assert folders.splitlines()[-1].endswith("| 8.00 (8.00 … 8.00) | 0.80 (0.80 … 0.80) |")
    assert singles.splitlines()[-1] == (
        "| 9 × 8 | 1000.0 (1000.0 … 1000.0) | 1250.0 (1250.0 … 1250.0) | 0.80 (0.80 … 0.80) |")
