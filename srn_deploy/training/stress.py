"""Stress patches: inputs on which an SRN trained only on photographs diverges.

The official checkpoint turns a one-pixel checkerboard into outputs of millions. For what no photograph contains the
right answer is a plain interpolation, so the target is the bicubic one.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

LARGEST_SIGMA = 80 / 255
"""Largest sigma of the Gaussian noise on photographs; above the sigma = 60/255 that a stable network must withstand."""


def stress_patches(photos: Tensor, scale: int, generator: torch.Generator,
                   denoised: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Make stress patches of random kinds, one for each photo; some contain a part of it.

    photos: LR float32 (N, 3, s, s) in 0..1, on the CPU. denoised: the HR of the photos, for a network that removes
    noise; it is the target where the stress is noise on a photo. Returns LR (N, 3, s, s) and HR
    (N, 3, scale*s, scale*s), which is the bicubic of LR otherwise; both in 0..1.
    """
    kinds = torch.randint(0, len(_KINDS), (len(photos),), generator=generator).tolist()
    lr = torch.stack([_KINDS[kind](photo, generator) for kind, photo in zip(kinds, photos, strict=True)])
    lr = (lr.clamp(0, 1) * 255).round() / 255
    hr = functional.interpolate(lr, scale_factor=scale, mode="bicubic", antialias=True).clamp(0, 1)
    if denoised is not None:
        noisy = torch.tensor([_KINDS[kind] is _noisy_photo for kind in kinds]).view(-1, 1, 1, 1)
        hr = torch.where(noisy, denoised, hr)
    return lr, hr


def _rand(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.rand(*shape, generator=generator)


def _two_colours(mask: Tensor, generator: torch.Generator) -> Tensor:
    """A mask (s, s) in two random colours, or in black and white with a probability of one third."""
    colours = _rand(generator, 2, 3, 1, 1)
    if _rand(generator, 1) < 1 / 3:
        colours = torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).expand_as(colours)
        mask = mask ^ bool(_rand(generator, 1) < 0.5)
    return torch.where(mask, colours[0], colours[1])


def _checkerboard(photo: Tensor, generator: torch.Generator) -> Tensor:
    """A checkerboard with fields of 1 to 3 pixels; sometimes stripes, sometimes only in a part of the photo."""
    side = photo.shape[-1]
    field_h, field_w = (int(v) for v in torch.randint(1, 4, (2,), generator=generator))
    if _rand(generator, 1) < 0.25:
        field_w = side
    row = (torch.arange(side) // field_h).view(-1, 1)
    col = (torch.arange(side) // field_w).view(1, -1)
    pattern = _two_colours((row + col) % 2 == 0, generator)
    return _sometimes_inset(pattern, photo, generator)


def _white_noise(photo: Tensor, generator: torch.Generator) -> Tensor:
    noise = _rand(generator, *photo.shape)
    if _rand(generator, 1) < 0.3:
        noise = noise[:1].expand_as(photo)
    return _sometimes_inset(noise, photo, generator)


def _binary_noise(photo: Tensor, generator: torch.Generator) -> Tensor:
    mask = _rand(generator, photo.shape[-2], photo.shape[-1]) < _rand(generator, 1)
    if _rand(generator, 1) < 0.3:
        return (_rand(generator, *photo.shape) < 0.5).float()
    return _sometimes_inset(_two_colours(mask, generator), photo, generator)


def _noisy_photo(photo: Tensor, generator: torch.Generator) -> Tensor:
    sigma = LARGEST_SIGMA * _rand(generator, 1)
    return photo + sigma * torch.randn(photo.shape, generator=generator)


def _sometimes_inset(pattern: Tensor, photo: Tensor, generator: torch.Generator) -> Tensor:
    """Half of the time the pattern fills only a rectangle of the photo, whose border is stress too."""
    if _rand(generator, 1) < 0.5:
        return pattern
    side = photo.shape[-1]
    top, left = (int(v) for v in torch.randint(0, side // 2, (2,), generator=generator))
    height, width = (int(v) for v in torch.randint(side // 4, side // 2 + 1, (2,), generator=generator))
    inset = photo.clone()
    inset[:, top:top + height, left:left + width] = pattern[:, top:top + height, left:left + width]
    return inset


_KINDS: tuple[Callable[[Tensor, torch.Generator], Tensor], ...] = (
    _checkerboard, _white_noise, _binary_noise, _noisy_photo)
