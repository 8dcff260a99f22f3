"""How a recipe is run on this machine: everything that is not part of the recipe."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import NoneType

from srn_deploy.system.arguments import as_path, check_kind
from srn_deploy.system.threads import check_threads
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
    """CPU threads of the whole process; None: those of OMP_NUM_THREADS, else of the cores that the process may use."""
    initial: Path | None = None
    """Checkpoint whose weights the run starts with; None: the one left by the recipe that this recipe follows."""
    teacher: Path | None = None
    """Checkpoint to learn from; None: the one left by the recipe's teacher."""
    lr_pattern: str | None = None
    """How LR files are named, as in "{folder}/{stem}_small"; None: as data sets are published."""
    resume: bool = False
    """Continue the run that is in the folder."""

    def __post_init__(self) -> None:
        check_kind(self.device, str, "device", remedy="Use auto, cpu or cuda.")
        check_kind(self.seed, (int, NoneType), "seed", remedy="Give a whole number.")
        check_kind(self.steps, (int, NoneType), "steps", remedy="Give a whole number.")
        check_kind(self.minutes, (int, float, NoneType), "minutes", remedy="Give a number.")
        for name in ("initial", "teacher"):
            if (given := getattr(self, name)) is not None:
                object.__setattr__(self, name, as_path(given, name))
        check_threads(self.threads)
        _ = self.budget  # raises OptionError where steps and minutes cannot work

    @property
    def budget(self) -> Budget:
        """Length of the run."""
        return Budget(steps=self.steps, minutes=self.minutes)
