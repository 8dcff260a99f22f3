"""PSNR and SSIM by the convention of published super-resolution tables.

The output is rounded to uint8 first, BT.601 Y is kept as float, and `scale` pixels are cropped on every side.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from srn_deploy.errors import OptionError
from srn_deploy.image.pillow_images import pixels_of
from srn_deploy.system.arguments import check_kind

Element = TypeVar("Element", bound=np.generic)

_Y_OF_RGB = np.array([65.481, 128.553, 24.966]) / 255.0
"""BT.601, studio range: Y = 16 + 65.481 R + 128.553 G + 24.966 B for RGB in 0..1."""

PEAK = 255.0

COLOUR_AXES = 3
PLANE_AXES = 2

SSIM_WINDOW_PX = 11
"""Side of the Gaussian window (Wang et al. 2004)."""


def luma(rgb_hwc: NDArray[np.generic]) -> NDArray[np.float64]:
    """BT.601 Y (H, W) in 16..235, float64, not rounded, from RGB (H, W, 3) in 0..255."""
    rgb = _numbers(rgb_hwc)
    if rgb.ndim != COLOUR_AXES or rgb.shape[2] != len(_Y_OF_RGB):
        raise OptionError(f"Luma is that of an RGB image (H, W, 3), not of {rgb.shape}.",
                          remedy="Give RGB with the channels last: of grey, numpy.stack([grey] * 3, axis=2).")
    return rgb @ _Y_OF_RGB + 16.0


def cropped(image: NDArray[Element], border_px: int) -> NDArray[Element]:
    """A view of an image (H, W, ...) without `border_px` pixels on every side.

    Raises OptionError when nothing would be left.
    """
    check_kind(border_px, (int, np.integer), "border_px", remedy="Give a number of pixels.")
    if not 0 <= 2 * border_px < min(image.shape[:2]):
        raise OptionError(f"{border_px} px cannot be cropped on every side of {image.shape[0]} x {image.shape[1]} px.",
                          remedy="Compare larger images, or crop less.")
    if border_px == 0:
        return image
    return image[border_px:-border_px, border_px:-border_px]


def psnr(first: NDArray[np.generic], second: NDArray[np.generic]) -> float:
    """Peak signal-to-noise ratio in dB of two arrays in 0..255; infinite when they are equal.

    Raises OptionError when their shapes differ, or one is not an array of finite numbers.
    """
    one, two = _compared(first, second)
    error = float(np.mean((one - two) ** 2))
    return float("inf") if error == 0 else float(10 * np.log10(PEAK**2 / error))


def psnr_y(sr_rgb: NDArray[np.generic], hr_rgb: NDArray[np.generic], *, border_px: int) -> float:
    """PSNR in dB on Y of two uint8 RGB images (H, W, 3), `border_px` cropped on every side."""
    return psnr(cropped(luma(sr_rgb), border_px), cropped(luma(hr_rgb), border_px))


def ssim(first: NDArray[np.generic], second: NDArray[np.generic]) -> float:
    """Structural similarity of two planes (H, W) in 0..255: 11x11 Gaussian, sigma 1.5 (Wang et al. 2004).

    Raises OptionError when their shapes differ, a side is below 11 px, or one is not a plane of finite numbers.
    """
    one, two = _compared(first, second)
    if one.ndim != PLANE_AXES:
        raise OptionError(f"SSIM compares planes (H, W), not {one.shape}.",
                          remedy="Give one channel of each, or use ssim_y for RGB images.")
    if min(one.shape) < SSIM_WINDOW_PX:
        raise OptionError(f"SSIM needs at least {SSIM_WINDOW_PX} px a side, not {one.shape[0]} x {one.shape[1]}.",
                          remedy="Compare larger images, or crop less.")
    c1, c2 = (0.01 * PEAK) ** 2, (0.03 * PEAK) ** 2
    mean_1, mean_2 = _blurred(one), _blurred(two)
    variance_1 = _blurred(one**2) - mean_1**2
    variance_2 = _blurred(two**2) - mean_2**2
    covariance = _blurred(one * two) - mean_1 * mean_2
    similarity = ((2 * mean_1 * mean_2 + c1) * (2 * covariance + c2)
                  / ((mean_1**2 + mean_2**2 + c1) * (variance_1 + variance_2 + c2)))
    return float(similarity.mean())


def ssim_y(sr_rgb: NDArray[np.generic], hr_rgb: NDArray[np.generic], *, border_px: int) -> float:
    """SSIM on Y of two uint8 RGB images (H, W, 3), `border_px` cropped on every side."""
    return ssim(cropped(luma(sr_rgb), border_px), cropped(luma(hr_rgb), border_px))


def _blurred(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """A Gaussian blur of (H, W) where the window fits: the result is 5 pixels smaller on every side."""
    offsets = np.arange(SSIM_WINDOW_PX) - SSIM_WINDOW_PX // 2
    kernel = np.exp(-(offsets**2) / (2 * 1.5**2))
    kernel /= kernel.sum()
    for axis in (0, 1):
        length = plane.shape[axis] - len(kernel) + 1
        plane = sum(weight * np.take(plane, np.arange(k, k + length), axis=axis)
                    for k, weight in enumerate(kernel))
    return plane


def _compared(first: NDArray[np.generic], second: NDArray[np.generic]) -> tuple[NDArray[np.float64],
                                                                                 NDArray[np.float64]]:
    """Both as float64; raises OptionError where they cannot be compared."""
    one, two = _numbers(first), _numbers(second)
    if one.shape != two.shape or not one.size:
        raise OptionError(f"Images of {one.shape} and {two.shape} cannot be compared.",
                          remedy="Compare images of the same size and number of channels.")
    return one, two


def _numbers(image: NDArray[np.generic]) -> NDArray[np.float64]:
    """A NumPy array or a Pillow image as float64; raises OptionError for other objects and for other than numbers."""
    pixels = pixels_of(image)
    if pixels.dtype.kind not in "uif":
        raise OptionError(f"An image of {pixels.dtype} cannot be measured.", remedy="Give numbers in 0..255.")
    return pixels.astype(np.float64)
