"""What a run takes over from other runs: the weights it begins with, and the teacher it learns from."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from srn_deploy.architectures.checkpoint import LoadedNetwork, load_checkpoint
from srn_deploy.errors import OptionError
from srn_deploy.training.recipe import Recipe
from srn_deploy.training.run_folder import CHECKPOINT_FILE


class Teacher:
    """A frozen network in eval mode that says what the student's output might be (section 3.3 of the paper)."""

    def __init__(self, loaded: LoadedNetwork, device: torch.device) -> None:
        self.sha256 = loaded.spec.source_sha256
        self._range = loaded.spec.value_range
        self._network: nn.Module = loaded.network.eval().requires_grad_(False).to(device)
        self._network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.no_grad()
    def __call__(self, lr: Tensor) -> Tensor:
        """LR float32 (N, 3, H, W) in 0..1 to float32 (N, 3, scale*H, scale*W) on the same scale, not clipped."""
        taught: Tensor = self._network(lr * self._range)
        return taught.float() / self._range


def initial_network(recipe: Recipe, out: Path, given: Path | None) -> LoadedNetwork | None:
    """The network to begin with: of the given checkpoint, else of the run of the recipe that this one follows.

    Raises OptionError where it is not there, CheckpointError where it cannot be read.
    """
    path = _checkpoint(recipe, recipe.follows, out, given, "begins with the weights of", "--initial")
    if path is None:
        return None
    loaded = load_checkpoint(path)
    if loaded.spec.value_range != recipe.value_range:
        raise OptionError(f"{path} was trained in 0..{loaded.spec.value_range:g}, recipe {recipe.name} trains in "
                          f"0..{recipe.value_range:g}: its biases would be wrong.",
                          remedy=f"Set value_range = {loaded.spec.value_range} in a copy of the recipe.")
    return loaded


def teacher_of(recipe: Recipe, out: Path, given: Path | None, device: torch.device) -> Teacher | None:
    """The teacher: of the given checkpoint, else of the run of the recipe's teacher; None without either.

    Raises OptionError where it is not there or of another scale, CheckpointError where it cannot be read.
    """
    path = _checkpoint(recipe, recipe.teacher, out, given, "learns from", "--teacher")
    if path is None:
        return None
    loaded = load_checkpoint(path)
    if loaded.spec.scale != recipe.scale:
        raise OptionError(f"The teacher {path} is of x{loaded.spec.scale}, recipe {recipe.name} of x{recipe.scale}.",
                          remedy="Give a teacher of the recipe's scale with --teacher.")
    if recipe.hr_patch_px < loaded.spec.min_side_px * recipe.scale:
        raise OptionError(f"An HR patch of {recipe.hr_patch_px} px is too small for the teacher {path}.",
                          remedy=f"Choose an hr_patch_px of at least {loaded.spec.min_side_px * recipe.scale}.")
    return Teacher(loaded, device)


def _checkpoint(recipe: Recipe, other: str, out: Path, given: Path | None, what: str, option: str) -> Path | None:
    """The given file, or what the other recipe's run left beside this run's folder."""
    if given is None and not other:
        return None
    path = given or out.absolute().parent / other / CHECKPOINT_FILE
    if not path.is_file():
        raise OptionError(f"Recipe {recipe.name} {what} {other or 'a checkpoint'}, but {path} is not there.",
                          remedy=f"Train {other} first, or give a checkpoint with {option}." if other
                          else f"Give the path of a checkpoint with {option}.")
    return path
