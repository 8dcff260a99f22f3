"""`srn-deploy eval`: the published figures come out, pairs are found, and what does not fit is an error."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from srn_deploy.cli import main
from srn_deploy.errors import OptionError, UnreadableImage
from srn_deploy.image import Image, read_image, write_image
from srn_deploy.image.bicubic import resize_uint8
from srn_deploy.image.pairing import FilePair
from srn_deploy.quality.evaluate import Measured, evaluate_pairs
from srn_deploy.quality.metrics import cropped, psnr, psnr_y, ssim_y
from srn_deploy.quality.pairs import find_pairs, image_targets
from srn_deploy.spec import PixelType
from srn_deploy.verification.sample_images import originals
from tests.fakes import NEAREST, NearestBackend


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two drawn originals, and their small images named as in DIV2K."""
    for number, original in zip(range(2), originals(), strict=False):
        hr = original[:2 * (original.shape[0] // 2), :2 * (original.shape[1] // 2)]
        write_image(tmp_path / f"HR/{number:04}.png", Image(pixels=hr))
        lr = resize_uint8(hr, hr.shape[0] // 2, hr.shape[1] // 2)
        write_image(tmp_path / f"LR/{number:04}x2.png", Image(pixels=lr))
    return tmp_path


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["eval", *map(str, arguments)])


def test_scores_are_those_of_the_metrics_on_the_upscaled_image(folder: Path) -> None:
    (pair, _) = find_pairs(folder / "HR", folder / "LR", 2)
    hr, lr = read_image(pair.hr).as_rgb8(), read_image(folder / "LR/0000x2.png").as_rgb8()
    sr = lr.repeat(2, axis=0).repeat(2, axis=1)
    for measured, decibels in ((Measured.Y, psnr_y(sr, hr, border_px=2)),
                               (Measured.RGB, psnr(cropped(sr, 2), cropped(hr, 2)))):
        (score,) = evaluate_pairs(NearestBackend(), [pair], measured).scores
        assert score.psnr_db == pytest.approx(decibels)
        assert measured is Measured.RGB or score.ssim == pytest.approx(ssim_y(sr, hr, border_px=2))


def test_small_images_that_are_not_given_are_made_from_the_originals(folder: Path) -> None:
    given, made = (evaluate_pairs(NearestBackend(), find_pairs(folder / "HR", lr, 2)) for lr in (folder / "LR", None))
    assert given.scores == made.scores


def test_a_image_that_comes_out_perfect_has_no_psnr_and_leaves_the_mean_without(tmp_path: Path) -> None:
    flat = Image(pixels=np.full((40, 40, 3), 90, np.uint8))
    write_image(tmp_path / "flat.png", flat)
    evaluation = evaluate_pairs(NearestBackend(), find_pairs(tmp_path, None, 2))
    assert evaluation.psnr_db is None
    assert evaluation.ssim == pytest.approx(1)


def test_an_original_without_its_small_image_is_named(folder: Path) -> None:
    (folder / "LR/0001x2.png").unlink()
    with pytest.raises(OptionError, match=r"0001\.png has no small image") as caught:
        find_pairs(folder / "HR", folder / "LR", 2)
    assert "0001x2" in caught.value.remedy


def test_small_images_of_another_scale_are_an_error(folder: Path) -> None:
    pair = FilePair(name="0000.png", hr=folder / "HR/0000.png", lr=folder / "HR/0001.png")
    with pytest.raises(OptionError, match=r"a x2 of 0000\.png is"):
        evaluate_pairs(NearestBackend(), [pair])


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match="contains no image"):
        find_pairs(tmp_path, None, 2)


def test_a_float_artefact_is_measured_on_8_bits(folder: Path) -> None:
    from dataclasses import replace

    backend = NearestBackend(spec=replace(NEAREST, pixel_type=PixelType.FLOAT32))
    assert evaluate_pairs(backend, find_pairs(folder / "HR", folder / "LR", 2)).scores == evaluate_pairs(
        NearestBackend(), find_pairs(folder / "HR", folder / "LR", 2)).scores


def test_the_command_prints_a_table_keeps_csv_images_and_json(folder: Path, repository: Path) -> None:
    model = repository / "models/srn-s-b6-x2.onnx"
    arguments = (model, "--hr", folder / "HR", "--lr", folder / "LR", "--device", "cpu")
    ended = run(*arguments, "--csv", folder / "scores.csv", "--save-images", folder / "out")
    assert ended.exit_code == 0, ended.output
    lines = ended.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["0000.png", "0001.png", "mean"]
    rows = list(csv.reader((folder / "scores.csv").read_text(encoding="utf-8").splitlines()))
    assert [row[0] for row in rows] == ["picture", "0000.png", "0001.png", "mean"]
    assert f"{float(rows[-1][1]):.4f}" == lines[-1].split()[1]
    assert read_image(folder / "out/0000.png").height == read_image(folder / "HR/0000.png").height
    record = json.loads(run(*arguments, "--json").stdout)
    assert record["results"]["psnr_db"] == pytest.approx(float(rows[-1][1]))
    assert record["kind"] == "eval"


def test_what_was_exported_is_not_corrected(folder: Path, repository: Path) -> None:
    ended = run(repository / "models/srn-s-b6-x2.onnx", "--hr", folder / "HR", "--set", "blocks=4")
    assert (ended.exit_code, "cannot be corrected" in ended.stderr) == (1, True)


@pytest.mark.parametrize("name", ["Set5", "Set14"])
def test_the_published_figures_of_the_official_checkpoint_come_out(data: Path, name: str) -> None:
    mean = json.loads((data / "reference/reference_numbers.json").read_text())["models"]["srn_team25_x4"][name]["mean"]
    checkpoint = data / "checkpoints/wnxbwyc__SRN/team25_srn.pt"
    folder = data / f"images/{name}/x4"
    record = json.loads(run(checkpoint, "--hr", folder / "HR", "--lr", folder / "LR", "--json").stdout)
    assert record["results"]["psnr_db"] == pytest.approx(mean["psnr_y"], abs=0.01)
    assert record["results"]["ssim"] == pytest.approx(mean["ssim_y"], abs=2e-4)


def test_images_are_not_kept_over_originals_or_each_other(folder: Path, repository: Path) -> None:
    before = (folder / "HR/0000.png").read_bytes()
    ended = run(repository / "models/srn-s-b6-x2.onnx", "--hr", folder / "HR", "--save-images", folder / "HR")
    assert (ended.exit_code, "one of the images that are measured" in ended.stderr) == (1, True)
    assert (folder / "HR/0000.png").read_bytes() == before
    (folder / "HR/0000.jpg").write_bytes(before)
    with pytest.raises(OptionError, match="would have the same name"):
        image_targets(find_pairs(folder / "HR", None, 2), folder / "out")


def test_an_original_that_is_too_small_is_named(tmp_path: Path) -> None:
    write_image(tmp_path / "dot.png", Image(pixels=np.zeros((1, 1, 3), np.uint8)))
    with pytest.raises(OptionError, match=r"dot\.png is too small"):
        evaluate_pairs(NearestBackend(), find_pairs(tmp_path, None, 2))
