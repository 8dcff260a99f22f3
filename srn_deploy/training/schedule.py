"""How far a run has come, how long it lasts, and which learning rate it uses."""

from __future__ import annotations

import math
from dataclasses import dataclass

from srn_deploy.errors import OptionError
from srn_deploy.training.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a run has come; what a progress bar needs."""

    step: int
    share: float
    """Part of the run that is done, 0..1."""
    elapsed_s: float
    loss: float
    """Mean since the last validation, for pixel values in 0..1."""
    psnr_y_db: float
    """PSNR on Y at the last validation."""

    @property
    def remaining_s(self) -> float:
        """Seconds to the end at the pace so far; NaN before the first step."""
        return self.elapsed_s * (1 - self.share) / self.share if self.share else math.nan


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Length of a run in steps or in minutes, over all resumed parts together; by default the recipe's steps.

    Raises OptionError for both at once, or for a length of zero.
    """

    steps: int | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        if self.steps is not None and self.minutes is not None:
            raise OptionError("A run has a length in steps or in minutes, not both.", remedy="Leave one of them out.")
        few = self.steps is not None and self.steps < 1
        if few or (self.minutes is not None and not 0 < self.minutes < math.inf):
            raise OptionError("A run needs at least one step, or a number of minutes above 0.",
                              remedy="Give a larger budget.")

    def share(self, recipe: Recipe, step: int, elapsed_s: float) -> float:
        """Part of the run that is done after `step` steps and `elapsed_s` seconds, 0..1."""
        if self.minutes is not None:
            return min(1.0, elapsed_s / (60.0 * self.minutes))
        return min(1.0, step / (self.steps or recipe.steps))


def learning_rate(recipe: Recipe, share: float) -> float:
    """Learning rate after a share (0..1) of the run: cosine annealing from the recipe's first rate to its last.

    Section 4.1 of the paper.
    """
    first, last = recipe.learning_rate, recipe.final_learning_rate
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2
