"""What the doctor reports: a finding for each thing it examined, and whether a device works."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """State of one thing."""

    OK = "ok"
    OPTIONAL = "optional"
    """Not installed, and only some commands need it."""
    UNTRIED = "untried"
    """Installed, but it cannot be tried on this machine."""
    WARNING = "warning"
    """It works now, but may soon fail."""
    MISSING = "missing"
    """Not installed, and every command needs it."""
    BROKEN = "broken"
    """Installed, but it does not work, or not together with the rest."""


NEEDS_FIX = (Status.OPTIONAL, Status.WARNING, Status.MISSING, Status.BROKEN)
"""States of a finding that needs a fix."""

ALARMING = (Status.MISSING, Status.BROKEN)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was examined. Raises ValueError without a detail, or where a fix is missing or superfluous."""

    feature: str
    """What needs it; findings of a feature are shown together."""
    name: str
    state: Status
    detail: str
    """What was found."""
    fix: str = ""
    """A command to be typed as it is, or a sentence; empty where nothing needs to be done."""

    def __post_init__(self) -> None:
        if not self.detail or (self.state in NEEDS_FIX) != bool(self.fix):
            raise ValueError(f"{self.name}: a finding needs a detail, and a fix exactly where its state calls for one")


@dataclass(frozen=True, kw_only=True)
class DoctorReport:
    """Everything that was found."""

    device: str
    """The device the verdict is about: auto, cpu, cuda or openvino."""
    works: bool
    """Whether `upscale` would run with this --device: the tiny graph did."""
    verdict: str
    """What runs where, or why nothing does."""
    findings: Sequence[Finding]

    def as_json(self) -> dict[str, Any]:
        """The report as mappings, lists and strings, for `doctor --json`."""
        return {"device": self.device, "works": self.works, "verdict": self.verdict,
                "findings": [asdict(finding) for finding in self.findings]}
