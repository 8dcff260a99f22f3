"""The range of values a network was trained in: each candidate enlarges the trial image, whose original is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from srn_deploy.errors import OptionError
from srn_deploy.image.bicubic import resize
from srn_deploy.image.trial_image import LEAST_GAIN_DB, LEAST_MARGIN_DB, trial_pair
from srn_deploy.measurement.sizes import Run
from srn_deploy.quality.metrics import PEAK, cropped, luma, psnr

CANDIDATES = (1.0, 255.0)

_Levels = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class RangeFound:
    """The range with which a network comes nearest to the original of the trial image."""

    value_range: float
    psnr_db: float
    """Against the original, over all channels; infinite where they are equal."""
    other_db: float
    """Of the best other candidate; -inf where there is none."""
    bicubic_db: float
    """Of bicubic interpolation, on the same image."""

    @property
    def super_resolves(self) -> bool:
        """Whether it beats bicubic interpolation by LEAST_GAIN_DB: otherwise the range may be any."""
        return self.psnr_db >= self.bicubic_db + LEAST_GAIN_DB

    @property
    def in_doubt(self) -> bool:
        """Whether another candidate is as good: so it is where a network has no biases."""
        return self.psnr_db < self.other_db + LEAST_MARGIN_DB

    @property
    def in_words(self) -> str:
        """As in "value range 1 (by trying: 24.3 dB against 8.2)"."""
        doubt = ", in doubt" if self.in_doubt else ""
        against = "" if self.other_db == -np.inf else f" against {self.other_db:.1f}"
        return f"value range {self.value_range:g} (by trying: {self.psnr_db:.1f} dB{against}{doubt})"


def find_range(run: Run, scale: int, channels: int = 3, candidates: Sequence[float] = CANDIDATES) -> RangeFound:
    """Enlarge the trial image, 64 x 64 pixels, with every candidate, and take the best.

    run: takes that size (see `sizes.taking_any_size`). channels: 3 for RGB, 1 for luma. Of equal candidates the
    first is taken. At scale 1 nothing super-resolves: the image is its own original. Raises OptionError for other
    channels and for no candidate, and BackendError of the run.
    """
    if channels not in (1, 3) or not candidates:
        raise OptionError(f"A value range cannot be found for {channels} channels of {len(candidates)} candidates.",
                          remedy="Give a network that takes RGB or luma, and at least one candidate.")
    small, original = (_channels(image, channels) for image in trial_pair(scale))
    scores = [(_score(run, scale, small, original, candidate), candidate) for candidate in candidates]
    (best_db, value_range), *others = sorted(scores, key=lambda score: -score[0])
    return RangeFound(value_range=value_range, psnr_db=best_db, other_db=others[0][0] if others else -np.inf,
                      bicubic_db=_psnr(resize(small, *original.shape[:2]), original, scale))


def _channels(image_hwc: NDArray[np.uint8], channels: int) -> _Levels:
    """Levels (H, W, C): all three, or luma alone."""
    return image_hwc.astype(np.float64) if channels == image_hwc.shape[2] else luma(image_hwc)[..., None]


def _score(run: Run, scale: int, small: _Levels, original: _Levels, value_range: float) -> float:
    """PSNR in dB of one candidate."""
    image = (small * (value_range / PEAK)).astype(np.float32).transpose(2, 0, 1)[None]
    result = run(np.ascontiguousarray(image))[0].transpose(1, 2, 0).astype(np.float64)
    return _psnr(np.nan_to_num(result * (PEAK / value_range)), original, scale)


def _psnr(upscaled: _Levels, original: _Levels, scale: int) -> float:
    """In dB over all channels, clipped, without `scale` pixels on every side."""
    return psnr(cropped(np.clip(upscaled, 0, PEAK), scale), cropped(original, scale))
