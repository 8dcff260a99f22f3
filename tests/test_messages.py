"""What the library says through logging, as the command line shows it."""

from __future__ import annotations

import errno
import io
import logging
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from rich.console import Console
from rich.progress import Progress

from srn_deploy.cli import main, messages

LOG = logging.getLogger("srn_deploy.inference.test")


@pytest.fixture
def speaking(monkeypatch: pytest.MonkeyPatch) -> None:
    """`srn-deploy recipes` says three things and prints one."""
    @click.command()
    def command() -> None:
        LOG.debug("not for the user")
        LOG.info("%s on the CPU", "ONNX Runtime")
        LOG.warning("in.png: The XMP is left behind.")
        click.echo("out.png")

    monkeypatch.setattr("srn_deploy.cli.recipes.recipes", command)


@pytest.mark.usefixtures("speaking")
def test_information_is_plain_and_a_warning_says_so() -> None:
    for _ in range(2):  # the handler is attached once, however often the command line runs in a process
        done = CliRunner().invoke(main, ["recipes"])
        assert done.exit_code == 0
        assert done.stderr == "ONNX Runtime on the CPU.\nWarning: in.png: The XMP is left behind.\n"
        assert done.stdout == "out.png\n"


@pytest.mark.usefixtures("speaking")
def test_the_library_is_silent_again_after_a_command(capfd: pytest.CaptureFixture[str]) -> None:
    before = list(logging.getLogger("srn_deploy").handlers)
    CliRunner().invoke(main, ["recipes"])
    LOG.info("nobody hears this")
    assert capfd.readouterr().err == ""
    assert logging.getLogger("srn_deploy").handlers == before
    assert not LOG.isEnabledFor(logging.INFO)


def test_only_warnings_reach_a_program_that_does_not_configure_logging() -> None:
    code = ("import logging, srn_deploy; log = logging.getLogger('srn_deploy.inference'); log.info('It is fine.'); "
            "log.warning('It broke.')")
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (ended.stdout, ended.stderr) == ("", "It broke.\n")


@pytest.mark.usefixtures("speaking")
def test_messages_reach_other_handlers_too(caplog: pytest.LogCaptureFixture) -> None:
    CliRunner().invoke(main, ["recipes"])
    assert [record.levelname for record in caplog.records] == ["INFO", "WARNING"]


def test_a_message_appears_above_a_live_bar_and_a_path_is_not_markup() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=40)
    with messages.shown(), Progress(console=console) as progress, messages.above(console):
        progress.add_task("images", total=2)
        LOG.warning("[bold]in[/bold].png is %s", "longer than the terminal is wide " * 3)
        progress.refresh()
    shown = screen.getvalue()
    line = "Warning: [bold]in[/bold].png is " + "longer than the terminal is wide " * 3
    assert line in shown
    assert shown.index(line) < shown.rindex("images")


def test_after_the_bar_messages_go_to_stderr_again(capsys: pytest.CaptureFixture[str]) -> None:
    with messages.shown():
        with messages.above(Console(file=io.StringIO())):
            LOG.info("above")
        LOG.info("below")
    assert capsys.readouterr().err == "below.\n"


def test_a_message_that_cannot_be_formatted_does_not_stop_the_work(capsys: pytest.CaptureFixture[str]) -> None:
    handler = messages.MessageHandler()
    for arguments in (("many",), (2,)):
        handler.handle(logging.LogRecord("srn_deploy.x", logging.INFO, __file__, 1, "%d images", arguments, None))
    assert capsys.readouterr().err.endswith("\n2 images.\n")


def _in_a_process(message: str, *, redirect: str = "") -> subprocess.CompletedProcess[bytes]:
    """A command line in the C locale that says this; stderr as the shell is told."""
    code = ("import logging, click\n"
            "from srn_deploy import cli\n"
            "import srn_deploy.cli.recipes as home\n"
            "def command():\n"
            f"    logging.getLogger('srn_deploy.x').warning({message!r})\n"
            "    click.echo('done')\n"
            "home.recipes = click.command()(command)\n"
            "cli.main(['recipes'])\n")
    return subprocess.run(["/bin/sh", "-c", f'"$0" -c "$1" {redirect}', sys.executable, code], capture_output=True,
                          timeout=60, check=False, env={"LC_ALL": "C", "PYTHONPATH": str(Path(__file__).parents[1])})


def test_a_file_name_that_is_not_text_appears_as_its_bytes() -> None:
    done = _in_a_process("b\udcff.png is whole")
    assert done.returncode == 0
    assert done.stderr == b"Warning: b\xff.png is whole.\n"


def test_without_a_stderr_the_work_goes_on() -> None:
    done = _in_a_process("nobody hears this", redirect="2>&-")
    assert done.stdout == b"done\n"
    assert done.returncode == 0


def test_a_stderr_that_takes_no_more_does_not_stop_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    full = Full()
    monkeypatch.setattr("sys.stderr", full)
    with messages.shown():
        LOG.info("nobody hears this")
