"""A recipe: everything that decides a training run but the pictures and the machine."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from importlib import resources
from pathlib import Path
from typing import Any, get_type_hints

from srn_deploy.errors import OptionError

RECIPES = "srn_deploy.training.recipes"

_PROSE = ("name", "title", "source")
"""Fields that a reader may improve without making it another run."""

_SMALLEST_STRESS_PX = 4
"""Below this side (LR) a stress patch has no room for an inset."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One training run. Sides in pixels; patches are HR, LR is made by bicubic."""

    name: str
    title: str
    source: str
    """Where the numbers come from: a sentence of the paper, or a record."""
    architecture: str
    options: dict[str, Any] = field(default_factory=dict)
    value_range: float
    """What the network is trained in: 1.0 keeps activations far from the end of FP16."""
    hr_patch_px: int
    batch: int
    steps: int
    learning_rate: float
    final_learning_rate: float = 1e-7
    loss: str = "l1"
    ema_decay: float = 0.999
    gradient_clip: float = 1.0
    """Largest norm of all gradients together, loss on 0..1."""
    stress_fraction: float = 0.0
    """Share of each batch that is checkerboards, noise and the like with a bicubic target."""
    seed: int = 0
    validate_every_steps: int = 1000

    def __post_init__(self) -> None:
        self._check_types()
        if min(self.hr_patch_px, self.batch, self.steps, self.validate_every_steps) < 1:
            raise self._wrong("hr_patch_px, batch, steps and validate_every_steps are at least 1")
        if min(self.value_range, self.learning_rate, self.gradient_clip) <= 0 or self.final_learning_rate < 0:
            raise self._wrong("value_range, learning_rate, gradient_clip are above 0, final_learning_rate not below")
        if not (0 <= self.stress_fraction < 1 and 0 <= self.ema_decay < 1):
            raise self._wrong("stress_fraction and ema_decay lie from 0 to below 1")
        if self.loss not in ("l1", "l2"):
            raise self._wrong(f"loss {self.loss!r} is unknown", remedy="Use l1 or l2.")
        if self.hr_patch_px % self.scale:
            raise self._wrong(f"an HR patch of {self.hr_patch_px} px is no multiple of x{self.scale}",
                              remedy="Choose hr_patch_px as a multiple of the scale.")
        self._check_stress()

    def _check_types(self) -> None:
        for name, kind in get_type_hints(Recipe).items():
            value = getattr(self, name)
            allowed = {float: (int, float), int: (int,), str: (str,)}.get(kind, (dict,))
            if not isinstance(value, allowed) or isinstance(value, bool):
                raise self._wrong(f"{name} cannot be {value!r}", remedy=f"It is of type {allowed[-1].__name__}.")

    def _check_stress(self) -> None:
        if self.stress_fraction and not self.stress_patches:
            raise self._wrong(f"a stress_fraction of {self.stress_fraction} is no patch in a batch of {self.batch}",
                              remedy="Choose a larger batch or stress_fraction, or 0.")
        if self.stress_fraction and self.hr_patch_px < _SMALLEST_STRESS_PX * self.scale:
            raise self._wrong(f"stress patches need an hr_patch_px of at least {_SMALLEST_STRESS_PX * self.scale}")

    def _wrong(self, what: str, *, remedy: str = "Correct the recipe.") -> OptionError:
        return OptionError(f"Recipe {self.name}: {what}.", remedy=remedy)

    @property
    def scale(self) -> int:
        """Times larger."""
        scale = self.options.get("scale", 4)
        if not isinstance(scale, int) or scale < 1:
            raise self._wrong(f"scale cannot be {scale!r}", remedy="Use 2, 3 or 4.")
        return scale

    @property
    def stress_patches(self) -> int:
        """How many patches of each batch are stress patches."""
        return round(self.batch * self.stress_fraction)

    def differences(self, recorded: Mapping[str, Any]) -> list[str]:
        """What a recorded recipe (its fields as a mapping) decides otherwise; fields it lacks have their defaults."""
        known = {f.name: f.default for f in fields(Recipe)}
        ours = asdict(self)
        names = [name for name in {**known, **recorded} if name not in _PROSE]
        return [f"{name}: {recorded.get(name, known.get(name))!r} there, {ours.get(name)!r} here"
                for name in names if recorded.get(name, known.get(name)) != ours.get(name)]


def shipped_recipes() -> list[str]:
    """Names of the recipes inside the package, sorted."""
    return sorted(entry.name.removesuffix(".toml") for entry in resources.files(RECIPES).iterdir()
                  if entry.name.endswith(".toml"))


def load_recipe(name_or_path: str) -> Recipe:
    """A shipped recipe by name, or any TOML file; raises OptionError with the list of names."""
    name, text = _find(name_or_path)
    try:
        return Recipe(name=name, **tomllib.loads(text))
    except (tomllib.TOMLDecodeError, TypeError) as error:
        raise OptionError(f"Recipe {name_or_path} cannot be read: {error}.",
                          remedy="Compare it with a shipped one.") from error


def _find(name_or_path: str) -> tuple[str, str]:
    """Name and text of a recipe."""
    path = Path(name_or_path)
    if path.suffix == ".toml" and path.is_file():
        try:
            return path.stem, path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise OptionError(f"Recipe {path} cannot be read: {error}.", remedy="Give a text file in UTF-8.") from error
    if name_or_path in shipped_recipes():
        return name_or_path, resources.files(RECIPES).joinpath(f"{name_or_path}.toml").read_text(encoding="utf-8")
    raise OptionError(f"There is no recipe {name_or_path!r}.",
                      remedy=f"Shipped are: {', '.join(shipped_recipes())}. Or give a .toml file.")
