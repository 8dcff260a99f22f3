"""Pictures as cameras and the net leave them: blurred, shrunk by some kernel, noisy, compressed.

A network that was trained on bicubic LR alone takes noise and JPEG blocks for detail and sharpens them.
The `photo` recipes train on LR patches made here instead; strengths are moderate, and a share of the
patches stays as bicubic leaves them, so that clean pictures come out clean.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from srn_deploy.training.jpeg_codec import through_jpeg

CLEAN_SHARE = 0.15
"""Of the patches: plain bicubic, as in the other recipes."""

BLUR_SHARE, LARGEST_BLUR_LR_PX = 0.5, 0.6
"""How often, and the largest standard deviation of the Gaussian, in LR pixels."""

NOISE_SHARE, LARGEST_READ_NOISE, LARGEST_SHOT_GAIN = 0.6, 12 / 255, 0.005
"""How often; standard deviation of the constant part on 0..1; variance per brightness (0.07 of white at most)."""

GREY_NOISE_SHARE = 0.3
"""Of the noisy patches: the same noise in all colours."""

JPEG_SHARE, JPEG_QUALITY = 0.7, (40, 95)
"""How often, and the range of the quality; half of the patches with halved chroma."""

KERNEL_RADIUS_LR_PX = 2
"""Beyond three standard deviations nothing is left of the blur."""

RESIZERS = ("bicubic", "bilinear", "area")


@dataclass(frozen=True, kw_only=True)
class Damage:
    """What happens to each of N patches; drawn on the CPU, so that it is the same for every device."""

    clean: Tensor
    """bool (N,): nothing but a bicubic shrink."""
    blur: Tensor
    """(N, 3): standard deviations along both axes in LR pixels, 0 for none, and the angle in radians."""
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
    """(N,) of JPEG, 1..100."""
    halved_chroma: Tensor
    """bool (N,)."""


def draw_damage(count: int, generator: torch.Generator) -> Damage:
    """Random damage for `count` patches; a function of the generator's state alone."""
    def chance(share: float) -> Tensor:
        return torch.rand(count, generator=generator) < share

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(count, *shape, generator=generator)

    blurred, noisy = chance(BLUR_SHARE), chance(NOISE_SHARE)
    return Damage(
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


def degrade(hr: Tensor, scale: int, damage: Damage) -> Tensor:
    """HR float32 (N, 3, scale*h, scale*w) in 0..1 to LR (N, 3, h, w) of whole levels in 0..1, on hr's device."""
    shrunk = _levels(_shrunk(_blurred(hr, damage.blur.to(hr), scale), damage.resizer.to(hr.device), scale))
    noisy = _levels(_with_noise(shrunk, damage))
    compressed = through_jpeg(noisy, damage.quality.to(hr), damage.halved_chroma.to(hr.device))
    damaged = torch.where(_each(damage.compressed.to(hr.device)), compressed, noisy)
    plain = _levels(functional.interpolate(hr, scale_factor=1 / scale, mode="bicubic", antialias=True))
    return torch.where(_each(damage.clean.to(hr.device)), plain, damaged)


def _each(values: Tensor) -> Tensor:
    """(N,) so that it stands beside (N, 3, H, W)."""
    return values.view(-1, 1, 1, 1)


def _levels(batch: Tensor) -> Tensor:
    """What a file can hold: 256 levels in 0..1."""
    return (batch.clamp(0, 1) * 255).round() / 255


def _blurred(hr: Tensor, blur: Tensor, scale: int) -> Tensor:
    """Each patch under its own Gaussian; a deviation of 0 is no blur along that axis."""
    radius = KERNEL_RADIUS_LR_PX * scale
    offset = torch.arange(-radius, radius + 1, device=hr.device, dtype=hr.dtype)
    deviation = (blur[:, :2] * scale).clamp(min=0.1)  # 0.1 px: exp(-50) beside the centre, which is no blur
    along, across = blur[:, 2].cos().view(-1, 1, 1), blur[:, 2].sin().view(-1, 1, 1)
    y, x = offset.view(1, -1, 1), offset.view(1, 1, -1)
    u, v = (along * x + across * y) / deviation[:, :1, None], (along * y - across * x) / deviation[:, 1:, None]
    kernels = torch.exp(-(u * u + v * v) / 2)
    kernels = (kernels / kernels.sum(dim=(1, 2), keepdim=True)).repeat_interleave(hr.shape[1], dim=0)
    planes = functional.pad(hr, (radius,) * 4, mode="replicate").flatten(0, 1).unsqueeze(0)
    return functional.conv2d(planes, kernels.unsqueeze(1), groups=len(kernels)).view_as(hr)


def _shrunk(hr: Tensor, resizer: Tensor, scale: int) -> Tensor:
    """Each patch by its own kernel."""
    made = [functional.interpolate(hr, scale_factor=1 / scale, mode=mode, antialias=mode != "area")
            for mode in RESIZERS]
    return torch.stack(made)[resizer, torch.arange(len(hr), device=hr.device)]


def _with_noise(lr: Tensor, damage: Damage) -> Tensor:
    """Noise of a sensor: a constant part and one that grows with the brightness."""
    noise = torch.randn(lr.shape, device=lr.device,
                        generator=torch.Generator(lr.device).manual_seed(damage.noise_seed))
    noise = torch.where(_each(damage.grey_noise.to(lr.device)), noise[:, :1], noise)
    variance = _each(damage.read_noise.to(lr)) ** 2 + _each(damage.shot_gain.to(lr)) * lr
    return lr + noise * variance.sqrt()
