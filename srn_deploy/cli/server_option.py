"""`--server` of `upscale`: which options say how the network runs, and are therefore the server's to choose."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from srn_deploy.cli import options, values

if TYPE_CHECKING:
    from collections.abc import Iterable

    from srn_deploy.inference.plan import Job
    from srn_deploy.serving.remote import RemoteUpscaler

OF_THE_NETWORK = {"device": "--device", "precision": "--precision", "tile": "--tile", "halo": "--halo",
                  "threads": "--threads", "settings": "--set", "value_range": "--value-range", "weights": "--weights",
                  "network": "--network", "trust": "--trust", "codec": "--codec", "crf": "--crf",
                  "encoder_option": "--encoder-option", "keep_partial": "--keep-partial"}
"""Parameter to option: what a server decides, and what belongs to videos."""

server = click.option("--server", metavar="grpc://HOST:PORT", callback=values.server_address,
                      help="Let the network run on this Triton server, which has a repository of `triton-repository`; "
                           "--model is a name there, and --jobs how many requests are under way at once.  [default "
                           "with a server: 8]")


def connected(address: str, model: str | None, jobs: Iterable[Job]) -> RemoteUpscaler:
    """A model on a server, with the guard where it was typed; raises UsageError for options that the server decides."""
    context = click.get_current_context()

    def is_typed(parameter: str) -> bool:
        return context.get_parameter_source(parameter) not in (ParameterSource.DEFAULT, None)

    if typed := [option for parameter, option in OF_THE_NETWORK.items() if is_typed(parameter)]:
        raise click.UsageError(f"{typed[0]} is not for --server: how the network runs is chosen where the model is "
                               "served, by `srn-deploy triton-repository`.")
    if any(is_typed(parameter) for parameter in ("share", "shard", "ray")):
        raise click.UsageError("Runs that share an output do not send their images to a server: leave out --server, "
                               "or --share, --shard and --ray.")
    options.need_triton("Upscaling on a server")
    from srn_deploy.serving.remote import RemoteUpscaler, refuse_videos

    refuse_videos(jobs)
    return RemoteUpscaler(address, model, guard=context.params["guard"] if is_typed("guard") else None)
