"""The studies of training: the ablation and the damaged pictures, from a tiny run to their pages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from benchmarks import ablation, draw_graphics, photo_study, scores
from benchmarks.ablation_page import CLAIMS, NOT_RESOLVED, answer, differences, rendered_ablation
from benchmarks.hard_pictures import SIDE_PX, hard_pictures
from benchmarks.inputs import BENCHMARKS, RECORDS
from benchmarks.publish_model import Ancestor, checked_recipes, merged_log
from benchmarks.render import load_records, of_kind, rendered
from srn_deploy.architectures import ARCHITECTURES
from srn_deploy.architectures.checkpoint import save_checkpoint
from srn_deploy.benchmark.records import Record
from srn_deploy.errors import OptionError, UnreadableImage
from srn_deploy.image import Image, read_image, write_image
from srn_deploy.image.bicubic import resize_uint8
from srn_deploy.quality.pairs import find_pairs, read_pairs
from srn_deploy.registry.shipped import default_model, shipped_models
from srn_deploy.system.hashing import sha256_of_file
from srn_deploy.training.recipe import load_recipe

PAPER_TABLES = {
    # Set5 and Set14 of Tables 2, 3 and 4: the rows that the claims compare, before and after.
    "Does the last convolution help?": ((31.9039, 28.4196), (31.9730, 28.4622)),
    "Does the old ESA help?": ((31.6948, 28.3187), (31.8563, 28.3996)),
    "Does the new ESA help?": ((31.6948, 28.3187), (31.8333, 28.3769)),
    "What does the new ESA cost compared with the old one?": ((31.8563, 28.3996), (31.8333, 28.3769)),
    "Does it help to take the residuals away?": ((31.8333, 28.3769), (31.9039, 28.4196)),
    "Does the compact teacher help?": ((31.8728, 28.3795), (31.8937, 28.4159)),
    "Does a strong teacher help?": ((31.8728, 28.3795), (31.8937, 28.4159)),
}


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Tiny networks are fastest with one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def small_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of two pairs: HR/ and LR/ under a name and a scale."""
    folder = tmp_path_factory.mktemp("data") / "Tiny" / "x4"
    picture = read_image(BENCHMARKS / "pictures/demo_hr.png").as_rgb8()
    for number in range(2):
        hr = picture[100 * number:100 * number + 96, 200:320]
        write_image(folder / f"HR/{number}.png", Image(pixels=np.ascontiguousarray(hr)))
        write_image(folder / f"LR/{number}.png", Image(pixels=resize_uint8(hr, 24, 30)))
    return folder


@pytest.fixture(scope="module")
def tried(small_set: Path, tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Record:
    """The whole ablation of tiny networks, two seeds, three steps."""
    folder = tmp_path_factory.mktemp("ablation")
    options = {"scale": 4, "channels": 8, "blocks": 1, "mean_shift": False}
    save_checkpoint(folder / "teacher.safetensors", ARCHITECTURES["edsr"].build(options), architecture="edsr",
                    options=options, value_range=1.0)
    tiny = replace(load_recipe(ablation.RECIPE), options={"scale": 4, "blocks": 1, "channels": 8, "esa_channels": 4},
                   hr_patch_px=60, batch=4, stress_fraction=0.25)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ablation, "load_recipe", lambda name: tiny)
        teacher = str(folder / "teacher.safetensors")
        ablation.main(["--data", str(small_set / "HR"), "--teacher", teacher, "--strong-teacher", teacher,
                       "--steps", "3", "--sets", str(small_set), "--runs", str(folder / "runs"),
                       "--records", str(folder)])
    return Record.load(folder / "ablation.json")


def test_the_ablation_trains_every_row_with_every_seed_and_tells_them_apart(tried: Record) -> None:
    rows = tried.results["rows"]
    assert [(row["row"], row["seed"]) for row in rows] == [(name, seed) for name in ablation.ROWS for seed in (0, 1)]
    # Both teachers are the same file here; all other rows end elsewhere.
    assert len({row["psnr_y_db"]["Tiny"] for row in rows}) == len(rows) - 2
    assert all(row["smallest_level"] < row["largest_level"] for row in rows)


