"""Findings about what was tuned on this machine, and whether it still holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from srn_deploy.doctor.findings import Finding, Status
from srn_deploy.doctor.packages import BASE, FEATURES
from srn_deploy.errors import OptionError
from srn_deploy.tuning.choice import kept_files, read, this_machine

FORGET = "srn-deploy tune --forget"


def tuned_findings() -> list[Finding]:
    """A finding for each model that was tuned."""
    try:
        paths = kept_files()
    except OptionError:  # no home folder and no SRN_CACHE: nothing can have been kept
        paths = []
    found = [finding for path in paths for finding in _finding(path)]
    return found or [_of("tuned", Status.OK, "no model; srn-deploy tune finds the fastest way to run one here")]


def _finding(path: Path) -> Iterator[Finding]:
    try:
        tuned = read(path)
        here = this_machine()
    except OptionError as error:
        yield _of("tuned", Status.WARNING, error.message, FORGET)
        return
    best = tuned.ways[0]
    what = ", ".join(filter(None, (f"{Path(tuned.model).name}: {best.title}", best.way.settings(), tuned.date)))
    if tuned.machine != here:
        yield _of("tuned", Status.OK, f"{what}, for {tuned.machine.cpu} with {tuned.machine.threads} threads, which is "
                  "not this machine as it is now")
    elif reason := tuned.why_outdated():
        yield _of("tuned", Status.WARNING, f"{what}, outdated and not used: {reason}", f"srn-deploy tune {tuned.model}")
    else:
        yield _of("tuned", Status.OK, what)


def _of(name: str, state: Status, detail: str, fix: str = "") -> Finding:
    return Finding(feature=FEATURES[BASE], name=name, state=state, detail=detail, fix=fix)
