"""docs/tiling.md says what its record says, and its pictures are of that record."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks.explain_tiling import (
    PICTURES,
    RECORD,
    cost_table,
    difference_table,
    matrix_shares,
    sentences,
    shifts_px,
    wanted_cell,
)
from benchmarks.plots import is_stale
from benchmarks.render import outdated
from srn_deploy.architectures.checkpoint import load_checkpoint
from srn_deploy.benchmark.records import Record
from srn_deploy.grid import ESA_GRID
from srn_deploy.image import read_image
from srn_deploy.registry.resolve import ModelKind, resolve
from srn_deploy.registry.shipped import default_model
from srn_deploy.tiling.interpolation import window_matrix

STALE = "run `python -m benchmarks.explain_tiling`, and take its figures over"

DRAWINGS = ("tiling-cells.png", "tiling-shift.png", "tiling-difference.png")


@pytest.fixture(scope="module")
def record() -> Record:
    return Record.load(RECORD)


@pytest.fixture(scope="module")
def page(repository: Path) -> str:
    """The document with every run of white space as one space."""
    return " ".join((repository / "docs/tiling.md").read_text(encoding="utf-8").split())


def test_every_sentence_with_a_figure_stands_in_the_document(record: Record, page: str) -> None:
    assert [sentence for sentence in sentences(record) if sentence not in page] == [], STALE


@pytest.mark.parametrize("table", [difference_table, cost_table])
def test_every_table_stands_in_the_document(record: Record, page: str, table: object) -> None:
    assert callable(table)
    assert " ".join(table(record).split()) in page, STALE


def test_the_image_is_described_with_the_records_worst_value(record: Record, page: str) -> None:
    assert f"Naive: up to {record.results['naive']['worst_levels']:.0f} levels" in page, STALE


@pytest.mark.parametrize("drawing", DRAWINGS)
def test_a_drawing_is_of_this_record_and_small(record: Record, drawing: str) -> None:
    assert not is_stale(PICTURES / drawing, [record]), STALE
    assert (PICTURES / drawing).stat().st_size < 150_000
    assert read_image(PICTURES / drawing).width == 1200


def test_the_record_is_of_the_default_model_as_it_is_shipped(record: Record) -> None:
    assert record.results["model"] == default_model()
    assert outdated(record.results) == []


def test_exact_tiles_are_within_one_level_and_naive_ones_are_not(record: Record) -> None:
    assert record.results["global"]["worst_levels"] <= 1 < record.results["naive"]["worst_levels"]


def test_what_is_counted_is_counted_alike_today(record: Record) -> None:
    loaded = load_checkpoint(resolve(default_model(), wanted=ModelKind.CHECKPOINT).path)
    assert json.loads(json.dumps(matrix_shares(loaded))) == record.results["matrix_shares"]
    shifts = [abs(shift) for side in (record.results["height_px"], record.results["width_px"])
              for _, found in shifts_px(side, loaded.spec) for shift in found]
    assert max(shifts) == pytest.approx(record.results["largest_shift_px"])


@pytest.mark.parametrize(("side", "row"), [(160, 0), (160, 77), (160, 159), (640, 333)])
def test_the_place_that_a_row_wants_is_where_its_weights_lie(side: int, row: int) -> None:
    weights = window_matrix(ESA_GRID, side, 0, side)[row]
    assert float(weights @ np.arange(ESA_GRID.cells(side))) == pytest.approx(wanted_cell(row, side), abs=1e-4)


def test_the_number_of_cells_is_as_the_document_says(page: str) -> None:
    formula = re.search(r"A side of n pixels has (.+?) cells", page)
    assert formula is not None
    for side in (15, 16, 20, 21, 160, 339, 510):
        assert eval(formula[1].replace("−", "-"), {"n": side}) == ESA_GRID.cells(side)
