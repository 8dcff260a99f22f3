"""Equation 4 of the paper: the distance to the original, and the distance to what the teacher makes of it."""

from __future__ import annotations

from torch import Tensor

from srn_deploy.training.recipe import Recipe

_LUMA = (0.299, 0.587, 0.114)
"""BT.601, as `metrics.luma` has it, scaled so that grey keeps its value."""


def distance(kind: str, one: Tensor, other: Tensor) -> Tensor:
    """Mean absolute ("l1") or mean squared ("l2") difference of two batches; a scalar."""
    difference = one - other
    return difference.abs().mean() if kind == "l1" else difference.square().mean()


def luma(rgb: Tensor) -> Tensor:
    """Y (N, 1, H, W) of RGB (N, 3, H, W), on the same range."""
    return (rgb * rgb.new_tensor(_LUMA).view(1, 3, 1, 1)).sum(dim=1, keepdim=True)


def training_loss(recipe: Recipe, sr: Tensor, hr: Tensor, taught: Tensor | None) -> Tensor:
    """lambda_P times the distance to hr, plus lambda_D times the distance to the teacher's output, if there is one.

    With a luma_weight the distance to hr counts on Y as well, which eyes and the published figures go by.

    sr, hr: float32 (N, 3, H, W) on 0..1. taught: the teacher's output for the first of them, the photographs; stress
    patches, for which the right answer is known and the teacher's is not, have the first term alone.
    """
    pixels = distance(recipe.loss, sr, hr)
    if recipe.luma_weight:
        pixels = pixels + recipe.luma_weight * distance(recipe.loss, luma(sr), luma(hr))
    loss = recipe.pixel_weight * pixels
    if taught is None:
        return loss
    return loss + recipe.distillation_weight * distance(recipe.loss, sr[:len(taught)], taught)
