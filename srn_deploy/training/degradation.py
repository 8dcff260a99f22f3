"""LR patches as cameras and the web deliver them: blurred, downscaled with some kernel, noisy, compressed.

A network trained on bicubic LR alone mistakes noise and JPEG blocks for detail and sharpens them. The `photo` recipes
train on LR patches made here instead. Strengths are moderate, and a share of the patches is only downscaled by
bicubic, so that clean images stay clean.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from srn_deploy.training.jpeg_codec import through_jpeg

CLEAN_SHARE = 0.15
"""Share of the patches that are plain bicubic, as in the other recipes."""

BLUR_SHARE, LARGEST_BLUR_LR_PX = 0.5, 0.6
"""Share of the patches, and the largest standard deviation of the Gaussian in LR pixels."""

NOISE_SHARE, LARGEST_READ_NOISE, LARGEST_SHOT_GAIN = 0.6, 12 / 255, 0.005
"""Share of the patches; standard deviation of the constant part, in 0..1; variance per brightness.

At white the brightness-dependent part has a standard deviation of at most 0.07.
"""

GREY_NOISE_SHARE = 0.3
"""Share of the noisy patches that have the same noise in all colours."""

JPEG_SHARE, JPEG_QUALITY = 0.7, (40, 95)
"""Share of the patches, and the range of the quality; half of the patches have halved chroma."""

KERNEL_RADIUS_LR_PX = 2
"""More than three standard deviations of the widest blur."""

RESIZERS = ("bicubic", "bilinear", "area")


@dataclass(frozen=True, kw_only=True)
class Degradation:
    """The random degradation of N patches; drawn on the CPU, so that it is the same for every device."""

    clean: Tensor
    """bool (N,): downscaled by bicubic, and nothing else."""
    blur: Tensor
    """(N, 3): standard deviations along both axes of the Gaussian in LR pixels (0: none), and its angle in radians."""
    resizer: Tensor
    """(N,): index into RESIZERS."""
    read_noise: Tensor
    shot_gain: Tensor
    """(N,) each: the variance of the noise at brightness x is read_noise squared plus shot_gain times x."""
    grey_noise: Tensor
    """bool (N,)."""
    noise_seed: int
    compressed: Tensor
    """bool (N,)."""
    quality: Tensor
    """(N,): JPEG quality, 1..100."""
    halved_chroma: Tensor
    """bool (N,)."""


def draw_degradation(count: int, generator: torch.Generator) -> Degradation:
    """Draw a random degradation for each of `count` patches; a function of the generator's state alone."""
    def chance(share: float) -> Tensor:
        return torch.rand(count, generator=generator) < share

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(count, *shape, generator=generator)

    blurred, noisy = chance(BLUR_SHARE), chance(NOISE_SHARE)
    return Degradation(
        clean=chance(CLEAN_SHARE),
        blur=torch.cat([uniform(0, LARGEST_BLUR_LR_PX, 2) * blurred.view(-1, 1), uniform(0, torch.pi, 1)], dim=1),
        resizer=torch.randint(0, len(RESIZERS), (count,), generator=generator),
        read_noise=uniform(0, LARGEST_READ_NOISE) * noisy,
        shot_gain=uniform(0, LARGEST_SHOT_GAIN) * noisy,
        grey_noise=chance(GREY_NOISE_SHARE),
        noise_seed=int(torch.randint(0, 2**62, (1,), generator=generator)),
        compressed=chance(JPEG_SHARE),
        quality=uniform(*JPEG_QUALITY).round(),
        halved_chroma=chance(0.5),
    )


def degrade(hr: Tensor, scale: int, degradation: Degradation) -> Tensor:
    """Make degraded LR patches from HR patches.

    hr: float32 (N, 3, scale*h, scale*w) in 0..1. Returns a new float32 tensor (N, 3, h, w) in 0..1 on the device of
    hr, whose values are multiples of 1/255.
    """
    shrunk = _levels(_shrunk(_blurred(hr, degradation.blur.to(hr), scale), degradation.resizer.to(hr.device), scale))
    noisy = _levels(_with_noise(shrunk, degradation))
    compressed = through_jpeg(noisy, degradation.quality.to(hr), degradation.halved_chroma.to(hr.device))
    degraded = torch.where(_each(degradation.compressed.to(hr.device)), compressed, noisy)
    plain = _levels(functional.interpolate(hr, scale_factor=1 / scale, mode="bicubic", antialias=True))
    return torch.where(_each(degradation.clean.to(hr.device)), plain, degraded)


def _each(values: Tensor) -> Tensor:
    """(N,) to (N, 1, 1, 1), to be broadcast over (N, 3, H, W)."""
    return values.view(-1, 1, 1, 1)


def _levels(batch: Tensor) -> Tensor:
    """Round to the 256 levels in 0..1 that a file can hold."""
    return (batch.clamp(0, 1) * 255).round() / 255


def _blurred(hr: Tensor, blur: Tensor, scale: int) -> Tensor:
    """Blur each patch with its own Gaussian; a deviation of 0 does not blur along that axis."""
    radius = KERNEL_RADIUS_LR_PX * scale
    offset = torch.arange(-radius, radius + 1, device=hr.device, dtype=hr.dtype)
    deviation = (blur[:, :2] * scale).clamp(min=0.1)  # 0.1 px: exp(-50) next to the centre, which does not blur
    along, across = blur[:, 2].cos().view(-1, 1, 1), blur[:, 2].sin().view(-1, 1, 1)
    y, x = offset.view(1, -1, 1), offset.view(1, 1, -1)
    u, v = (along * x + across * y) / deviation[:, :1, None], (along * y - across * x) / deviation[:, 1:, None]
    kernels = torch.exp(-(u * u + v * v) / 2)
    kernels = (kernels / kernels.sum(dim=(1, 2), keepdim=True)).repeat_interleave(hr.shape[1], dim=0)
    planes = functional.pad(hr, (radius,) * 4, mode="replicate").flatten(0, 1).unsqueeze(0)
    return functional.conv2d(planes, kernels.unsqueeze(1), groups=len(kernels)).view_as(hr)


def _shrunk(hr: Tensor, resizer: Tensor, scale: int) -> Tensor:
    """Downscale each patch with its own kernel."""
    made = [functional.interpolate(hr, scale_factor=1 / scale, mode=mode, antialias=mode != "area")
            for mode in RESIZERS]
    return torch.stack(made)[resizer, torch.arange(len(hr), device=hr.device)]


def _with_noise(lr: Tensor, degradation: Degradation) -> Tensor:
    """Add the noise of a sensor: a constant part, and one that grows with the brightness."""
    noise = torch.randn(lr.shape, device=lr.device,
                        generator=torch.Generator(lr.device).manual_seed(degradation.noise_seed))
    noise = torch.where(_each(degradation.grey_noise.to(lr.device)), noise[:, :1], noise)
    variance = _each(degradation.read_noise.to(lr)) ** 2 + _each(degradation.shot_gain.to(lr)) * lr
    return lr + noise * variance.sqrt()
