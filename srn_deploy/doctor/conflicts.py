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
    """Who asks for what else, as in "gradio 6.31.0 for pillow<13.0"; all that ask, where no version suits all."""
    requirement: str
    """What all that is installed asks for, in the form that pip takes; empty where no version suits all."""
    holders: list[str]
    """The packages among those that ask."""


@dataclass(frozen=True, kw_only=True)
class ConflictsReport:
    """What the probe of the conflicts reports."""

    conflicts: list[Conflict]


def disagreements(result: ProbeResult) -> list[Finding]:
    """A finding for each conflict; none where the probe failed, which the finding for srn-deploy itself tells."""
    if not result.ok:
        return []
    return [_finding(conflict) for conflict in result.read(ConflictsReport).conflicts]


def _finding(conflict: Conflict) -> Finding:
    if conflict.requirement:
        what, fix = "asked for is another", fixes.install(conflict.requirement)
    else:
        what = "no version suits all"
        fix = fixes.install(*conflict.holders, options="--upgrade") if conflict.holders else fixes.install_itself()
    return Finding(feature=FEATURES[BASE], name=conflict.name, state=Status.WARNING, fix=fix,
                   detail=f"{conflict.installed} is installed, and {what}: {'; '.join(conflict.asked)}")
