"""docs/cli.md is what the commands say of themselves."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from docs.render_cli import PAGE, rendered
from srn_deploy.cli import main

STALE = "run `python -m docs.render_cli`"


def all_options() -> list[tuple[str, click.Option]]:
    """Path of the command and option, of every command and sub-command."""
    found: list[tuple[str, click.Option]] = []
    waiting: list[tuple[click.Command, click.Context]] = [(main, click.Context(main, info_name="srn-deploy"))]
    while waiting:
        command, context = waiting.pop()
        found += [(context.command_path, option) for option in command.params if isinstance(option, click.Option)]
        if isinstance(command, click.Group):
            waiting += [(inner, click.Context(inner, info_name=name, parent=context))
                        for name in command.list_commands(context)
                        if (inner := command.get_command(context, name)) is not None]
    return found


def test_the_reference_is_what_the_commands_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == rendered(), STALE


def test_every_option_of_every_command_stands_in_the_reference() -> None:
    sections = {part.split("\n", 1)[0]: part for part in PAGE.read_text(encoding="utf-8").split("\n## ")[1:]}
    missing = [f"{path} {name}" for path, option in all_options() if not option.hidden
               for name in (*option.opts, *option.secondary_opts) if f"{name}" not in sections[path]]
    assert missing == []


def test_every_option_says_what_it_does() -> None:
    assert [f"{path} {option.opts[0]}" for path, option in all_options() if not option.help] == []


@pytest.mark.parametrize("columns", ["20", "400"])
def test_the_reference_does_not_depend_on_the_terminal(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert rendered() == Path(PAGE).read_text(encoding="utf-8"), STALE
