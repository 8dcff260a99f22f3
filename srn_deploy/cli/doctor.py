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

from srn_deploy.cli import options, values

if TYPE_CHECKING:
    from srn_deploy.doctor import DoctorReport, Finding

_COLOURS = {"ok": "green", "warning": "yellow", "missing": "red", "broken": "red"}

_STATE_WIDTH = 9
_ARROW = "    -> "
_NARROWEST = 30
_UNBOUNDED = 1_000_000
"""Columns where stdout is not a terminal: each finding takes one line."""


@click.command(short_help="Report what works, what is missing, and what fixes it.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda", "openvino"]), default="auto", show_default=True,
              help="The device that the exit code is about: 0 if upscale would run on it, else 1.")
@click.option("--timeout", "timeout_s", type=values.FINITE, default=60.0, show_default=True,
              metavar="SECONDS", help="How long to wait for a library that hangs.")
@options.as_json
def doctor(device: str, timeout_s: float, as_json: bool) -> None:
    """Report for each feature what works, what is missing, and the command that fixes it.

    Every library is loaded in its own process, so that one that crashes or hangs is found. A device works if a tiny
    graph runs on it, the way upscale runs a model.
    """
    from srn_deploy.doctor import examine

    report = examine(device, timeout_s=timeout_s)
    if as_json:
        click.echo(json.dumps(report.as_json(), indent=2))
    else:
        _show(report)
    if not report.works:
        raise click.exceptions.Exit(1)


def _show(report: DoctorReport) -> None:
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _UNBOUNDED
    name_width = max(len(finding.name) for finding in report.findings)
    for feature, findings in groupby(report.findings, key=lambda finding: finding.feature):
        click.secho(feature, bold=True)
        for fix, alike in groupby(findings, key=lambda finding: finding.fix):
            _show_alike(list(alike), fix, name_width, width)
        click.echo()
    mark = click.style("works", fg="green") if report.works else click.style("does not work", fg="red")
    click.echo(_printable(f"--device {report.device} {mark}: {report.verdict}"))


def _show_alike(findings: Sequence[Finding], fix: str, name_width: int, width: int) -> None:
    """Show neighbouring findings with the same fix, then that fix; a command stays on one line, to be copied."""
    indent = " " * (2 + _STATE_WIDTH + name_width + 2)
    for finding in findings:
        state = click.style(f"{finding.state:<{_STATE_WIDTH}}", fg=_COLOURS.get(finding.state))
        click.echo(f"  {state}{finding.name:<{name_width}}  {_wrapped(finding.detail, indent, width)}")
    if fix:
        text = _wrapped(fix, " " * len(_ARROW), width) if fix.endswith(".") else _printable(fix)
        click.secho(f"{_ARROW}{text}", bold=True)


def _wrapped(text: str, indent: str, width: int) -> str:
    """Wrap text to the width that is left by an indent; the first line is already indented."""
    lines = textwrap.wrap(_printable(text), max(width - len(indent), _NARROWEST), break_long_words=False,
                          break_on_hyphens=False)
    return f"\n{indent}".join(lines)


def _printable(text: str) -> str:
    """Replace what no stream can print, such as bytes of paths that are not UTF-8."""
    return text.encode("utf-8", "replace").decode("utf-8")