def test_the_rows_of_the_ablation_differ_in_nothing_but_what_they_say() -> None:
    recipes = {name: ablation.row_recipe(row, seed=3) for name, row in ablation.ROWS.items()}
    base = recipes["SRN-S, taught"]
    assert recipes["SRN-S"] == replace(base, teacher="")
    assert recipes["SRN-S, photographs only"] == replace(base, teacher="", stress_fraction=0.0)
    assert recipes["SRN"] == replace(base, teacher="", options={**base.options, "last_conv": True})
    assert {recipe.seed for recipe in recipes.values()} == {3}


@pytest.mark.parametrize("claim", [claim for claim in CLAIMS if claim.paper_db], ids=lambda claim: claim.question)
def test_the_paper_s_differences_are_those_of_its_tables(claim: Any) -> None:
    before, after = PAPER_TABLES[claim.question]
    for name, first, second in zip(("Set5", "Set14"), before, after, strict=True):
        assert claim.paper_db[name] == pytest.approx(second - first, abs=1e-6)


def test_a_run_of_another_length_or_another_teacher_is_not_taken_for_a_row(tmp_path: Path) -> None:
    torch.save({"step": 3, "teacher_sha256": "a"}, tmp_path / "state.pt")
    ablation.check_budget(tmp_path, 3, "a")
    for steps, teacher in ((4, "a"), (3, "")):
        with pytest.raises(OptionError, match="was trained for 3 steps"):
            ablation.check_budget(tmp_path, steps, teacher)


def test_sets_that_would_share_a_name_and_pairs_of_another_scale_are_refused(small_set: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="both be called Tiny"):
        scores.set_names([small_set, small_set.parent / "x2"])
    with pytest.raises(OptionError, match=r"a x2 of .* is"):
        list(read_pairs(find_pairs(small_set / "HR", small_set / "LR", 2), 2))
    (tmp_path / "HR").mkdir()
    with pytest.raises(UnreadableImage, match="contains no image"):
        find_pairs(tmp_path / "HR", None, 4)


@pytest.mark.parametrize(("values", "told"), [
    ([0.10, 0.12], "higher"), ([-0.10, -0.12], "lower"), ([0.02, 0.12], NOT_RESOLVED), ([-0.05, 0.05], NOT_RESOLVED),
    ([0.3], NOT_RESOLVED)])
def test_a_difference_within_the_spread_of_the_seeds_is_not_resolved(values: list[float], told: str) -> None:
    assert answer(values) == told


def test_the_page_of_the_ablation_holds_what_was_measured(tried: Record) -> None:
    page = rendered_ablation(tried)
    (claim,) = [claim for claim in CLAIMS if claim.after == "SRN"]
    values = differences(tried.results, claim, "Tiny")
    assert f"| Tiny | – | {sum(values) / 2:+.3f} | {max(values) - min(values):.3f} | {answer(values)} |" in page
    for row in tried.results["rows"]:
        assert f"| {row['row']} | {row['seed']} | {row['psnr_y_db']['Tiny']:.3f} |" in page


def test_the_shipped_record_of_the_ablation_has_two_seeds_of_every_row() -> None:
    (record,) = of_kind(load_records(RECORDS), "ablation")
    assert len(record.results["seeds"]) >= 2
    assert {row["row"] for row in record.results["rows"]} == set(ablation.ROWS)


def test_the_study_of_damaged_images_goes_from_images_to_a_table(small_set: Path, tmp_path: Path) -> None:
    photo_study.main(["--models", default_model(), "--sets", str(small_set), "--threads", "1", "--records",
                      str(tmp_path)])
    record = Record.load(tmp_path / "photo-x4.json")
    assert [row["damage"] for row in record.results["rows"]] == list(photo_study.DAMAGES)
    page = rendered([record])
    for row in record.results["rows"]:
        assert f"| {row['damage']} | " in page
        assert f"{row['psnr_y_db']:.2f}" in page
    assert "| mean of the rows | " in page


def test_the_default_model_is_the_one_the_record_favours() -> None:
    for record in of_kind(load_records(RECORDS), "photo"):
        means = {name: np.mean([row["psnr_y_db"] for row in record.results["rows"] if row["model"] == name])
                 for name in record.results["sha256"]}
        best = max(means, key=lambda name: float(means[name]))
        assert best == default_model() or (best.endswith("-photo") and record.results["scale"] != photo_study.SCALE)
        for name, sha256 in record.results["sha256"].items():
            assert shipped_models()[name].graph.sha256 == sha256


