"""Equation 4 of the paper: the distance to the original, and the distance to the teacher's output."""

from __future__ import annotations

from torch import Tensor

from srn_deploy.training.recipe import Recipe

_LUMA = (0.299, 0.587, 0.114)
"""BT.601 as in `quality/metrics.py`, scaled so that grey keeps its value."""


def distance(kind: str, one: Tensor, other: Tensor) -> Tensor:
    """Mean absolute ("l1") or mean squared ("l2") difference of two batches; a scalar."""
    difference = one - other
    return difference.abs().mean() if kind == "l1" else difference.square().mean()


def luma(rgb: Tensor) -> Tensor:
    """Y (N, 1, H, W) of RGB (N, 3, H, W), in the same range."""
    return (rgb * rgb.new_tensor(_LUMA).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)


def stress_loss(recipe: Recipe, sr: Tensor, hr: Tensor) -> Tensor:
    """Mean of log(1 + distance) over stress patches that are trained on apart; a scalar.

    sr, hr: float32 (N, 3, H, W) in 0..1. What lies within the recipe's stress_margin has no distance: the network may
    keep what it does there. A patch whose values are millions pulls about as hard as one whose values are hundreds.
    """
    beyond = ((sr - hr).abs() - recipe.stress_margin).clamp(min=0)
    each = beyond if recipe.loss == "l1" else beyond.square()
    return each.mean(dim=(1, 2, 3)).log1p().mean()


def training_loss(recipe: Recipe, sr: Tensor, hr: Tensor, teacher_sr: Tensor | None) -> Tensor:
    """Equation 4: lambda_P times the distance of sr to hr, plus lambda_D times its distance to the teacher's output.

    sr, hr: float32 (N, 3, H, W) in 0..1. teacher_sr: the teacher's output for the first M of them, the photographs
    (M, 3, H, W); None without a teacher. Stress patches have only the first term, because their right answer is known
    and the teacher's may be wrong. Where the recipe has a luma_weight, the distance to hr is also counted on Y, by
    which eyes and published figures judge. Returns a scalar.
    """
    pixels = distance(recipe.loss, sr, hr)
    if recipe.luma_weight:
        pixels = pixels + recipe.luma_weight * distance(recipe.loss, luma(sr), luma(hr))
    loss = recipe.pixel_weight * pixels
    if teacher_sr is None:
        return loss
    return loss + recipe.distillation_weight * distance(recipe.loss, sr[:len(teacher_sr)], teacher_sr)
