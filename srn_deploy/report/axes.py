"""Ticks of axes, and how numbers are written."""

from __future__ import annotations

import math

from srn_deploy.errors import OptionError

MOST_TICKS = 6

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


def linear_ticks(low: float, high: float) -> list[float]:
    """Round values whose first is at most `low` and whose last is at least `high`; at least two.

    Raises OptionError unless both are finite and low <= high.
    """
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise OptionError(f"There is no axis from {low} to {high}.", remedy="Give finite values in their order.")
    if low == high:
        low, high = (low - abs(low) / 2, high + abs(high) / 2) if low else (0.0, 1.0)
    rough = (high - low) / (MOST_TICKS - 1)
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(one * magnitude for one in _STEPS if one * magnitude >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten from at most `low` to at least `high`; fewer where there are many decades.

    Raises OptionError unless 0 < low <= high, both finite.
    """
    if not (0 < low <= high < math.inf):
        raise OptionError(f"There is no logarithmic axis from {low} to {high}.", remedy="Give values above 0.")
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    digits = (1, 2, 5) if len(decades) <= 4 else (1,)
    ticks = [digit * 10.0**decade for decade in decades for digit in digits]
    first = max((place for place, tick in enumerate(ticks) if tick <= low * (1 + 1e-9)), default=0)
    last = next((place for place, tick in enumerate(ticks) if tick >= high * (1 - 1e-9)), len(ticks) - 1)
    return ticks[first:last + 1]


def in_digits(value: float) -> str:
    """Four significant digits, with commas between thousands: 12,345 / 617.4 / 0.01234."""
    if value == 0:
        return "0"
    decimals = 3 - math.floor(math.log10(abs(value)))
    return f"{value:,.{max(decimals, 0)}f}" if decimals < 8 else f"{value:.3g}"


def tick_label(value: float, step: float) -> str:
    """As many decimals as the step needs."""
    decimals = max(0, -math.floor(math.log10(abs(step)) + 1e-9) + (f"{step:e}"[:3] == "2.5"))
    return f"{0.0 if abs(value) < abs(step) / 2 else value:,.{decimals}f}"
