"""From a recipe and folders of images to a checkpoint. `train` is the entry point; it loads PyTorch when called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING

from srn_deploy.errors import missing_package
from srn_deploy.system.arguments import as_path, check_callable, check_kind
from srn_deploy.system.threads import cpu_threads, fitting_threads
from srn_deploy.training.options import RunOptions

if TYPE_CHECKING:
    from srn_deploy.training.schedule import Progress

__all__ = ["OnProgress", "RunOptions", "train"]

OnProgress = Callable[["Progress"], None]
"""Called at every validation and every few steps of a run."""


def train(recipe: str | Path, data: str | Path | Sequence[str | Path], out: str | Path,
          options: RunOptions | None = None, report: OnProgress = lambda progress: None) -> Path:
    """Train the network of a recipe on folders of HR images and return the path of the checkpoint.

    recipe: the name of a shipped recipe, or the path of a .toml file. data: one folder or several, each searched with
    its subfolders. out: the folder of the run, which gets the state, the log, the checkpoint and a curve. options:
    device, length and starting point. report: called with the progress of the run.

    What the run decides, and what it leaves out, is logged. Ctrl-C saves the state and then raises KeyboardInterrupt.
    Raises MissingPackage without PyTorch, OptionError, TrainingError, CheckpointError, DeviceUnavailable, OutOfMemory.
    """
    check_kind(recipe, (str, Path), "recipe", remedy="Give the name of a shipped recipe or the path of a .toml file.")
    check_kind(options, (RunOptions, NoneType), "options", remedy="Give srn_deploy.training.RunOptions(...).")
    check_callable(report, "report")
    chosen, run = options or RunOptions(), as_path(out, "out")
    try:
        import torch

        from srn_deploy.training.recipe import load_recipe
        from srn_deploy.training.trainer import Trainer
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "safetensors"):
            raise
        raise missing_package(error.name, "Training") from error
    given = data if isinstance(data, Sequence) and not isinstance(data, str) else (data,)
    folders = tuple(as_path(folder, "data") for folder in given)
    with cpu_threads(chosen.threads):
        torch.set_num_threads(fitting_threads(torch.get_num_threads()))
        return Trainer(load_recipe(str(recipe)), folders, run, chosen).run(report)
