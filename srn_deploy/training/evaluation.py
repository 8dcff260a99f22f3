"""Validation of a network while it is being trained."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from srn_deploy.quality.metrics import psnr_y
from srn_deploy.training.data import TrainingPair


@torch.no_grad()
def validation_psnr_y(network: nn.Module, pairs: Sequence[TrainingPair], *, scale: int, value_range: float,
                      device: torch.device) -> float:
    """Mean PSNR on Y in dB over whole images, computed in float32 and counted as published tables count it.

    A border of `scale` pixels is left out. The network returns to the mode it was in.
    """
    was_training = network.training
    network.eval()
    scores = []
    for pair in pairs:
        lr = torch.from_numpy(pair.lr).to(device).permute(2, 0, 1).unsqueeze(0).float() * (value_range / 255.0)
        sr = network(lr)[0] * (255.0 / value_range)
        sr8 = sr.clamp(0, 255).round().byte().permute(1, 2, 0).cpu().numpy()
        scores.append(psnr_y(sr8, pair.hr, border_px=scale))
    network.train(was_training)
    return float(np.mean(scores))
