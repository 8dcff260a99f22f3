"""Runs of a benchmark that have to be whole: a picture that fails must not count as a fast one."""

from __future__ import annotations

from collections.abc import Iterable

from srn_deploy.inference.jobs import Outcome


def finish(outcomes: Iterable[Outcome]) -> None:
    """Run to the end, and raise what a picture failed with."""
    for outcome in outcomes:
        if outcome.error is not None:
            raise outcome.error
