"""The teacher of equation 4: a frozen network whose output the trained network learns from (section 3.3)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from srn_deploy.architectures.checkpoint import LoadedNetwork
from srn_deploy.errors import OptionError
from srn_deploy.training.earlier_run import EarlierRun
from srn_deploy.training.recipe import INITIAL, Recipe


class Teacher:
    """A frozen network in eval mode, called with LR patches (section 3.3 of the paper)."""

    def __init__(self, loaded: LoadedNetwork, device: torch.device) -> None:
        self.sha256 = loaded.spec.source_sha256
        self._range = loaded.spec.value_range
        self._network: nn.Module = loaded.network.eval().requires_grad_(False).to(device)
        self._network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.no_grad()
    def __call__(self, lr: Tensor) -> Tensor:
        """Upscale LR float32 (N, 3, H, W) in 0..1 to float32 (N, 3, scale*H, scale*W), 0..1 but not clipped."""
        sr: Tensor = self._network(lr * self._range)
        return sr.float() / self._range


def load_teacher(recipe: Recipe, out: Path, given: Path | None, device: torch.device,
                 initial: LoadedNetwork | None = None) -> Teacher | None:
    """Load the teacher from the given checkpoint, or else from the run of the recipe's teacher, next to `out`.

    initial: what the run starts with, for a recipe that learns from it. None where no teacher is named. Raises
    OptionError where the file is missing, or the teacher has another scale or cannot take patches of this size;
    CheckpointError where it cannot be read.
    """
    if given is None and not recipe.teacher:
        return None
    if given is None and recipe.teacher == INITIAL and initial is not None:
        named, loaded = "(the initial checkpoint)", initial
    else:
        run = EarlierRun(recipe=recipe.teacher, purpose=f"Recipe {recipe.name} learns from", option="--teacher")
        path, loaded = run.load(out, given)
        named = str(path)
    if loaded.spec.scale != recipe.scale:
        raise OptionError(f"The teacher {named} upscales by x{loaded.spec.scale}, but recipe {recipe.name} by "
                          f"x{recipe.scale}.", remedy="Give a teacher of the recipe's scale with --teacher.")
    if recipe.hr_patch_px < loaded.spec.min_side_px * recipe.scale:
        raise OptionError(f"An HR patch of {recipe.hr_patch_px} px is too small for the teacher {named}.",
                          remedy=f"Choose an hr_patch_px of at least {loaded.spec.min_side_px * recipe.scale}.")
    return Teacher(loaded, device)
