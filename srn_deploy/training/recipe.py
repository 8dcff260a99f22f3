"""A recipe: everything that decides a training run but the pictures and the machine."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from typing import Any, get_type_hints

from srn_deploy.errors import OptionError
from srn_deploy.training.recipe_store import recipe_text

_PROSE = ("name", "title", "source")
"""Fields that a reader may improve without making it another run."""

LARGEST_SEED = 2**32
"""Times a million and a step it still is a 64-bit number."""

_SMALLEST_STRESS_PX = 4
"""Below this side (LR) a stress patch has no room for an inset."""


class Degradation(StrEnum):
    """How LR is made from HR."""

    BICUBIC = "bicubic"
    PHOTO = "photo"
    """Blur, resize kernel, sensor noise and JPEG at random (`degradation.py`)."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One training run. Sides in pixels; patches are HR."""

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
    candidates: int = 1
    """Patches that are drawn for each one that is kept: the one with the most detail."""
    steps: int
    optimizer: str = "adam"
    """adam, the paper's, or muon, which needs far fewer steps (`muon.py`) and about four times the learning rate."""
    learning_rate: float
    final_learning_rate: float = 1e-7
    loss: str = "l1"
    ema_decay: float = 0.999
    gradient_clip: float = 1.0
    """Largest norm of all gradients together, loss on 0..1."""
    stress_fraction: float = 0.0
    """Share of all patches that are checkerboards, noise and the like with a bicubic target."""
    follows: str = ""
    """The recipe whose checkpoint this run begins with: every tensor of the same name and shape is taken over."""
    teacher: str = ""
    """The recipe whose checkpoint teaches: equation 4. Empty: the distance to the original alone."""
    pixel_weight: float = 1.0
    distillation_weight: float = 1.0
    """Lambda_P and lambda_D of equation 4; "we set them to 1"."""
    luma_weight: float = 0.0
    """Of the distance on Y beside that on RGB; the paper has none."""
    degradation: str = Degradation.BICUBIC.value
    """One of Degradation."""
    seed: int = 0
    validate_every_steps: int = 1000

    def __post_init__(self) -> None:
        object.__setattr__(self, "degradation", str(self.degradation))  # an enum would not be read back from a state
        self._check_types()
        self._check_numbers()
        if self.loss not in ("l1", "l2"):
            raise self._wrong(f"loss {self.loss!r} is unknown", remedy="Use l1 or l2.")
        if self.optimizer not in ("adam", "muon"):
            raise self._wrong(f"optimizer {self.optimizer!r} is unknown", remedy="Use adam or muon.")
        if self.degradation not in tuple(Degradation):
            raise self._wrong(f"degradation {self.degradation!r} is unknown",
                              remedy=f"Use {' or '.join(Degradation)}.")
        if self.hr_patch_px % self.scale:
            raise self._wrong(f"an HR patch of {self.hr_patch_px} px is no multiple of x{self.scale}",
                              remedy="Choose hr_patch_px as a multiple of the scale.")
        if self.stress_fraction and self.hr_patch_px < _SMALLEST_STRESS_PX * self.scale:
            raise self._wrong(f"stress patches need an hr_patch_px of at least {_SMALLEST_STRESS_PX * self.scale}")

    def _check_numbers(self) -> None:
        """Every number within what it can be; only the clip may be infinite: no clip."""
        for name, kind in get_type_hints(Recipe).items():
            value = getattr(self, name)
            if kind is float and not (math.isfinite(value) or (name == "gradient_clip" and value == math.inf)):
                raise self._wrong(f"{name} cannot be {value}")
        if min(self.hr_patch_px, self.batch, self.candidates, self.steps, self.validate_every_steps) < 1:
            raise self._wrong("hr_patch_px, batch, candidates, steps and validate_every_steps are at least 1")
        if min(self.value_range, self.learning_rate, self.gradient_clip) <= 0:
            raise self._wrong("value_range, learning_rate and gradient_clip are above 0")
        if not 0 <= self.final_learning_rate <= self.learning_rate:
            raise self._wrong("final_learning_rate lies from 0 to learning_rate")
        if not (0 <= self.stress_fraction < 1 and 0 <= self.ema_decay < 1):
            raise self._wrong("stress_fraction and ema_decay lie from 0 to below 1")
        if min(self.pixel_weight, self.distillation_weight, self.luma_weight) < 0:
            raise self._wrong("pixel_weight, distillation_weight and luma_weight are not below 0")
        if not self.pixel_weight + self.distillation_weight:
            raise self._wrong("pixel_weight or distillation_weight is above 0")
        if not 0 <= self.seed <= LARGEST_SEED:
            raise self._wrong(f"seed lies from 0 to {LARGEST_SEED}")

    def _check_types(self) -> None:
        for name, kind in get_type_hints(Recipe).items():
            value = getattr(self, name)
            allowed = {float: (int, float), int: (int,), str: (str,)}.get(kind, (dict,))
            if not isinstance(value, allowed) or isinstance(value, bool):
                raise self._wrong(f"{name} cannot be {value!r}", remedy=f"It is of type {allowed[-1].__name__}.")

    def _wrong(self, what: str, *, remedy: str = "Correct the recipe.") -> OptionError:
        return OptionError(f"Recipe {self.name}: {what}.", remedy=remedy)

    @property
    def scale(self) -> int:
        """Times larger."""
        scale = self.options.get("scale", 4)
        if not isinstance(scale, int) or scale < 1:
            raise self._wrong(f"scale cannot be {scale!r}", remedy="Use 2, 3 or 4.")
        return scale

    def stress_patches(self, step: int) -> int:
        """How many patches of this step's batch are stress patches: over all steps, exactly the fraction."""
        before, after = (math.floor(count * self.batch * self.stress_fraction) for count in (step, step + 1))
        return after - before

    def differences(self, recorded: Mapping[str, Any]) -> list[str]:
        """What a recorded recipe (its fields as a mapping) decides otherwise; fields it lacks have their defaults."""
        known = {f.name: f.default for f in fields(Recipe)}
        ours = asdict(self)
        names = [name for name in {**known, **recorded} if name not in _PROSE]
        return [f"{name}: {recorded.get(name, known.get(name))!r} there, {ours.get(name)!r} here"
                for name in names if recorded.get(name, known.get(name)) != ours.get(name)]


def load_recipe(name_or_path: str) -> Recipe:
    """A shipped recipe by name, or any TOML file; raises OptionError with the list of names."""
    text = recipe_text(name_or_path)
    try:
        return Recipe(name=Path(name_or_path).stem, **tomllib.loads(text))
    except (tomllib.TOMLDecodeError, TypeError) as error:
        raise OptionError(f"Recipe {name_or_path} cannot be read: {error}.",
                          remedy="Compare it with a shipped one: `srn-deploy recipes compact-x4`.") from error
