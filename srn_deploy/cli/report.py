"""`srn-deploy report`."""

from __future__ import annotations

from pathlib import Path

import click

from srn_deploy.cli import messages, options, values


@click.command(short_help="Make one HTML file of records: tables, charts and images.")
@click.argument("records", nargs=-1, required=True, type=options.FILE, metavar="RECORD...")
@click.option("--pictures", type=options.FILE, metavar="DIR",
              help="A folder with the folders original, input (the small images) and one for each candidate: their "
                   "images are compared with a slider.")
@click.option("-o", "--output", type=options.OUTPUT, default="report.html", show_default=True, metavar="FILE",
              callback=values.with_suffix(".html", ".htm"), help="The file to write.")
def report(records: tuple[Path, ...], pictures: Path | None, output: Path) -> None:
    """Make one HTML file of RECORDs, which opens anywhere without a network.

    RECORDs are files of `bench --save`, of `eval --json`, `tune --json` and `verify --json`, certificates, and records
    of studies. Tables can be sorted by a click on a head; printed, the file reads well.
    """
    from srn_deploy.report import report as render

    options.write_text(output, render(records, pictures))
    messages.say(f"Written: {output}")
