"""`srn-deploy doctor`."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

import click

from srn_deploy.cli import options

if TYPE_CHECKING:
    from srn_deploy.doctor import Finding, Report

_COLOURS = {"ok": "green", "warning": "yellow", "missing": "red", "broken": "red"}

_STATE_WIDTH = 9
_ARROW = "    -> "
_NARROWEST = 30
_UNBOUNDED = 1_000_000
"""Columns of what is no terminal: one finding, one line."""


@click.command()
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True,
              help="The device that the exit code tells of: 0 where upscale would run on it, else 1.")
@click.option("--timeout", "timeout_s", type=click.FloatRange(min=0, min_open=True), default=60.0, show_default=True,
              metavar="SECONDS", help="After which a library that hangs is given up.")
@options.as_json
def doctor(device: str, timeout_s: float, as_json: bool) -> None:
    """Say for each feature what is there, what is missing, and the command that cures it.

    Every library is loaded in a process of its own, so that one that crashes or hangs is found. The tiny graph that
    decides is run as upscale runs a model.
    """
    from srn_deploy.doctor import examine

    report = examine(device, timeout_s=timeout_s)
    if as_json:
        click.echo(json.dumps(report.as_json(), indent=2))
    else:
        _show(report)
    if not report.works:
        raise click.exceptions.Exit(1)


def _show(report: Report) -> None:
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _UNBOUNDED
    name_width = max(len(finding.name) for finding in report.findings)
    for feature, findings in groupby(report.findings, key=lambda finding: finding.feature):
        click.secho(feature, bold=True)
        for cure, alike in groupby(findings, key=lambda finding: finding.cure):
            _show_alike(list(alike), cure, name_width, width)
        click.echo()
    mark = click.style("works", fg="green") if report.works else click.style("does not work", fg="red")
    click.echo(_printable(f"--device {report.device} {mark}: {report.verdict}"))


def _show_alike(findings: Sequence[Finding], cure: str, name_width: int, width: int) -> None:
    """Findings in a row that one cure serves, and under them that cure; a command stays whole, to be copied."""
    indent = " " * (2 + _STATE_WIDTH + name_width + 2)
    for finding in findings:
        state = click.style(f"{finding.state:<{_STATE_WIDTH}}", fg=_COLOURS.get(finding.state))
        click.echo(f"  {state}{finding.name:<{name_width}}  {_wrapped(finding.detail, indent, width)}")
    if cure:
        told = _wrapped(cure, " " * len(_ARROW), width) if cure.endswith(".") else _printable(cure)
        click.secho(f"{_ARROW}{told}", bold=True)


def _wrapped(text: str, indent: str, width: int) -> str:
    """Text in lines of what is left of the width beside an indent, the first of which stands already."""
    lines = textwrap.wrap(_printable(text), max(width - len(indent), _NARROWEST), break_long_words=False,
                          break_on_hyphens=False)
    return f"\n{indent}".join(lines)


def _printable(text: str) -> str:
    """Paths that are not UTF-8 hold what no stream takes."""
    return text.encode("utf-8", "replace").decode("utf-8")
