"""`srn-deploy info`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from srn_deploy.cli import options

if TYPE_CHECKING:
    from srn_deploy.spec import Corrections


@click.command(short_help="Say what a checkpoint, graph or engine is.")
@click.argument("file", metavar="[FILE|NAME]", required=False)
@options.as_json
@options.corrections
def info(file: str | None, as_json: bool, corrections: Corrections) -> None:
    """Say what a checkpoint, graph or engine is and, with PyTorch, what one pass costs at 256 x 256."""
    from srn_deploy.describe import described

    rows = described(file, corrections)
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    width = max(map(len, rows))
    for name, value in rows.items():
        click.echo(f"{name:<{width}}  {_text(value)}")


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}={_text(one)}" for key, one in value.items())
    if isinstance(value, list | tuple):
        return "; ".join(map(_text, value))
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
