"""Render the reference of the command line from its own definitions: nobody types an option twice.

    python -m docs.render_cli

It lives beside the page it writes, as benchmarks/render.py does. A test fails when the page is stale.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import click

from srn_deploy.benchmark.tables import markdown_table
from srn_deploy.cli import Failed, main
from srn_deploy.cli.signals import CTRL_C, HUNG_UP, TERMINATED
from srn_deploy.system.atomic import replacing

PAGE = Path(__file__).resolve().parent / "cli.md"

PROGRAM = "srn-deploy"

INTRODUCTION = """# The command line

Written by `python -m docs.render_cli` from the commands themselves; `srn-deploy COMMAND --help` says the same.
In a usage line `[X]` may be left out and `X...` may be repeated. Results go to stdout, all else to stderr.
`-h` and `--help` work everywhere."""

WRONG_USAGE = "an option that does not exist, or a value that no run could take"

EXIT_CODES = (
    (0, "done"),
    (Failed.exit_code,
     "it failed: stderr says what happened and how to fix it; the other images of a folder are still processed"),
    (click.UsageError.exit_code, f"the command line was wrong: {WRONG_USAGE}; nothing was done"),
    (CTRL_C, "Ctrl-C; every file that exists is complete"),
    (TERMINATED, "SIGTERM, as `timeout`, Docker, systemd and Slurm send it; ends as Ctrl-C does"),
    (HUNG_UP, "SIGHUP, as a closed terminal sends it; ends as Ctrl-C does"),
)

_EXTRA = re.compile(r"\s*\[([^\[\]]+)\]$")
_RANGE = re.compile(r"([\d.]+<=?)?x([<>]=?[\d.]+)?")


def write_page() -> None:
    """Write docs/cli.md."""
    with replacing(PAGE) as temporary:
        temporary.write_text(rendered(), encoding="utf-8")
    print(f"{PAGE.name} written.")


def rendered() -> str:
    """The whole page as Markdown."""
    root = click.Context(main, info_name=PROGRAM)
    codes = markdown_table([("exit code", "meaning"), *((str(code), told) for code, told in EXIT_CODES)])
    parts = [INTRODUCTION, _index(root), "## Exit codes", "Of every command:", codes, *_section(main, root)]
    for name in main.list_commands(root):
        command = main.get_command(root, name)
        if command is None:
            raise ValueError(f"{name} is listed and cannot be found")
        parts += _sections(command, root, name)
    return "\n\n".join(parts) + "\n"


def _index(root: click.Context) -> str:
    """One line for each command, as `srn-deploy --help` has them."""
    commands = {name: main.get_command(root, name) for name in main.list_commands(root)}
    rows = [(f"[`{name}`](#{PROGRAM}-{name})", command.get_short_help_str(limit=200))
            for name, command in commands.items() if command is not None]
    return markdown_table([("command", "what it does"), *rows])


def _sections(command: click.Command, parent: click.Context, name: str) -> Iterator[str]:
    """A command, then its sub-commands."""
    context = click.Context(command, info_name=name, parent=parent)
    yield from _section(command, context)
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            if found is not None:
                yield from _sections(found, context, inner)


def _section(command: click.Command, context: click.Context) -> Iterator[str]:
    """Title, usage, what it does, options."""
    yield f"## {context.command_path}"
    yield f"`{' '.join([context.command_path, *command.collect_usage_pieces(context)])}`"
    yield inspect.cleandoc(command.help or "")
    rows = [_row(*record) for parameter in command.params if isinstance(parameter, click.Option)
            and (record := parameter.get_help_record(context)) is not None]
    if rows:
        yield markdown_table([("option", "what it does", "default"), *rows])


def _row(option: str, told: str) -> tuple[str, str, str]:
    """One option; what stands in brackets at its end is a default, a range or "required"."""
    defaults: list[str] = []
    ranges: list[str] = []
    while found := _EXTRA.search(told):
        told = told[:found.start()]
        *said, last = found[1].rsplit("; ", maxsplit=1)  # click's own brackets hold the default, then the range
        if _RANGE.fullmatch(last):
            ranges.append(f" (`{last.replace('x', 'N')}`)")
        else:
            said.append(last)
        defaults = ["; ".join(said).removeprefix("default: "), *defaults] if said else defaults
    return f"`{option.replace(' RANGE', '')}`", "".join([told, *ranges]), ", ".join(defaults)


if __name__ == "__main__":
    write_page()
