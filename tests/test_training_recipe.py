"""Recipes: what is refused, and what counts as another run."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from srn_deploy.architectures import ARCHITECTURES
from srn_deploy.errors import OptionError
from srn_deploy.training.recipe import Degradation, Recipe, load_recipe
from srn_deploy.training.recipe_store import shipped_recipes
from srn_deploy.training.schedule import Budget

RECIPE = Recipe(name="r", title="t", source="s", architecture="srn", options={"scale": 4}, value_range=1.0,
                hr_patch_px=64, batch=8, steps=10, learning_rate=1e-3)


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_loads_and_its_network_can_be_described(name: str) -> None:
    recipe = load_recipe(name)
    spec = ARCHITECTURES[recipe.architecture].describe(recipe.options)
    assert spec.scale == recipe.scale
    assert recipe.hr_patch_px >= spec.min_side_px * recipe.scale
    assert recipe.source.strip()


def test_at_least_one_recipe_is_shipped() -> None:
    assert "compact-x4" in shipped_recipes()


def test_an_unknown_recipe_is_answered_with_the_list(tmp_path: Path) -> None:
    for name in ("nonsense", str(tmp_path / "absent.toml")):
        with pytest.raises(OptionError, match="There is no recipe") as caught:
            load_recipe(name)
        assert "compact-x4" in caught.value.remedy


@pytest.mark.parametrize("text", ["no toml", 'title = "only"', "unknown_field = 1", "\xff"])
def test_a_file_that_is_no_recipe_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(OptionError, match="cannot be read"):
        load_recipe(str(path))


@pytest.mark.parametrize(("change", "told"), [
    ({"batch": 0}, "at least 1"), ({"batch": 1.5}, "batch cannot be 1.5"), ({"steps": True}, "steps cannot be True"),
    ({"learning_rate": "fast"}, "learning_rate cannot be 'fast'"), ({"learning_rate": 0}, "above 0"),
    ({"ema_decay": 1.0}, "below 1"), ({"loss": "l3"}, "'l3' is unknown"), ({"hr_patch_px": 66}, "no multiple of x4"),
    ({"options": {"scale": "four"}}, "scale cannot be"), ({"stress_fraction": 0.5, "hr_patch_px": 12}, "at least 16"),
    ({"degradation": "rain"}, "'rain' is unknown"), ({"distillation_weight": -1.0}, "not below 0"),
    ({"pixel_weight": 0.0, "distillation_weight": 0.0}, "weight is above 0"), ({"luma_weight": -1.0}, "not below 0"),
    ({"candidates": 0}, "at least 1"),
    ({"learning_rate": float("nan")}, "learning_rate cannot be nan"), ({"value_range": float("inf")}, "cannot be inf"),
    ({"gradient_clip": float("nan")}, "gradient_clip cannot be nan"), ({"seed": 10**20}, "seed lies from 0"),
    ({"final_learning_rate": 1.0}, "from 0 to learning_rate"),
])
def test_a_value_that_cannot_work_is_refused_with_its_name(change: dict[str, Any], told: str) -> None:
    with pytest.raises(OptionError, match=told):
        replace(RECIPE, **change)


def test_an_infinite_clip_is_no_clip_and_a_degradation_may_be_given_as_what_it_is() -> None:
    recipe = replace(RECIPE, gradient_clip=float("inf"), degradation=Degradation.PHOTO)
    assert type(recipe.degradation) is str


def test_better_prose_or_a_missing_field_with_its_default_is_no_other_recipe() -> None:
    recorded = asdict(replace(RECIPE, title="another title", source="better words"))
    del recorded["gradient_clip"]  # as if written before the field was there
    assert RECIPE.differences(recorded) == []


def test_what_another_recipe_decides_otherwise_is_named() -> None:
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
