"""What of the GPU report is done in the time that is left: most valuable first, whole or as far as it gets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from srn_deploy.benchmark.tables import markdown_table

RESERVE_S = 20.0
"""Kept back at the end, for what was found to be written."""


@dataclass(frozen=True, kw_only=True)
class PartCost:
    """What a part takes, before it was ever run here."""

    name: str
    estimate_s: float
    least_s: float | None = None
    """A part that keeps what it reached, and goes on from there, is begun with this much time left. None: it begins
    anew, so it is begun only where all of it fits."""


@dataclass(frozen=True, kw_only=True)
class PartHistory:
    """What earlier calls found out about a part."""

    ended: bool = False
    """It ran to its end, or failed: it is not run again."""
    spent_s: float = 0.0
    """In all calls together."""
    remaining_s: float | None = None
    """What it said is left of it, measured; None: it said nothing."""

    def needed_s(self, cost: PartCost) -> float:
        """Seconds to its end: measured where that is known, else estimated."""
        if self.remaining_s is not None:
            return max(self.remaining_s, cost.least_s or 0.0)
        if cost.least_s is not None:
            return max(cost.estimate_s - self.spent_s, cost.least_s)
        return max(cost.estimate_s, 1.5 * self.spent_s)  # it was cut off: it takes longer than what it has had


UNKNOWN = PartHistory()


@dataclass(frozen=True, kw_only=True)
class PlannedPart:
    """A part with the seconds it gets, or the reason why it gets none."""

    name: str
    needed_s: float
    seconds: float
    why_not: str = ""


def plan(costs: Iterable[PartCost], histories: Mapping[str, PartHistory], budget_s: float) -> list[PlannedPart]:
    """What becomes of each part in a budget of seconds; parts are given most valuable first, and stay in that order."""
    left, planned = budget_s - RESERVE_S, []
    for cost in costs:
        history = histories.get(cost.name, UNKNOWN)
        needed = history.needed_s(cost)
        if history.ended:
            planned.append(PlannedPart(name=cost.name, needed_s=0.0, seconds=0.0, why_not="done"))
        elif needed <= left or (cost.least_s is not None and cost.least_s <= left):
            planned.append(PlannedPart(name=cost.name, needed_s=needed, seconds=min(needed, left)))
            left -= min(needed, left)
        else:
            planned.append(PlannedPart(name=cost.name, needed_s=needed, seconds=0.0,
                                       why_not=f"needs {min(needed, cost.least_s or needed):.0f} s, and "
                                               f"{max(left, 0.0):.0f} s are left"))
    return planned


def plan_table(planned: Sequence[PlannedPart], histories: Mapping[str, PartHistory]) -> str:
    """The plan as a table, and whether its times were measured here."""
    rows = [("part", "seconds", "of", "known from")]
    for part in planned:
        history = histories.get(part.name, UNKNOWN)
        measured = history.ended or history.remaining_s is not None or history.spent_s > 0
        rows.append((part.name, f"{part.seconds:.0f}" if part.seconds else part.why_not, f"{part.needed_s:.0f}",
                     "an earlier call" if measured else "an estimate"))
    return markdown_table(rows)
