"""What the doctor says: one finding for each thing it looked at, and whether a device works."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class State(StrEnum):
    """How it stands with one thing."""

    OK = "ok"
    OPTIONAL = "optional"
    """Not there, and only some commands need it."""
    UNTRIED = "untried"
    """There, but it cannot be tried on this machine."""
    WARNING = "warning"
    """It works, and may not for long."""
    MISSING = "missing"
    """Not there, and everything needs it."""
    BROKEN = "broken"
    """There, but it does not work, or not with the rest."""


CURED = (State.OPTIONAL, State.WARNING, State.MISSING, State.BROKEN)
"""States of a finding that says what to do."""

ALARMING = (State.MISSING, State.BROKEN)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    feature: str
    """What it serves: findings of a feature stand together."""
    name: str
    state: State
    detail: str
    """What was found."""
    cure: str = ""
    """A command to be typed as it stands, or a sentence; empty where nothing needs to be done."""

    def __post_init__(self) -> None:
        if not self.detail or (self.state in CURED) != bool(self.cure):
            raise ValueError(f"{self.name}: a finding has a detail, and a cure exactly where one is needed")


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything that was found."""

    device: str
    """As it was asked for: auto, cpu or cuda."""
    works: bool
    """Whether `upscale --device` with that device would run: the tiny graph did."""
    verdict: str
    """What runs where, or why nothing does."""
    findings: Sequence[Finding]

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {"device": self.device, "works": self.works, "verdict": self.verdict,
                "findings": [asdict(finding) for finding in self.findings]}
