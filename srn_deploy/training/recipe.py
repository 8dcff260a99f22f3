"""A recipe: everything that decides a training run, except the images and the machine."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

from srn_deploy.errors import OptionError
from srn_deploy.system.documents import convert, decode_toml, to_builtins
from srn_deploy.training.recipe_store import recipe_text

_PROSE = ("name", "title", "source")
"""Fields that can be reworded without making it a different run."""

_CHOICES = {"loss": ("l1", "l2"), "optimizer": ("adam", "muon"), "degradation": ("bicubic", "photo"),
            "warm_start": ("copy", "deepen", "rescale")}
"""The values of fields that have only a few."""

INITIAL = "initial"
"""As the architecture or the teacher of a recipe: that of the checkpoint which the run starts with."""

LARGEST_SEED = 2**32
"""Multiplied by a million and increased by the step, this still fits into 64 bits."""

_SMALLEST_STRESS_PX = 4
"""Smallest side (LR) of a stress patch that has space for an inset."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """One training run. Sides are in pixels, and patches are measured in HR.

    Raises OptionError for a value that cannot work. Types are checked where a file is read (`load_recipe`).
    """

    name: str
    title: str
    source: str
    """Where the numbers come from: a sentence of the paper, or a record."""
    architecture: str
    """A known one, or `initial`: that of the checkpoint which the run starts with, its options and value range too."""
    options: dict[str, Any] = field(default_factory=dict)
    value_range: float = 1.0
    """Largest pixel value that the network is trained with: 1.0 keeps activations far from the limits of FP16."""
    hr_patch_px: int
    batch: int
    candidates: int = 1
    """Patches drawn for each one that is used: the one with the most detail."""
    steps: int
    optimizer: str = "adam"
    """adam, which the paper uses, or muon, which needs far fewer steps and about four times the learning rate."""
    learning_rate: float
    final_learning_rate: float = 1e-7
    loss: str = "l1"
    """l1 or l2: mean absolute or mean squared difference."""
    ema_decay: float = 0.999
    """Of the exponential moving average of the weights, which becomes the checkpoint."""
    gradient_clip: float = 1.0
    """Largest norm of all gradients of a loss together, on pixel values in 0..1; infinity does not clip."""
    stress_fraction: float = 0.0
    """Share of all patches that are stress patches: checkerboards, noise and the like with a bicubic target."""
    stress_candidates: int = 1
    """Stress patches drawn for each one that is used: of all, those whose output leaves the range furthest."""
    stress_apart: bool = False
    """Stress patches have a loss of their own, the logarithm of their distance, and its gradient is limited apart from
    that of the photographs (`step_losses.py`)."""
    stress_margin: float = 0.0
    """Of stress patches that are trained on apart: pixels this close to their target are as right as the target."""
    follows: str = ""
    """The recipe whose checkpoint this run starts with: every tensor of the same name and shape is copied."""
    warm_start: str = "copy"
    """What the initial weights become. copy: blocks and tails that they lack keep random weights. deepen: new blocks of
    an SRN pass their input on (`warm_start.py`). rescale: a sub-pixel tail for the new scale is made of the old one."""
    teacher: str = ""
    """The recipe whose checkpoint is the teacher of equation 4, or `initial`. Empty: only the distance to the original
    counts."""
    pixel_weight: float = 1.0
    distillation_weight: float = 1.0
    """Lambda_P and lambda_D of equation 4; "we set them to 1"."""
    luma_weight: float = 0.0
    """Weight of the distance on Y, added to that on RGB; the paper has no such term."""
    copy_scale: float = 0.0
    """Adds a copy of each image, scaled by this factor, where that is no smaller than the patch; 0: none."""
    degradation: str = "bicubic"
    """How LR is made: bicubic, or photo, with random blur, resize kernel, sensor noise and JPEG (`degradation.py`)."""
    seed: int = 0
    validate_every_steps: int = 1000

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise self._wrong(f"{name} {getattr(self, name)!r} is unknown", remedy=f"Use {' or '.join(choices)}.")
        self._check_numbers()
        if self.hr_patch_px % self.scale:
            raise self._wrong(f"an HR patch of {self.hr_patch_px} px is not a multiple of x{self.scale}",
                              remedy="Choose hr_patch_px as a multiple of the scale.")
        if self.stress_fraction and self.hr_patch_px < _SMALLEST_STRESS_PX * self.scale:
            raise self._wrong(f"stress patches need an hr_patch_px of at least {_SMALLEST_STRESS_PX * self.scale}")

    def _check_numbers(self) -> None:
        for name, kind in get_type_hints(Recipe).items():
            value = getattr(self, name)
            if kind is float and not (math.isfinite(value) or (name == "gradient_clip" and value == math.inf)):
                raise self._wrong(f"{name} cannot be {value}")
        counts = "hr_patch_px", "batch", "candidates", "stress_candidates", "steps", "validate_every_steps"
        if min(getattr(self, name) for name in counts) < 1:
            raise self._wrong(f"{', '.join(counts[:-1])} and {counts[-1]} must be at least 1")
        if min(self.value_range, self.learning_rate, self.gradient_clip) <= 0:
            raise self._wrong("value_range, learning_rate and gradient_clip must be above 0")
        if not 0 <= self.final_learning_rate <= self.learning_rate:
            raise self._wrong("final_learning_rate must be from 0 to learning_rate")
        if not (0 <= self.stress_fraction < 1 and 0 <= self.ema_decay < 1):
            raise self._wrong("stress_fraction and ema_decay must be at least 0 and below 1")
        if not 0 <= self.copy_scale < 1:
            raise self._wrong("copy_scale must be at least 0 and below 1")
        weights = "pixel_weight", "distillation_weight", "luma_weight", "stress_margin"
        if min(getattr(self, name) for name in weights) < 0:
            raise self._wrong(f"{', '.join(weights[:-1])} and {weights[-1]} must not be below 0")
        if not self.pixel_weight + self.distillation_weight:
            raise self._wrong("pixel_weight or distillation_weight must be above 0")
        if not 0 <= self.seed <= LARGEST_SEED:
            raise self._wrong(f"seed must be from 0 to {LARGEST_SEED}")

    def _wrong(self, what: str, *, remedy: str = "Correct the recipe.") -> OptionError:
        return OptionError(f"Recipe {self.name}: {what}.", remedy=remedy)

    @property
    def scale(self) -> int:
        """How many times larger the output is; raises OptionError where the options hold no such number."""
        scale = self.options.get("scale", 4)
        if type(scale) is not int or scale < 1:
            raise self._wrong(f"scale cannot be {scale!r}", remedy="Use 2, 3 or 4.")
        return scale

    def stress_patches(self, step: int) -> int:
        """How many patches of this step's batch are stress patches: over all steps, exactly the fraction."""
        before, after = (math.floor(count * self.batch * self.stress_fraction) for count in (step, step + 1))
        return after - before

    def differences(self, recorded: Mapping[str, Any]) -> list[str]:
        """Fields of a recorded recipe that would make a different run, in words; fields it lacks have their defaults.

        recorded: the fields as a mapping, as a run's state holds them.
        """
        known = {f.name: f.default for f in fields(Recipe)}
        current = to_builtins(self)
        names = [name for name in {**known, **recorded} if name not in _PROSE]
        return [f"{name}: {recorded.get(name, known.get(name))!r} there, {current.get(name)!r} here"
                for name in names if recorded.get(name, known.get(name)) != current.get(name)]


def load_recipe(name_or_path: str) -> Recipe:
    """Load a shipped recipe by its name, or any TOML file by its path.

    Raises OptionError for an unknown name, with the list of names, and for a file that is not a recipe, with the
    field at fault.
    """
    def unreadable(what: str, remedy: str = "Compare it with a shipped one: `srn-deploy recipes compact-x4`."
                   ) -> OptionError:
        return OptionError(f"Recipe {name_or_path} cannot be read: {what}.", remedy=remedy)

    table = decode_toml(recipe_text(name_or_path), dict[str, Any], unreadable)
    known = [f.name for f in fields(Recipe) if f.name != "name"]  # the name is that of the file
    for unknown in (key for key in table if key not in known):
        nearest = difflib.get_close_matches(unknown, known, n=1, cutoff=0)[0]
        raise unreadable(f"there is no field {unknown!r}", f"The nearest field is {nearest}; the others are in "
                         "docs/training.md and in `srn-deploy recipes compact-x4`.")
    return convert({"name": Path(name_or_path).stem, **table}, Recipe, unreadable)
