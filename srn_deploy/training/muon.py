"""Muon: momentum whose matrices are made orthogonal before each step (Jordan et al., 2024).

A chain of convolutions without residuals is badly conditioned: Adam follows the few directions in which the gradient
is large, while Muon gives all directions of a filter bank the same length. benchmarks/ablation.md shows what SRN gains
by it. PyTorch's own `torch.optim.Muon` takes only matrices, not convolutions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

QUINTIC = (3.4445, -4.7750, 2.0315)
"""Coefficients of the Newton-Schulz iteration, which brings singular values from 0..1 near 1 (Jordan et al., 2024)."""

NEWTON_SCHULZ_STEPS = 5

UPDATE_RMS = 0.2
"""Root mean square of a step in units of the learning rate, about that of Adam (Liu et al., 2025, equation 4)."""

ADAM_BETAS, ADAM_EPSILON = (0.9, 0.99), 1e-8


class Muon(torch.optim.Optimizer):
    """Muon for the weights of convolutions, seen as matrices (filters, everything else), and Adam for the rest."""

    def __init__(self, parameters: Iterable[nn.Parameter], *, lr: float, momentum: float = 0.95) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Take one step from the current gradients; a closure is not used."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    direction = (self._orthogonal if parameter.dim() == 4 else self._adam)(parameter, group)
                    parameter.add_(direction, alpha=-group["lr"])

    def _orthogonal(self, weight: nn.Parameter, group: dict[str, Any]) -> Tensor:
        """Nesterov momentum as an orthogonal matrix, in the shape of the weight."""
        gradient, state = weight.grad, self.state[weight]
        assert gradient is not None
        average = state.setdefault("average", torch.zeros_like(gradient))
        average.lerp_(gradient, 1 - group["momentum"])
        matrix = orthogonalised(gradient.lerp(average, group["momentum"]).flatten(1))
        direction: Tensor = (matrix * UPDATE_RMS * math.sqrt(max(matrix.shape))).reshape(weight.shape)
        return direction

    def _adam(self, bias: nn.Parameter, group: dict[str, Any]) -> Tensor:
        """Adam's direction (Kingma and Ba, 2015)."""
        gradient, state, (beta1, beta2) = bias.grad, self.state[bias], ADAM_BETAS
        assert gradient is not None
        average = state.setdefault("average", torch.zeros_like(gradient))
        square = state.setdefault("square", torch.zeros_like(gradient))
        state["step"] = step = state.get("step", 0) + 1
        average.lerp_(gradient, 1 - beta1)
        square.lerp_(gradient.square(), 1 - beta2)
        direction: Tensor = (average / (1 - beta1**step)) / ((square / (1 - beta2**step)).sqrt() + ADAM_EPSILON)
        return direction


def orthogonalised(matrix: Tensor) -> Tensor:
    """A new matrix near U V^T for a matrix U S V^T: its singular values are brought to about 0.7 to 1.2."""
    a, b, c = QUINTIC
    wide = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x: Tensor = wide / (wide.norm() + 1e-7)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if matrix.shape[0] > matrix.shape[1] else x
