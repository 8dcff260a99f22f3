"""What one step trains on: photographs, damaged if the recipe says so, and its share of stress patches."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from srn_deploy.training.data import Pair, PatchBank
from srn_deploy.training.degradation import degrade, draw_damage
from srn_deploy.training.recipe import Degradation, Recipe
from srn_deploy.training.stress import stress_patches


@dataclass(frozen=True, kw_only=True)
class TrainingBatch:
    """float32 in 0..1, fresh: lr (N, 3, s, s) channels last, hr (N, 3, scale*s, scale*s)."""

    lr: Tensor
    hr: Tensor
    photos: int
    """The first so many are photographs, the rest stress patches."""


class Batches:
    """The batches of a recipe by step."""

    def __init__(self, recipe: Recipe, bank: PatchBank) -> None:
        self._recipe, self._bank = recipe, bank

    def batch(self, step: int) -> TrainingBatch:
        """The batch of a step: a function of recipe, pictures and step alone, so a resumed run sees the same."""
        recipe = self._recipe
        generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + step)
        lr, hr = self._bank.batch(recipe.batch, generator, candidates=recipe.candidates)
        is_photo = recipe.degradation == Degradation.PHOTO
        if is_photo:
            lr = degrade(hr, recipe.scale, draw_damage(recipe.batch, generator))
        stressed = recipe.stress_patches(step)
        if stressed:
            odd_lr, odd_hr = stress_patches(lr[-stressed:].cpu(), recipe.scale, generator,
                                            denoised=hr[-stressed:].cpu() if is_photo else None)
            lr = torch.cat([lr[:-stressed], odd_lr.to(lr)])
            hr = torch.cat([hr[:-stressed], odd_hr.to(hr)])
        return TrainingBatch(lr=lr.contiguous(memory_format=torch.channels_last), hr=hr, photos=len(lr) - stressed)


def degraded(recipe: Recipe, pair: Pair, number: int) -> Pair:
    """A validation pair as the recipe's network will meet it: always the same damage for the same number."""
    if recipe.degradation != Degradation.PHOTO:
        return pair
    hr = torch.from_numpy(pair.hr).permute(2, 0, 1).unsqueeze(0).float() / 255
    damage = draw_damage(1, torch.Generator().manual_seed(number))
    lr = degrade(hr, recipe.scale, damage)[0].permute(1, 2, 0)
    return replace(pair, lr=(lr * 255).round().byte().numpy())
