"""Lists of commands and of models, and commands that do not exist, as a person at a terminal sees them."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
import termios

import pytest

from tests.commands import srn_deploy as run


def test_on_a_terminal_the_list_of_models_breaks_no_word() -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 60))
    plain = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    with subprocess.Popen([sys.executable, "-m", "srn_deploy", "models"], stdout=theirs, stderr=subprocess.DEVNULL,
                          env=plain) as process:
        os.close(theirs)
        seen = b""
        with contextlib.suppress(OSError):  # the other end is closed
            while block := os.read(ours, 65536):
                seen += block
    os.close(ours)
    assert not process.returncode
    assert max(map(len, seen.decode().splitlines())) <= 60
    assert seen.decode().split() == run("models").stdout.split()


def test_a_command_that_does_not_exist_is_refused_with_the_one_that_was_meant() -> None:
    near, far = run("upscal"), run("paint")
    assert (near.returncode, far.returncode) == (2, 2)
    assert near.stderr.endswith("Error: No such command 'upscal'. (Did you mean 'upscale'?)\n")
    assert far.stderr.endswith("Error: No such command 'paint'.\n")


@pytest.mark.parametrize("group", [[], ["engines"], ["models"]], ids=" ".join)
def test_a_list_of_commands_breaks_off_no_sentence(group: list[str]) -> None:
    listed = run(*group, "--help", environment={**os.environ, "COLUMNS": "80"}).stdout.partition("Commands:")[2]
    assert listed
    assert "..." not in listed
