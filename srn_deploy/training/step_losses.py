"""What one step minimizes, and the gradients that follow from it.

An unstable network gives values of millions on a stress patch, and the gradient of their distance is a million times
that of a photograph: limited together, nothing of the photographs is left. A recipe can therefore train on its stress
patches apart: the logarithm of their distance, with a limit of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from srn_deploy.training.batches import TrainingBatch
from srn_deploy.training.losses import stress_loss, training_loss
from srn_deploy.training.recipe import Recipe

Upscale = Callable[[Tensor], Tensor]
"""LR float32 (N, 3, h, w) in 0..1 to float32 (N, 3, scale*h, scale*w), 0..1 but not clipped."""


def step_losses(recipe: Recipe, network: nn.Module, batch: TrainingBatch, teacher: Upscale | None) -> list[Tensor]:
    """The losses of a batch, scalars whose gradients are limited one by one; at least one.

    network: takes and gives the recipe's value range.
    """
    def upscaled(lr: Tensor) -> Tensor:
        sr: Tensor = network(lr * recipe.value_range)
        return sr.float() / recipe.value_range

    batch, losses = hardest(batch, upscaled), []
    together = batch.photos if recipe.stress_apart else len(batch.lr)
    if together:
        teacher_sr = teacher(batch.lr[:batch.photos]) if teacher and batch.photos else None
        losses.append(training_loss(recipe, upscaled(batch.lr[:together]), batch.hr[:together], teacher_sr))
    if together < len(batch.lr):
        losses.append(stress_loss(recipe, upscaled(batch.lr[together:]), batch.hr[together:]))
    return losses


@torch.no_grad()
def hardest(batch: TrainingBatch, upscaled: Upscale) -> TrainingBatch:
    """The photographs, and of the stress patches those that are trained on: whose output leaves 0..1 furthest."""
    if len(batch.lr) == batch.photos + batch.stressed:
        return batch
    sr = upscaled(batch.lr[batch.photos:])
    beyond = torch.maximum(-sr, sr - 1).amax(dim=(1, 2, 3)).nan_to_num(nan=math.inf, posinf=math.inf)
    photos = torch.arange(batch.photos, device=sr.device)
    kept = torch.cat([photos, batch.photos + beyond.topk(batch.stressed).indices])
    return replace(batch, lr=batch.lr[kept].contiguous(memory_format=torch.channels_last), hr=batch.hr[kept])


def set_gradients(network: nn.Module, losses: Sequence[Tensor], largest_norm: float) -> None:
    """Give every parameter the sum of the gradients of the losses, each limited to a norm over all parameters."""
    parameters = list(network.parameters())
    summed: list[Tensor | None] = [None] * len(parameters)
    for loss in losses:
        network.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(parameters, largest_norm)
        summed = [_sum(before, parameter.grad) for before, parameter in zip(summed, parameters, strict=True)]
    for parameter, gradient in zip(parameters, summed, strict=True):
        parameter.grad = gradient


def _sum(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    """None is the gradient of what takes no part."""
    if one is None or other is None:
        return other if one is None else one
    return one + other
