"""From a recipe and a folder of pictures to a checkpoint. `train` is the door; torch is loaded behind it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from srn_deploy.errors import OptionError, missing_package

if TYPE_CHECKING:
    from srn_deploy.training.schedule import Progress

Report = Callable[["Progress"], None]
"""Called now and then while a run goes on."""

Notice = Callable[[str], None]
"""Called with one line of text for what the user should know and what does not stop the run."""


def warn(text: str) -> None:
    """The notice of callers that have none of their own: a Python warning."""
    warnings.warn(text, stacklevel=3)


def train(recipe: str, data: Path | Sequence[Path], out: Path, *, device: str = "auto", steps: int | None = None,
          minutes: float | None = None, seed: int | None = None, resume: bool = False, threads: int | None = None,
          initial: Path | None = None, teacher: Path | None = None,
          report: Report = lambda progress: None, notice: Notice = warn) -> Path:
    """Train a recipe (a shipped name or a .toml file) on folders of HR pictures; returns the checkpoint's path.

    steps or minutes: the whole length of the run over all resumed parts (default: the recipe's steps).
    seed: instead of the recipe's. threads: CPU threads of the whole process.
    initial, teacher: checkpoints to begin with and to learn from (default: those that the runs of the recipes
    named by `follows` and `teacher` left beside `out`).
    Ctrl-C saves the state and then raises KeyboardInterrupt.
    Raises MissingPackage without PyTorch, OptionError, TrainingError, CheckpointError, DeviceUnavailable, OutOfMemory.
    """
    if threads is not None and threads < 1:
        raise OptionError(f"{threads} threads are not possible.", remedy="Give at least one.")
    try:
        import torch

        from srn_deploy.training.recipe import load_recipe
        from srn_deploy.training.schedule import Budget
        from srn_deploy.training.trainer import Inputs, Trainer
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "safetensors"):
            raise
        raise missing_package(error.name, "Training") from error
    if threads is not None:
        torch.set_num_threads(threads)
    chosen = load_recipe(recipe)
    folders = (data,) if isinstance(data, Path) else tuple(data)
    trainer = Trainer(chosen if seed is None else replace(chosen, seed=seed),
                      Inputs(data=folders, initial=initial, teacher=teacher), out, device=device,
                      budget=Budget(steps=steps, minutes=minutes), resume=resume, notice=notice)
    return trainer.run(report)
