"""Recipes: what is refused, and what makes a different run."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from srn_deploy.architectures import ARCHITECTURES
from srn_deploy.errors import OptionError
from srn_deploy.system.documents import to_builtins
from srn_deploy.training.recipe import INITIAL, Recipe, load_recipe
from srn_deploy.training.recipe_store import recipe_text, shipped_recipes
from srn_deploy.training.schedule import Budget

RECIPE = Recipe(name="r", title="t", source="s", architecture="srn", options={"scale": 4}, value_range=1.0,
                hr_patch_px=64, batch=8, steps=10, learning_rate=1e-3)


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_loads_and_its_network_can_be_described(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.source.strip()
    if recipe.architecture == INITIAL:
        return
    spec = ARCHITECTURES[recipe.architecture].describe(recipe.options)
    assert spec.scale == recipe.scale
    assert recipe.hr_patch_px >= spec.min_side_px * recipe.scale


def test_at_least_one_recipe_is_shipped() -> None:
    assert "compact-x4" in shipped_recipes()


def test_an_unknown_recipe_is_answered_with_the_list(tmp_path: Path) -> None:
    for name in ("nonsense", str(tmp_path / "absent.toml")):
        with pytest.raises(OptionError, match="There is no recipe") as caught:
            load_recipe(name)
        assert "compact-x4" in caught.value.remedy


@pytest.mark.parametrize("text", ["no toml", 'title = "only"', "unknown_field = 1", 'name = "x"', "\xff"])
def test_a_file_that_is_not_a_recipe_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(OptionError, match="cannot be read"):
        load_recipe(str(path))


@pytest.mark.parametrize(("line", "message"), [
    ("batch = 1.5", "Expected `int`, got `float` - at `$.batch`"),
    ("steps = true", "Expected `int`, got `bool` - at `$.steps`"),
    ('learning_rate = "fast"', "Expected `float`, got `str` - at `$.learning_rate`"),
    ("loss = 1", "Expected `str`, got `int` - at `$.loss`"),
    ("options = 4", "Expected `object`, got `int` - at `$.options`"),
])
def test_a_value_of_the_wrong_type_is_refused_with_its_field(tmp_path: Path, line: str, message: str) -> None:
    field = line.partition(" ")[0]
    lines = [other for other in recipe_text("compact-x4").splitlines() if not other.startswith(f"{field} =")]
    (tmp_path / "wrong.toml").write_text("\n".join([line, *lines]), encoding="utf-8")
    with pytest.raises(OptionError) as caught:
        load_recipe(str(tmp_path / "wrong.toml"))
    assert caught.value.message == f"Recipe {tmp_path / 'wrong.toml'} cannot be read: {message}."
    assert "srn-deploy recipes compact-x4" in caught.value.remedy


@pytest.mark.parametrize(("unknown", "nearest"), [("batches", "batch"), ("learningrate", "learning_rate"),
                                                  ("patch", "batch"), ("optimiser", "optimizer")])
def test_an_unknown_field_is_refused_with_the_nearest_one(tmp_path: Path, unknown: str, nearest: str) -> None:
    text = f"{unknown} = 1\n{recipe_text('compact-x4')}"
    (tmp_path / "wrong.toml").write_text(text, encoding="utf-8")
    with pytest.raises(OptionError, match=f"there is no field '{unknown}'") as caught:
        load_recipe(str(tmp_path / "wrong.toml"))
    assert caught.value.remedy.startswith(f"The nearest field is {nearest};")


def test_an_integer_serves_where_a_number_is_expected(tmp_path: Path) -> None:
    text = recipe_text("compact-x4").replace("value_range = 1.0", "value_range = 1")
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")
    assert load_recipe(str(tmp_path / "mine.toml")).differences(to_builtins(load_recipe("compact-x4"))) == []


@pytest.mark.parametrize(("change", "message"), [
    ({"batch": 0}, "at least 1"), ({"learning_rate": 0}, "above 0"),
    ({"ema_decay": 1.0}, "below 1"), ({"loss": "l3"}, "'l3' is unknown"), ({"hr_patch_px": 66}, "not a multiple of x4"),
    ({"options": {"scale": "four"}}, "scale cannot be"), ({"stress_fraction": 0.5, "hr_patch_px": 12}, "at least 16"),
    ({"degradation": "rain"}, "'rain' is unknown"), ({"distillation_weight": -1.0}, "must not be below 0"),
    ({"pixel_weight": 0.0, "distillation_weight": 0.0}, "weight must be above 0"),
    ({"luma_weight": -1.0}, "must not be below 0"), ({"candidates": 0}, "at least 1"),
    ({"stress_candidates": 0}, "at least 1"), ({"stress_margin": -0.1}, "must not be below 0"),
    ({"copy_scale": 1.0}, "copy_scale must be at least 0 and below 1"),
    ({"learning_rate": float("nan")}, "learning_rate cannot be nan"), ({"value_range": float("inf")}, "cannot be inf"),
    ({"gradient_clip": float("nan")}, "gradient_clip cannot be nan"), ({"seed": 10**20}, "seed must be from 0"),
    ({"final_learning_rate": 1.0}, "from 0 to learning_rate"),
])
def test_a_value_that_cannot_work_is_refused_with_its_name(change: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        replace(RECIPE, **change)


def test_an_infinite_clip_does_not_clip() -> None:
    assert replace(RECIPE, gradient_clip=float("inf")).gradient_clip == float("inf")


def test_better_prose_or_a_missing_field_with_its_default_is_the_same_recipe() -> None:
    recorded = asdict(replace(RECIPE, title="another title", source="better words"))
    del recorded["gradient_clip"]  # as if written before the field was there
    assert RECIPE.differences(recorded) == []


def test_the_differences_of_another_recipe_are_named() -> None:
    recorded = asdict(replace(RECIPE, batch=16)) | {"from_the_future": 1}
    assert RECIPE.differences(recorded) == ["batch: 16 there, 8 here", "from_the_future: 1 there, None here"]


@pytest.mark.parametrize("budget", [{"steps": 5, "minutes": 1.0}, {"steps": 0}, {"minutes": 0.0}])
def test_a_budget_of_both_kinds_or_of_nothing_is_refused(budget: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        Budget(**budget)


@pytest.mark.parametrize(("budget", "share"), [
    (Budget(), 0.3), (Budget(steps=6), 0.5), (Budget(minutes=0.1), 0.2), (Budget(steps=2), 1.0)])
def test_the_share_follows_steps_or_minutes(budget: Budget, share: float) -> None:
    assert budget.share(RECIPE, step=3, elapsed_s=1.2) == pytest.approx(share)
