"""Findings about installed packages that contradict each other, such as one that holds another below a version."""

from __future__ import annotations

from dataclasses import dataclass

from srn_deploy.doctor import fixes
from srn_deploy.doctor.findings import Finding, Status
from srn_deploy.doctor.packages import BASE, FEATURES
from srn_deploy.doctor.subprocesses import ProbeResult


@dataclass(frozen=True, kw_only=True)
class Conflict:
    """A package whose installed version others do not take."""

    name: str
    installed: str
    """Its version."""
    asked: list[str]
    """Who asks for what else, as in "gradio 6.31.0 for pillow<13.0"."""
    requirement: str
    """What all that is installed asks for, in the form that pip takes."""


@dataclass(frozen=True, kw_only=True)
class ConflictsReport:
    """What the probe of the conflicts reports."""

    conflicts: list[Conflict]


def disagreements(result: ProbeResult) -> list[Finding]:
    """A finding for each conflict; none where the probe failed, which the finding for srn-deploy itself tells."""
    if not result.ok:
        return []
    return [Finding(feature=FEATURES[BASE], name=conflict.name, state=Status.WARNING,
                    detail=f"{conflict.installed} is installed, and asked for is another: {'; '.join(conflict.asked)}",
                    fix=fixes.install(conflict.requirement))
            for conflict in result.read(ConflictsReport).conflicts]
