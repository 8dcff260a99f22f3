"""Options of several runs that divide the files of one output, which a command receives as one `sharing`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from srn_deploy.cli import values

if TYPE_CHECKING:
    from srn_deploy.inference.plan import Job
    from srn_deploy.inference.shards import Shard


_MOST_WORKERS = 100_000
"""`cluster.options` has the same; importing it would load numpy for the help text."""


@dataclass(frozen=True, kw_only=True)
class Sharing:
    """Whether other runs write into the same output, and which part of the files is for this one."""

    is_shared: bool
    shard: Shard | None
    ray: str | None
    """The address of a cluster."""
    workers: int | None

    def part_of(self, planned: list[Job], out: str) -> list[Job]:
        """The files of this run; says so where there are none."""
        if self.shard is None:
            return planned
        part = self.shard.of(planned, Path(out))
        if not part:
            click.echo(f"Nothing to do: none of {len(planned)} files is in shard {self.shard}.", err=True)
        return part


    def make_again(self, outdated: list[Job], planned: list[Job], out: str) -> None:
        """Let the ledger of the output know that outdated results are not finished."""
        from srn_deploy.inference.ledger import Ledger
        from srn_deploy.inference.shards import is_single

        Ledger(Path(out), None, is_single=is_single(planned, Path(out))).forget(outdated)


def sharing(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --shard, --share, --ray and --workers."""
    @functools.wraps(command)
    def with_sharing(*args: Any, shard: Shard | None, share: bool, ray: str | None, workers: int | None,
                     **others: Any) -> Any:
        if workers is not None and ray is None:
            raise click.UsageError("--workers are those of --ray, which is not given.")
        if share and ray is not None:
            raise click.UsageError("--ray shares the files of OUT by itself: leave out --share.")
        given = Sharing(is_shared=share or shard is not None or ray is not None, shard=shard, ray=ray, workers=workers)
        return command(*args, sharing=given, **others)

    for option in (
            click.option("--workers", type=click.IntRange(min=1, max=_MOST_WORKERS), metavar="N",
                         help="Workers on the Ray cluster; --threads are those of each.  [default: one for each GPU, "
                              "else for each group of cores]"),
            click.option("--ray", metavar="local|auto|HOST:PORT", callback=_address,
                         help="Upscale on a Ray cluster: one that is started here for the run, that of this machine, "
                              "or the one with this head node. All machines see IN and OUT; as --share with others."),
            click.option("--share", is_flag=True,
                         help="Share the files with other runs of this command into the folder OUT, on this or other "
                              "machines: each is done by one of them, and what a run leaves that dies by another. "
                              "What is finished is noted in OUT/.srn-ledger and not done again."),
            click.option("--shard", metavar="I/N", callback=_shard,
                         help="Do one part of N of the files, as in 2/8, the same part on every machine; as --share "
                              "within it.")):
        with_sharing = option(with_sharing)
    return with_sharing


def _address(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """Check the form of an address."""
    if value is None:
        return None
    from srn_deploy.cluster.options import checked_address

    with values.wrong_usage():
        return checked_address(value)


def _shard(context: click.Context, parameter: click.Parameter, value: str | None) -> Shard | None:
    """Parse the value of --shard."""
    if value is None:
        return None
    from srn_deploy.inference.shards import Shard

    with values.wrong_usage():
        return Shard.parse(value)
