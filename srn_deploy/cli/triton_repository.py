"""`srn-deploy triton-repository`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from srn_deploy.cli import options, values

if TYPE_CHECKING:
    from srn_deploy.spec import Corrections


@click.command("triton-repository", short_help="Write a model repository for NVIDIA's Triton Inference Server.")
@click.argument("folder", metavar="DIR", type=options.OUTPUT_FOLDER)
@click.argument("models", metavar="[MODEL]...", nargs=-1)
@options.device
@options.precision
@click.option("--tile", default="auto", show_default=True, metavar="auto|none|N", callback=values.tile_side,
              help="Side of a tile in input pixels; none runs the whole image at once.")
@click.option("--halo", type=click.IntRange(min=0), help="Context around a tile.  [default: measured for the network]")
@click.option("--guard", type=click.Choice(["off", "warn", "repair"]), default="warn", show_default=True,
              help="What to do about broken blocks where a request does not say.")
@click.option("--max-megapixels", type=values.PositiveNumber(most=1e6), default=16.0, show_default=True,
              help="Refuse larger images.")
@click.option("--gpu", "gpus", type=click.IntRange(min=0), multiple=True, metavar="N",
              help="Run on this GPU, as the server counts them; may be repeated.  [default: on the CPU]")
@click.option("--instances", type=click.IntRange(1, 64), default=1, show_default=True,
              help="Copies of the model on each GPU, or on the CPU, where they share the threads.")
@click.option("--queue", "most_waiting", type=click.IntRange(1, 100_000), metavar="N",
              help="Let at most so many requests wait, and refuse more at once; Triton is slower with a limit.  "
                   "[default: all wait]")
@click.option("--queue-timeout", "most_wait_s", type=values.PositiveNumber(most=86_400), metavar="SECONDS",
              help="Refuse requests that waited longer; as with --queue.  [default: they wait]")
@click.option("--versions", type=click.IntRange(1, 1000), default=1, show_default=True,
              help="How many of the newest versions of a model the server keeps ready.")
@click.option("--environment", type=options.FILE, metavar="FOLDER",
              help="The Python environment with srn-deploy that the server runs the model in.  [default: the first in "
                   "its PATH]")
@click.option("--onnxruntime", metavar="VERSION", callback=values.version,
              help="Serve the bare deploy graph too, by the server's ONNX Runtime backend, which has this version.")
@click.option("--tensorrt", metavar="VERSION", callback=values.version,
              help="Serve the bare engine too, by the server's TensorRT backend, which has this version.")
@options.threads
@options.corrections
def triton_repository(folder: Path, models: tuple[str, ...], device: str, precision: str, tile: int | str | None,
                      halo: int | None, guard: str, max_megapixels: float, gpus: tuple[int, ...], instances: int,
                      most_waiting: int | None, most_wait_s: float | None, versions: int, environment: Path | None,
                      onnxruntime: str | None, tensorrt: str | None, threads: int | None,
                      corrections: Corrections) -> None:
    """Write a model repository for NVIDIA's Triton Inference Server into DIR, and print the folder of each model.

    MODEL is a model's name, a checkpoint, a graph or an engine; without it the default model is written. The server
    upscales images of any size, tiled and guarded as `upscale` does it. A model that has changed becomes its next
    version. `srn-deploy upscale --server` is a client.
    """
    options.need_triton("Writing a model repository")
    from srn_deploy.inference.guard import Guard
    from srn_deploy.serving.options import InstanceOptions, QueueOptions, ServeOptions
    from srn_deploy.serving.repository import write_repository
    from srn_deploy.tiling.windows import TileOptions

    with values.wrong_usage():
        chosen = ServeOptions(
            device=device, precision=precision, corrections=corrections, tiles=TileOptions(tile=tile, halo=halo),
            guard=Guard(guard), max_megapixels=max_megapixels, versions=versions, environment=environment,
            instances=InstanceOptions(gpus=gpus, count=instances, threads=threads),
            queue=QueueOptions(most_waiting=most_waiting, most_wait_s=most_wait_s), onnxruntime=onnxruntime,
            tensorrt=tensorrt)
    for written in write_repository(folder, models, chosen):
        click.echo(str(written.folder))