def test_damage_is_what_its_name_says() -> None:
    picture = read_image(BENCHMARKS / "pictures/demo.png").as_rgb8()
    noise = photo_study.noisy(8)(picture, 0).astype(float) - picture
    assert noise.std() == pytest.approx(8, rel=0.1)  # clipping takes a little
    assert np.array_equal(photo_study.noisy(8)(picture, 3), photo_study.noisy(8)(picture, 3))
    assert not np.array_equal(photo_study.noisy(8)(picture, 3), photo_study.noisy(8)(picture, 4))
    worse = [np.abs(photo_study.compressed(q)(picture, 0).astype(float) - picture).mean() for q in (90, 75, 50)]
    assert worse == sorted(worse)
    assert np.array_equal(photo_study.blurred(0.5)(picture, 0), cv2.GaussianBlur(picture, (0, 0), 0.5))


def test_the_hard_images_are_always_the_same_and_hold_what_they_are_called() -> None:
    first, again = hard_pictures(), hard_pictures()
    assert all(np.array_equal(first[title], again[title]) for title in first)
    assert {picture.shape for picture in first.values()} == {(SIDE_PX, SIDE_PX, 3)}
    assert first["one-pixel checkerboard"][0, :4, 0].tolist() == [0, 255, 0, 255]
    assert 300 < int((first["text"][..., 0] > 0).sum()) < 3000


def test_drawn_pages_are_always_the_same_and_hold_hard_edges_and_flat_ground() -> None:
    first, again, other = (draw_graphics.page(seed) for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.shape == (draw_graphics.HEIGHT, draw_graphics.WIDTH, 3)
    steps = np.abs(np.diff(first.astype(int), axis=1)).max(axis=2)
    assert (steps == 0).mean() > 0.5
    assert (steps > 100).mean() > 0.005


def test_the_logs_of_stages_run_through(tmp_path: Path) -> None:
    head = "step,elapsed_s,learning_rate,loss,validation_psnr_y_db\n"
    for name, rows in (("one", "0,0.0,1,nan,9.0\n10,5.0,1,0.1,20.0\n"),
                       ("two", "0,0.0,1,nan,20.0\n7,2.5,1,0.1,21.0\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "log.csv").write_text(head + rows)
    merged = merged_log([tmp_path / "one", tmp_path / "two"])
    assert [(row["recipe"], row["step"], row["elapsed_s"]) for row in merged] == [
        ("one", "0", "0.0"), ("one", "10", "5.0"), ("two", "10", "5.0"), ("two", "17", "7.5")]
    assert merged_log([tmp_path / "two"], merged_log([tmp_path / "one"])) == merged


def test_a_model_that_starts_as_a_shipped_one_has_its_stages_before_its_own(tmp_path: Path) -> None:
    folder = shipped_models()["srn-s-b4-x4"].checkpoint.path.parent
    parent = Ancestor.of(folder, "srn-s-b4-x4")
    assert [recipe.name for recipe in parent.recipes()] == [
        "compact-x4", "compact-x4-2", "compact-x4-3", "compact-x4-4"]
    run = tmp_path / "compact-b6-x4"
    run.mkdir()
    (run / "model.safetensors").write_bytes(b"weights")
    torch.save({"recipe": asdict(load_recipe("compact-b6-x4")), "initial_sha256": parent.sha256}, run / "state.pt")
    assert [recipe.name for recipe in checked_recipes([run], parent.sha256)] == ["compact-b6-x4"]
    with pytest.raises(OptionError, match="the shipped model before them with --after"):
        checked_recipes([run])


def test_a_card_describes_the_runs_as_they_were_and_no_other(tmp_path: Path) -> None:
    recipe, first, second = load_recipe("compact-x4"), tmp_path / "compact-x4", tmp_path / "compact-x4-2"
    for run in (first, second):
        run.mkdir()
        (run / "model.safetensors").write_bytes(run.name.encode())
    torch.save({"recipe": asdict(replace(recipe, steps=7)), "initial_sha256": ""}, first / "state.pt")
    follower: dict[str, Any] = {"recipe": asdict(load_recipe("compact-x4-2")),
                "initial_sha256": sha256_of_file(first / "model.safetensors")}
    torch.save(follower, second / "state.pt")
    assert [each.name for each in checked_recipes([first, second])] == ["compact-x4", "compact-x4-2"]
    with pytest.raises(OptionError, match="was not initialized from the weights"):
        checked_recipes([second])
    torch.save({**follower, "recipe": follower["recipe"] | {"batch": 3}}, second / "state.pt")
    with pytest.raises(OptionError, match="batch: 3 there, 8 here"):
        checked_recipes([first, second])
