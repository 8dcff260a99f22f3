"""The benchmark of the server, reduced: what it measures is what it says."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from benchmarks.service_page import service_tables
from srn_deploy.benchmark.records import Record
from srn_deploy.image import Image, write_image
from tests.triton_server import needs_server


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Record:
    """Two small pictures of each size, one round."""
    needs_server()
    from benchmarks import service

    folder = tmp_path_factory.mktemp("service")
    write_image(folder / "in.png", Image(pixels=np.zeros((40, 50, 3), np.uint8)))
    service.main(["--picture", str(folder / "in.png"), "--pictures", "2", "--small", "2", "--rounds", "1", "--single",
                  "1", "--threads", "1", "--records", str(folder)])
    return Record.load(folder / "service.json")


def test_all_ways_are_timed_as_often(record: Record) -> None:
    for rows, ways in ((record.results["folders"], ("here", "there", "queued")),
                       (record.results["singles"], ("here", "there"))):
        for row in rows:
            assert [len(row[f"{way}_s"]) for way in ways] == [1] * len(ways)
            assert min(row[f"{way}_s"][0] for way in ways) > 0
    assert service_tables(record.results)


def test_the_time_of_the_server_and_its_model_on_processors_counts(record: Record) -> None:
    (row, _) = record.results["folders"]
    assert row["there_cpu_s"][0] > 0
    assert row["here_cpu_s"][0] > 0


def test_the_first_round_is_not_counted_and_the_order_changes() -> None:
    from benchmarks.service import _in_turn

    order: list[str] = []
    clock = itertools.count(0, 5)
    ways = {"here": lambda: order.append("here"), "there": lambda: order.append("there")}
    found = _in_turn(ways, 2, lambda: float(next(clock)))
    assert {name: len(times) for name, times in found.items()} == {
        "here_s": 2, "there_s": 2, "here_cpu_s": 2, "there_cpu_s": 2}
    assert found["here_cpu_s"] == found["there_cpu_s"] == [5.0, 5.0]
    assert order == ["there", "here", "here", "there", "there", "here"]


def test_the_share_is_that_of_the_local_speed() -> None:
    row = {"height_px": 8, "width_px": 9, "pictures": 10, "here_s": [1.0], "there_s": [1.25], "queued_s": [2.0],
           "here_cpu_s": [1.9], "there_cpu_s": [2.1]}
    results = {"model": "m", "device": "cpu", "threads": 2, "in_flight": 8, "rounds": 1, "queue": 64, "folders": [row],
               "singles": [row]}
    _, folders, _, singles = service_tables(results)
    assert folders.splitlines()[-1].endswith("| 8.00 (8.00 … 8.00) | 0.80 (0.80 … 0.80) | 0.50 (0.50 … 0.50) | "
                                             "190 (190 … 190) | 210 (210 … 210) |")
    assert singles.splitlines()[-1] == (
        "| 9 × 8 | 1000.0 (1000.0 … 1000.0) | 1250.0 (1250.0 … 1250.0) | 0.80 (0.80 … 0.80) |")
