"""How a recipe is run on this machine: everything that is not part of the recipe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from srn_deploy.errors import OptionError
from srn_deploy.training.schedule import Budget


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Device, length and starting point of a run; the defaults run the recipe as it is.

    Raises OptionError for numbers that cannot work.
    """

    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    steps: int | None = None
    """Length of the whole run in steps, over all resumed parts; None: the recipe's."""
    minutes: float | None = None
    """Length of the whole run in minutes, instead of steps."""
    seed: int | None = None
    """Instead of the recipe's seed."""
    threads: int | None = None
    """CPU threads of the whole process; None: PyTorch's choice."""
    initial: Path | None = None
    """Checkpoint whose weights the run starts with; None: the one left by the recipe that this recipe follows."""
    teacher: Path | None = None
    """Checkpoint to learn from; None: the one left by the recipe's teacher."""
    lr_pattern: str | None = None
    """How LR files are named, as in "{folder}/{stem}_small"; None: as data sets are published."""
    resume: bool = False
    """Continue the run that is in the folder."""

    def __post_init__(self) -> None:
        if self.threads is not None and self.threads < 1:
            raise OptionError(f"{self.threads} threads are not possible.", remedy="Give at least one thread.")
        _ = self.budget  # raises OptionError where steps and minutes cannot work

    @property
    def budget(self) -> Budget:
        """Length of the run."""
        return Budget(steps=self.steps, minutes=self.minutes)
