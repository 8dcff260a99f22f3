"""How far a run is, how long it goes on, and with which learning rate."""

from __future__ import annotations

import math
from dataclasses import dataclass

from srn_deploy.errors import OptionError
from srn_deploy.training.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Progress:
    """What a progress bar wants to know."""

    step: int
    share: float
    """Of the run, 0..1."""
    elapsed_s: float
    loss: float
    """Mean since the last validation, on 0..1."""
    psnr_y_db: float
    """Of the last validation."""

    @property
    def remaining_s(self) -> float:
        """Seconds to the end at the pace so far; NaN before the first step."""
        return self.elapsed_s * (1 - self.share) / self.share if self.share else math.nan


@dataclass(frozen=True, kw_only=True)
class Budget:
    """How long to train: steps (the default: the recipe's) or minutes, over all resumed parts together."""

    steps: int | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        if self.steps is not None and self.minutes is not None:
            raise OptionError("A run has steps or minutes, not both.", remedy="Leave one of them away.")
        few = self.steps is not None and self.steps < 1
        if few or (self.minutes is not None and not 0 < self.minutes < math.inf):
            raise OptionError("A run needs at least one step or some minutes.", remedy="Give a larger budget.")

    def share(self, recipe: Recipe, step: int, elapsed_s: float) -> float:
        """How much of the run is done, 0..1."""
        if self.minutes is not None:
            return min(1.0, elapsed_s / (60.0 * self.minutes))
        return min(1.0, step / (self.steps or recipe.steps))


def learning_rate(recipe: Recipe, share: float) -> float:
    """Cosine annealing from the recipe's first to its last rate (section 4.1 of the paper) at 0..1 of the run."""
    first, last = recipe.learning_rate, recipe.final_learning_rate
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2
