"""The command line: every command reads its options, makes one call of the library and prints."""

from __future__ import annotations

import codecs
import importlib
import sys
from typing import Any

import click

from srn_deploy import __version__
from srn_deploy.cli import messages, signals
from srn_deploy.errors import OptionError, SrnDeployError
from srn_deploy.system.atomic import DISK_IS_FULL

COMMANDS = ("upscale", "export", "build-engine", "engines", "verify", "eval", "bench", "tune", "compare", "report",
            "info", "models", "recipes", "train", "triton-repository", "web", "doctor")
"""The commands in the order in which they are used; each is a function in the module of its name in this folder."""

_MODULES = {"eval": "evaluate"}
"""Modules of commands whose names are taken by Python."""


RUNNER_STATUS = "TensorRT runner: built and checked against the API, never executed on hardware."
"""Written by `python -m benchmarks.render` from the records of GPUs; tests/test_gpu_status.py compares both."""


class Failed(click.ClickException):
    """A SrnDeployError as the command line shows it: what happened, then the remedy; exit code 1."""

    exit_code = 1

    def __init__(self, error: SrnDeployError) -> None:
        super().__init__(error.message)
        self.remedy = error.remedy

    def show(self, file: Any = None) -> None:
        """Two lines on stderr."""
        click.secho(f"Error: {self.message}", fg="red", err=True)
        click.echo(self.remedy, err=True)


class Commands(click.Group):
    """Loads the module of a command only when it is used, and turns a SrnDeployError into exit code 1."""

    def list_commands(self, context: click.Context) -> list[str]:
        """The names of all commands, in the order in which they are used."""
        return list(COMMANDS)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """The command of this name; None for an unknown one, as click requires."""
        if name not in COMMANDS:
            return None
        module = _MODULES.get(name, name.replace("-", "_"))
        command: click.Command = getattr(importlib.import_module(f"srn_deploy.cli.{module}"), module)
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]
                        ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does it; an unknown name is refused with the one that was likely meant."""
        if args[0] not in COMMANDS:
            from difflib import get_close_matches

            for near in get_close_matches(args[0], COMMANDS, n=1, cutoff=0.75):
                raise click.UsageError(f"No such command {args[0]!r}. (Did you mean {near!r}?)", ctx=ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, context: click.Context) -> Any:
        """Run the command; a SrnDeployError or a full disk behind stdout ends in exit code 1, a signal in its own."""
        try:
            return super().invoke(context)
        except SrnDeployError as error:
            raise Failed(error) from error
        except OSError as error:
            if error.filename is not None or error.errno not in DISK_IS_FULL:  # files have a name, streams none
                raise
            full = OptionError(f"The output of this command cannot be written: {error.strerror}.",
                               remedy="Free space where stdout goes; every file that exists is complete.")
            raise Failed(full) from error
        except KeyboardInterrupt as error:
            messages.say("Interrupted; every file that exists is complete.")
            raise signals.interrupted() from error


def _as_it_is(error: UnicodeError) -> tuple[str | bytes, int]:
    """Encode the bytes of a file name that is not valid text as they are; escape other characters."""
    if isinstance(error, UnicodeEncodeError):
        try:
            return codecs.lookup_error("surrogateescape")(error)
        except UnicodeError:
            pass
    return codecs.lookup_error("backslashreplace")(error)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, package_name="srn-deploy", message=f"%(prog)s %(version)s\n{RUNNER_STATUS}")
@click.pass_context
def main(context: click.Context) -> None:
    """Take a trained super-resolution checkpoint to production, and prove every step."""
    codecs.register_error("srn-as-it-is", _as_it_is)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # None: a daemon that closed it
            # UTF-8 in the C locale too: click replaces an ASCII stream by one that loses such names.
            is_ascii = codecs.lookup(stream.encoding).name == "ascii"
            stream.reconfigure(encoding="utf-8" if is_ascii else None, errors="srn-as-it-is")
    context.with_resource(messages.shown())
    context.with_resource(signals.stopped_as_by_ctrl_c(context))
