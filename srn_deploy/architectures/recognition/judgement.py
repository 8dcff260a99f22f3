"""What a trial says about a network: which settings are found, which stay in doubt, and whether it super-resolves."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from srn_deploy.architectures.recognition.trial import VALUE_RANGE, Setting, Trial, TrialScore
from srn_deploy.image.trial_image import LEAST_GAIN_DB, LEAST_MARGIN_DB
from srn_deploy.spec import Scalar


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """The setting to be used, and why."""

    chosen: Setting
    super_resolves: bool
    """Whether the best of the settings that the user leaves possible beats bicubic interpolation by LEAST_GAIN_DB."""
    found: str = ""
    """What was measured, as in "value range 1 (by trying: 24.3 dB against 8.2), negative_slope 0.1 (against 23.9)"."""
    doubts: tuple[str, ...] = ()
    """A sentence for each option whose values cannot be told apart."""
    contradiction: str = ""
    """A sentence where another setting than what is given super-resolves and is better by the margin."""


def judged(trial: Trial, default: Setting, given: Mapping[str, Scalar]) -> Judgement:
    """Decide between the settings of a trial.

    given: what the user or the file says, by the names of options and VALUE_RANGE; it holds whatever was measured.
    default: the published setting, with what is given.
    """
    possible = [score for score in trial.scores if _is_as_given(score.setting, given)]
    contradiction = _contradiction(trial, possible[0], given)
    if possible[0].psnr_db < trial.bicubic_db + LEAST_GAIN_DB:
        return Judgement(chosen=default, super_resolves=False, contradiction=contradiction)
    equal = [score for score in possible if score.psnr_db > possible[0].psnr_db - LEAST_MARGIN_DB]
    chosen = max(equal, key=lambda score: _agreement(score.setting, default))
    doubtful = [name for name in chosen.setting.names if name not in given
                and any(score.setting[name] != chosen.setting[name] for score in equal)]
    rivals = {name: rival for name in chosen.setting.names if name not in given
              and (rival := next((one for one in possible if one.setting[name] != chosen.setting[name]), None))}
    return Judgement(chosen=chosen.setting, super_resolves=True, found=_found(chosen, rivals, doubtful),
                     doubts=tuple(_doubt(name, chosen, rivals[name]) for name in doubtful),
                     contradiction=contradiction)


def shown(name: str, setting: Setting) -> str:
    """A choice in words, as in "value range 1" and "inner_residual true"."""
    return f"{title(name)} {in_words(setting[name])}"


def in_words(value: Scalar) -> str:
    """A value as the user writes it."""
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


def as_option(name: str, setting: Setting) -> str:
    """How the user says a choice: --value-range 1, --set negative_slope=0.1."""
    value = in_words(setting[name])
    return f"--value-range {value}" if name == VALUE_RANGE else f"--set {name}={value}"


def title(name: str) -> str:
    """The name of what is chosen in a sentence."""
    return name.replace("_", " ") if name == VALUE_RANGE else name


def _is_as_given(setting: Setting, given: Mapping[str, Scalar]) -> bool:
    return all(setting[name] == value for name, value in given.items())


def _agreement(setting: Setting, default: Setting) -> int:
    return sum(setting[name] == default[name] for name in default.names)


def _found(chosen: TrialScore, rivals: Mapping[str, TrialScore], doubtful: Collection[str]) -> str:
    """rivals: for each open name the best score with another value."""
    parts: list[str] = []
    for name, rival in rivals.items():
        words = "by default, in doubt" if name in doubtful else f"against {rival.psnr_db:.1f}" if parts else \
            f"by trying: {chosen.psnr_db:.1f} dB against {rival.psnr_db:.1f}"
        parts.append(f"{shown(name, chosen.setting)} ({words})")
    return ", ".join(parts)


def _doubt(name: str, chosen: TrialScore, rival: TrialScore) -> str:
    return (f"{shown(name, chosen.setting)} is in doubt: on the trial image it gives {chosen.psnr_db:.2f} dB, and "
            f"{shown(name, rival.setting)} {rival.psnr_db:.2f} dB; if that is right, give "
            f"{as_option(name, rival.setting)}")


def _contradiction(trial: Trial, as_given: TrialScore, given: Mapping[str, Scalar]) -> str:
    best = trial.scores[0]
    if (best.psnr_db < trial.bicubic_db + LEAST_GAIN_DB or best.psnr_db < as_given.psnr_db + LEAST_MARGIN_DB
            or _is_as_given(best.setting, given)):
        return ""
    return (f"{_listed(as_given.setting, _differing(given, best))} gives {as_given.psnr_db:.1f} dB on the trial image, "
            f"{_listed(best.setting, _differing(given, best))} {best.psnr_db:.1f} dB")


def _differing(given: Mapping[str, Scalar], best: TrialScore) -> Iterator[str]:
    return (name for name in best.setting.names if name in given and best.setting[name] != given[name])


def _listed(setting: Setting, names: Iterator[str]) -> str:
    return ", ".join(shown(name, setting) for name in names)
