"""The study of huge pictures: what it draws, what it records, and that the recorded runs keep the promise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import huge_pictures
from benchmarks.huge_pictures import KIND, MOST_BYTES, MOST_GROWTH, huge_picture_tables, scale_of
from benchmarks.inputs import RECORDS
from benchmarks.render import load_records, of_kind, section
from srn_deploy.benchmark.records import Record
from srn_deploy.image import read_image


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Record:
    """The study on pictures that are not huge."""
    folder = tmp_path_factory.mktemp("huge")
    huge_pictures.main(["--sides", "60", "40", "--threads", "1", "--records", str(folder)])
    return Record.load(folder / f"{KIND}.json")


def test_every_run_is_recorded_with_its_figures(study: Record) -> None:
    runs = study.results["runs"]
    assert [(run["side_px"], run["backend"], run["suffix"], run["scale"]) for run in runs] == [
        (side, *run) for side in (40, 60)
        for run in (("costless", ".png", 4), ("costless", ".tif", 4), ("costless", ".png", 1.5),
                    ("costless", ".tif", 1.5), ("default", ".png", 4))]
    assert all(run["target_bytes"] > other["target_bytes"] for run, other in zip(runs, runs[2:], strict=False)
               if (run["scale"], other["scale"]) == (4, 1.5))
    assert all(min(run[figure] for figure in ("seconds", "peak_bytes", "source_bytes", "target_bytes")) > 0
               for run in runs)


def test_the_requirements_are_judged_on_pictures_of_their_size_alone(study: Record) -> None:
    page = "\n".join(section([study], huge_picture_tables))
    assert "60 × 60 px" in page
    assert "required" not in page


def test_a_picture_is_drawn_in_bands_without_a_seam(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = []
    for rows in (37, 10_000):
        monkeypatch.setattr(huge_pictures, "ROWS", rows)
        huge_pictures.draw(path := tmp_path / f"{rows}.tif", 801)
        pictures.append(read_image(path).pixels)
    np.testing.assert_array_equal(pictures[0], pictures[1])
    assert pictures[0].shape == (801, 801, 3)


def test_the_recorded_runs_stay_within_the_memory_that_is_promised() -> None:
    (record,) = of_kind(load_records(RECORDS), KIND)
    peaks: dict[tuple[str, str, float], dict[int, int]] = {}
    for run in record.results["runs"]:
        peaks.setdefault((run["backend"], run["suffix"], scale_of(run)), {})[run["side_px"]] = run["peak_bytes"]
    assert {("costless", ".png", 4), ("costless", ".tif", 4), ("default", ".png", 4)} <= peaks.keys()
    for by_side in peaks.values():
        assert max(by_side.values()) <= MOST_BYTES
        assert max(by_side.values()) - min(by_side.values()) <= MOST_GROWTH * max(by_side.values())
