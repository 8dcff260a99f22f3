"""What one step trains on: patches of photographs, degraded if the recipe says so, and its share of stress patches."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from srn_deploy.training.data import PatchBank, TrainingPair
from srn_deploy.training.degradation import degrade, draw_degradation
from srn_deploy.training.recipe import Recipe
from srn_deploy.training.stress import stress_patches


@dataclass(frozen=True, kw_only=True)
class TrainingBatch:
    """New float32 tensors in 0..1: lr (N, 3, s, s), channels last, and hr (N, 3, scale*s, scale*s)."""

    lr: Tensor
    hr: Tensor
    photos: int
    """How many are patches of photographs; they come first, and the rest are stress patches."""
    stressed: int
    """How many of the stress patches are trained on; the others are candidates."""


class Batches:
    """The batches of a recipe, by step."""

    def __init__(self, recipe: Recipe, bank: PatchBank) -> None:
        self._recipe, self._bank = recipe, bank

    def batch(self, step: int) -> TrainingBatch:
        """Make the batch of a step.

        It is a function of recipe, images and step alone, so that a resumed run sees the same batches.
        """
        recipe = self._recipe
        generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + step)
        stressed = recipe.stress_patches(step)
        photos, odd = recipe.batch - stressed, stressed * recipe.stress_candidates
        lr, hr = self._bank.batch(photos + odd, generator, candidates=recipe.candidates)
        is_photo = recipe.degradation == "photo"
        if is_photo:
            lr = degrade(hr, recipe.scale, draw_degradation(photos + odd, generator))
        if odd:
            odd_lr, odd_hr = stress_patches(lr[photos:].cpu(), recipe.scale, generator,
                                            denoised=hr[photos:].cpu() if is_photo else None)
            lr = torch.cat([lr[:photos], odd_lr.to(lr)])
            hr = torch.cat([hr[:photos], odd_hr.to(hr)])
        return TrainingBatch(lr=lr.contiguous(memory_format=torch.channels_last), hr=hr, photos=photos,
                             stressed=stressed)


def validation_pair(recipe: Recipe, pair: TrainingPair, number: int) -> TrainingPair:
    """Degrade the LR of a validation pair as the recipe does; the same number always gets the same degradation."""
    if recipe.degradation != "photo":
        return pair
    hr = torch.from_numpy(pair.hr).permute(2, 0, 1).unsqueeze(0).float() / 255
    degradation = draw_degradation(1, torch.Generator().manual_seed(number))
    lr = degrade(hr, recipe.scale, degradation)[0].permute(1, 2, 0)
    return replace(pair, lr=(lr * 255).round().byte().numpy())
