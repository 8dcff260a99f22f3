"""Tries what the keys of a checkpoint leave open: each setting enlarges one small image whose original is known."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srn_deploy.architectures.image_residual import ImageResidual, enlarged_image, with_image
from srn_deploy.architectures.signature import Architecture, StateDict
from srn_deploy.image.bicubic import resize
from srn_deploy.image.trial_image import SMALL_SIDE_PX, trial_pair
from srn_deploy.spec import ModelSpec, Scalar

MEMORY_BYTES = 64 << 20
"""For the activations of one network; a wide one gets a smaller window of the image."""

_FIRST_SIDE_PX = 32
"""All settings are compared on this window first, and the best of them again on the whole image."""

_FEW = 8
"""No more settings than this are compared on the whole image at once."""

_SHORTLIST, _WITHIN_DB = 16, 1.5

VALUE_RANGE = "value_range"
"""The name of what is chosen besides options."""

_PEAK = 255.0

_IMAGE = "image_residual"
"""The option whose values share one pass of the network: the enlarged input is added to its output."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One choice for everything that is open."""

    value_range: float
    options: Mapping[str, Scalar] = field(hash=False)
    """The open options of the network, and no others."""

    def __getitem__(self, name: str) -> Scalar:
        """The value of an option, or of VALUE_RANGE."""
        return self.value_range if name == VALUE_RANGE else self.options[name]

    @property
    def names(self) -> tuple[str, ...]:
        """What is chosen: the value range first."""
        return VALUE_RANGE, *self.options


@dataclass(frozen=True, kw_only=True)
class TrialScore:
    """How near a setting comes to the original."""

    setting: Setting
    psnr_db: float


@dataclass(frozen=True, kw_only=True)
class Trial:
    """What was measured."""

    bicubic_db: float
    """Of bicubic interpolation, on the same image."""
    tried: int
    """How many settings there were."""
    scores: tuple[TrialScore, ...]
    """Of those that were compared on the whole image, the best first: what is missing was clearly worse on a part."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Examined:
    """A network before its settings are known."""

    family: Architecture
    options: Mapping[str, Scalar]
    """All of them; the open ones are replaced by those of a setting."""
    state: StateDict
    """The weights in float32, under the family's own keys."""
    weights: str = ""
    """Which weights of their file they are, where it has several sets."""


@dataclass(frozen=True, kw_only=True)
class Choices:
    """The possible values of everything that is open."""

    value_ranges: tuple[float, ...]
    options: Mapping[str, tuple[Scalar, ...]] = field(hash=False)

    def settings(self) -> Iterator[Setting]:
        """Every combination, those that share a pass of the network next to each other."""
        names = sorted(self.options, key=lambda name: name == _IMAGE)
        for value_range in self.value_ranges:
            for values in itertools.product(*(self.options[name] for name in names)):
                yield Setting(value_range=value_range, options=dict(zip(names, values, strict=True)))


def try_choices(examined: Examined, choices: Choices, given: Mapping[str, Scalar]) -> Trial:
    """Enlarge the image with every setting and measure PSNR against the original.

    given: values that the user prefers to all others, by the names of options and VALUE_RANGE; the best settings with
    them are measured too, however bad. Takes about a second for a network of 0.4 million parameters and 128 settings,
    and at most MEMORY_BYTES.
    """
    examiner, settings = _Examiner(examined), list(choices.settings())
    whole, finalists = examiner.side_px, settings
    if len(settings) > _FEW and whole > _FIRST_SIDE_PX:
        first = _sorted(examiner.scores(settings, _FIRST_SIDE_PX))
        preferred = [score for score in first if all(score.setting[name] == given[name] for name in given)]
        kept = [score.setting for score in (*_shortlist(first), *_shortlist(preferred))]
        finalists = [setting for setting in settings if any(setting is one for one in kept)]
    return Trial(bicubic_db=examiner.bicubic_db(whole), tried=len(settings),
                 scores=tuple(_sorted(examiner.scores(finalists, whole))))


