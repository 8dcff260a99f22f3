"""Images side by side on the project's own page: drawn, enlarged by the shipped models, and shown with their PSNR."""

from __future__ import annotations

import html
import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks import compared_pictures
from benchmarks.compared_pictures import FOLDER, KIND, SCALE, originals, rows
from benchmarks.inputs import BENCHMARKS, RECORDS
from benchmarks.report_page import PAGE
from srn_deploy.benchmark.records import Record
from srn_deploy.image import read_image
from srn_deploy.image.bicubic import resize_uint8
from srn_deploy.registry.shipped import default_model, shipped_models
from srn_deploy.report.pictures import compare_pictures

MOST_BYTES = 1_500_000
"""Of all these images: they are part of every checkout."""


@pytest.fixture(scope="module")
def record() -> Record:
    return Record.load(RECORDS / f"{KIND}.json")


def test_the_figures_of_the_record_are_those_of_the_images(record: Record) -> None:
    measured = [row for found in compare_pictures(FOLDER) for row in rows(found)]
    assert [(row["image"], row["candidate"]) for row in measured] == [
        (row["image"], row["candidate"]) for row in record.results["rows"]]
    for name in ("psnr_y_db", "part_psnr_y_db"):
        # Means of float64 in another order differ in their last digits.
        assert [row[name] for row in measured] == pytest.approx([row[name] for row in record.results["rows"]], abs=1e-6)


def test_every_shipped_model_of_the_scale_stands_between_bicubic_and_the_original(record: Record) -> None:
    models = [model.name for model in shipped_models().values() if model.scale == SCALE]
    assert sorted(record.results["sha256"]) == sorted(models)
    for found in compare_pictures(FOLDER):
        assert [crop.candidate for crop in found.crops] == ["bicubic", *sorted(models), "original"]


@pytest.mark.parametrize("name", originals())
def test_the_originals_are_drawn_here_and_the_small_ones_made_of_them(name: str) -> None:
    shipped, drawn = read_image(FOLDER / "original" / f"{name}.png").as_rgb8(), originals()[name]
    # As in tests/test_pictures.py: lettering and rounding of another OpenCV.
    assert (np.abs(shipped.astype(int) - drawn).max(axis=2) > 1).mean() < 0.04
    small = read_image(FOLDER / "input" / f"{name}.png").as_rgb8()
    made = resize_uint8(shipped, shipped.shape[0] // SCALE, shipped.shape[1] // SCALE)
    assert np.abs(made.astype(int) - small).max() <= 1  # a value close to a half, rounded


def test_the_page_shows_all_candidates_of_every_image_with_their_psnr(record: Record) -> None:
    page = html.unescape((BENCHMARKS / PAGE).read_text(encoding="utf-8"))
    candidates = re.findall(r'<figure data-candidate="([^"]+)">', page)
    assert candidates == [crop.candidate for found in compare_pictures(FOLDER) for crop in found.crops]
    for row in record.results["rows"]:
        assert f"{row['psnr_y_db']:.2f} dB, part {row['part_psnr_y_db']:.2f} dB" in page


def test_the_script_draws_enlarges_and_records(tmp_path: Path) -> None:
    model = default_model()
    compared_pictures.main(["--models", model, "--folder", str(tmp_path / "images"), "--records", str(tmp_path)])
    made = Record.load(tmp_path / f"{KIND}.json")
    assert [*made.results["sha256"]] == [model]
    head, *body = compared_pictures.compared_tables(made.results)[1].splitlines()
    assert "house.png, image / part" in head
    assert [row.split("|")[1].strip() for row in body[1:]] == ["bicubic", model]
    for name in originals():
        assert read_image(tmp_path / "images" / model / f"{name}.png").as_rgb8().shape == originals()[name].shape


def test_the_images_stay_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.rglob("*.png")) < MOST_BYTES
