"""`srn-deploy compare`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from srn_deploy.cli import options

if TYPE_CHECKING:
    from srn_deploy.benchmark.comparison import Comparison


@click.command(short_help="Compare two records of a benchmark.")
@click.argument("before", type=options.FILE)
@click.argument("after", type=options.FILE)
@options.as_json
def compare(before: Path, after: Path, as_json: bool) -> None:
    """Say which changes between two records of `srn-deploy bench --save` are real, with their spread.

    A change is real where the whole 95 % interval of the ratio of medians lies beyond 2 %.
    """
    from srn_deploy.benchmark.comparison import compare as compare_records
    from srn_deploy.benchmark.records import Record

    found = compare_records(Record.load(before), Record.load(after))
    if as_json:
        click.echo(json.dumps(_as_json(found), indent=2))
        return
    for difference in found.environment:
        click.echo(f"Differs: {difference}", err=True)
    width = max(len(change.name) for change in found.changes)
    for change in found.changes:
        click.echo(f"{change.name:<{width}}  time x {change.ratio:.3f} ({change.low:.3f}–{change.high:.3f})  "
                   f"{change.verdict}")
    for title, names in (("before", found.only_before), ("after", found.only_after)):
        for name in names:
            click.echo(f"Only {title}: {name}", err=True)


def _as_json(found: Comparison) -> dict[str, Any]:
    """With the name that records give to their environment."""
    return {"changes": [{**asdict(change), "is_real": change.is_real} for change in found.changes],
            "only_before": found.only_before, "only_after": found.only_after, "circumstances": found.environment}