def _sorted(scores: Iterable[TrialScore]) -> list[TrialScore]:
    return sorted(scores, key=lambda score: -score.psnr_db)


def _shortlist(scores: list[TrialScore]) -> list[TrialScore]:
    """The best, and for everything that is open the best with another value."""
    best = scores[0]
    kept = [score for score in scores if score.psnr_db > best.psnr_db - _WITHIN_DB][:_SHORTLIST]
    for name in best.setting.names:
        rival = next((score for score in scores if score.setting[name] != best.setting[name]), None)
        if rival is not None and not any(rival is score for score in kept):
            kept.append(rival)
    return kept


class _Examiner:
    """One network whose weights are shared by all settings."""

    def __init__(self, examined: Examined) -> None:
        self._family, self._options, self._state = examined.family, examined.options, examined.state
        spec = examined.family.describe(examined.options)
        self._scale = spec.scale
        self._small, self._original = trial_pair(spec.scale)
        self.side_px = _side_px(spec)

    def bicubic_db(self, side: int) -> float:
        """PSNR of bicubic interpolation on a window of this side, in pixels of the small image."""
        small, original = self._window(side)
        return self._psnr(torch.from_numpy(resize(small, *original.shape[:2])), original)

    def scores(self, settings: Iterable[Setting], side: int) -> Iterator[TrialScore]:
        """Every setting's PSNR on a window of this side."""
        small, original = self._window(side)
        levels = torch.from_numpy(small.astype(np.float32)).permute(2, 0, 1).unsqueeze(0)
        for (value_range, body), sharing in itertools.groupby(settings, _body):
            output = self._enlarged(levels, value_range, dict(body))
            for setting in sharing:
                mode = ImageResidual(str(setting.options.get(_IMAGE, ImageResidual.NONE)))
                upscaled = with_image(output, levels, enlarged_image(self._scale, mode))[0].permute(1, 2, 0)
                yield TrialScore(setting=setting, psnr_db=self._psnr(upscaled, original))

    @torch.no_grad()
    def _enlarged(self, levels: Tensor, value_range: float, body: dict[str, Scalar]) -> Tensor:
        """Levels (1, 3, H, W) in 0..255 to levels (1, 3, scale*H, scale*W), without an image residual."""
        chosen = {**self._options, **body}
        if _IMAGE in chosen:
            chosen[_IMAGE] = ImageResidual.NONE
        network = self._family.build(chosen)
        network.load_state_dict(self._state, assign=True)  # all settings share one copy of the weights
        upscaled: Tensor = network.eval()(levels * (value_range / _PEAK))
        return torch.nan_to_num(upscaled * (_PEAK / value_range))

    def _window(self, side: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """The middle of the small image, and of the original."""
        start, scale = (SMALL_SIDE_PX - side) // 2, self._scale
        end = start + side
        return self._small[start:end, start:end], self._original[start * scale:end * scale, start * scale:end * scale]

    def _psnr(self, upscaled: Tensor, original: NDArray[np.uint8]) -> float:
        """In dB over all three colours, clipped; `scale` pixels on every side are not counted."""
        inner = slice(self._scale, -self._scale)
        error = (upscaled.clamp(0, _PEAK) - torch.from_numpy(original.astype(np.float32)))[inner, inner]
        return float(10 * torch.log10(_PEAK**2 / error.double().square().mean()))


def _body(setting: Setting) -> tuple[float, tuple[tuple[str, Scalar], ...]]:
    """What one pass of the network depends on."""
    return setting.value_range, tuple((name, value) for name, value in setting.options.items() if name != _IMAGE)


def _side_px(spec: ModelSpec) -> int:
    """The side of the window on which a network stays within MEMORY_BYTES, but at least its smallest side."""
    side = SMALL_SIDE_PX
    while side > max(16, spec.min_side_px) and spec.activation_bytes_per_px * side**2 > MEMORY_BYTES:
        side -= 8
    return side
