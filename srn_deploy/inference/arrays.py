"""Images in memory: grey, RGB or RGBA, upscaled under the guard, one or several at once.

A network sees RGB alone. Here, and nowhere else, grey becomes equal RGB and RGB becomes grey again.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from srn_deploy.backends.protocol import Backend
from srn_deploy.errors import OptionError, UnsuitableBatch
from srn_deploy.image.alpha import fill_hidden_colour, flatten_plain_alpha
from srn_deploy.inference.guard import Guard, inspect
from srn_deploy.inference.repair import GuardFindings, findings_of, repair
from srn_deploy.inference.setup import Setup
from srn_deploy.inference.stages import Sentences
from srn_deploy.inference.upscale import all_channels, upscale_alike, upscale_rgb
from srn_deploy.tiling.rows import Rows
from srn_deploy.tiling.tiles import PixelArray

GREY_OF_RGB = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""BT.601 full-range luma, for images that came in grey."""

FURTHEST_OUTSIDE = 0.5
"""Beyond 0..1: resampling and sharpening overshoot by less; levels of 0..255 or -1..1 lie further away."""

_GREY_ROWS = 64
"""Rows that are turned grey at once: bounds the memory."""


def colour_and_alpha(image: PixelArray) -> tuple[PixelArray, PixelArray | None]:
    """An image (H, W), (H, W, 1), (H, W, 3) or (H, W, 4) as colour (H, W, 1 or 3) and alpha (H, W, 1) or None.

    Raises UnsuitableBatch for other shapes, OptionError for float pixels of another range than 0..1.
    """
    shaped = image[..., None] if image.ndim == 2 else image
    if shaped.ndim != 3 or shaped.shape[2] not in (1, 3, 4) or 0 in shaped.shape:
        raise UnsuitableBatch(f"An image has shape (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), not {image.shape}.",
                              remedy="Give one image with its channels last.")
    _check_levels(shaped)
    return shaped[..., :3], shaped[..., 3:] if shaped.shape[2] == 4 else None


def like_input(image: PixelArray, colour: PixelArray, alpha: PixelArray | None) -> PixelArray:
    """Colour and alpha as one array with the dimensions and channels of `image`."""
    if alpha is not None:
        colour = np.concatenate([colour, alpha], axis=2)
    return colour[..., 0] if image.ndim == 2 else colour


def _check_levels(image: PixelArray) -> None:
    """Refuse float pixels that are plainly of another range, such as 0..255; what a filter overshoots is not."""
    if image.dtype == np.float32 and (image.min() < -FURTHEST_OUTSIDE or image.max() > 1 + FURTHEST_OUTSIDE):
        raise OptionError(f"Pixels of float32 lie in 0..1, and these in {image.min():g}..{image.max():g}.",
                          remedy="Divide them by their largest possible value, such as 255.")


def upscale_colour_and_alpha(colour: PixelArray, alpha: PixelArray | None,
                             setup: Setup) -> tuple[PixelArray, PixelArray | None, Sentences]:
    """Upscale colour (H, W, 1 or 3) and alpha (H, W, 1) separately and report what the guard found.

    Hidden colour does not bleed into the visible edge: it is replaced by that of visible pixels nearby. Alpha runs
    as a grey image and stays exactly opaque or transparent away from its edges; where it is the same everywhere, the
    network does not run on it.
    """
    if alpha is not None:
        colour = fill_hidden_colour(colour, alpha)
    large, in_colour = upscale_guarded(colour, setup)
    found = {"image": in_colour}
    large_alpha = None
    if alpha is not None and (alpha == alpha.flat[0]).all():
        large_alpha = np.full((*large.shape[:2], 1), alpha.flat[0])
    elif alpha is not None:
        large_alpha, found["transparency"] = upscale_guarded(alpha, setup)
        flatten_plain_alpha(alpha, large_alpha, large.shape[0] // colour.shape[0])
    return large, large_alpha, tuple(filter(None, (findings.sentence(what) for what, findings in found.items())))


def upscale_guarded(image_hwc: PixelArray, setup: Setup) -> tuple[PixelArray, GuardFindings]:
    """Upscale (H, W, 1 or 3), compare the result with its input, and repair broken blocks if the guard says so.

    Pixels of more than 8 bits run on the FP32 fallback where the backend would reduce them. Outside the repair and
    its soft edge every pixel stays what the network gave. Grey is inspected as the RGB that the network made of it,
    because much of what breaks shows in its colour; without a guard that RGB is never held whole.
    """
    backend, rgb = setup.backend_for(image_hwc.dtype), _as_rgb(image_hwc)
    finish = grey_of if image_hwc.shape[2] == 1 and setup.guard is Guard.OFF else all_channels
    return _inspected(image_hwc, upscale_rgb(rgb, backend, setup.tiles, setup.on_tile, finish), backend, setup)


def upscale_guarded_alike(images_hwc: Sequence[PixelArray], setup: Setup) -> list[tuple[PixelArray, GuardFindings]]:
    """As `upscale_guarded` each, for images of one shape and dtype, run in one batch; see `upscale_alike`."""
    backend = setup.backend_for(images_hwc[0].dtype)
    finish = grey_of if images_hwc[0].shape[2] == 1 and setup.guard is Guard.OFF else all_channels
    upscaled = upscale_alike(list(map(_as_rgb, images_hwc)), backend, setup.tiles, finish)
    for _ in images_hwc:
        setup.on_tile(1, 1)
    return [_inspected(image, large, backend, setup) for image, large in zip(images_hwc, upscaled, strict=True)]


def _as_rgb(image_hwc: PixelArray) -> PixelArray:
    return np.broadcast_to(image_hwc, (*image_hwc.shape[:2], 3))


def _inspected(image_hwc: PixelArray, upscaled: PixelArray, backend: Backend,
               setup: Setup) -> tuple[PixelArray, GuardFindings]:
    """What the guard makes of an upscaled image, in the channels of the image, and what it finds."""
    if setup.guard is Guard.OFF:
        return upscaled, GuardFindings()
    findings = _guarded(_as_rgb(image_hwc), upscaled, backend, setup)
    return (grey_of(upscaled) if image_hwc.shape[2] == 1 else upscaled), findings


def _guarded(rgb: PixelArray, upscaled: PixelArray, backend: Backend, setup: Setup) -> GuardFindings:
    """What the guard finds; it repairs `upscaled` in place."""
    verdict, left = inspect(rgb, upscaled, backend.spec.scale), None
    setup.on_verdict(verdict)
    if setup.guard is Guard.REPAIR and verdict.broken.any():
        left = repair(Rows(rgb), Rows(upscaled), verdict, backend, setup)
    return findings_of(verdict, backend.spec.scale, left)


def grey_of(rgb: PixelArray) -> PixelArray:
    """(H, W, 3) as grey (H, W, 1) of the same dtype, rounded for integers.

    Each pixel by itself, so that a window of an image gives what the whole image gives: a matrix product would round
    by its shape.
    """
    grey = np.empty((*rgb.shape[:2], 1), rgb.dtype)
    for row in range(0, len(rgb), _GREY_ROWS):
        red, green, blue = (rgb[row:row + _GREY_ROWS, :, channel] * GREY_OF_RGB[channel] for channel in range(3))
        levels = red + green + blue
        grey[row:row + _GREY_ROWS, :, 0] = np.rint(levels) if np.issubdtype(rgb.dtype, np.integer) else levels
    return grey
