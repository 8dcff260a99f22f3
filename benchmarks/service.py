"""Triton's server against a local run on the same cores: pictures per second of a folder, and the wait for one picture.

    python -m benchmarks.service [--pictures N] [--small N] [--pairs N] [--single N]

The server is started for it, from the wheel that `make test` unpacks, with as many threads for the network as the local
run. Both take turns; which is first changes from pair to pair, and the first pair is not counted. Let nothing else run
meanwhile.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.inputs import EXAMPLE_PICTURE, RECORDS, data_path
from benchmarks.service_page import service_tables
from benchmarks.triton_process import command, free_address, make_environment, running, variables
from srn_deploy.api import Upscaler, load
from srn_deploy.benchmark.environment import current_environment
from srn_deploy.benchmark.records import Record
from srn_deploy.benchmark.summary import doubts
from srn_deploy.image import Image, Pixels, read_image, write_image
from srn_deploy.inference.jobs import Outcome
from srn_deploy.inference.plan import plan_jobs
from srn_deploy.registry.shipped import default_model
from srn_deploy.serving.client import ServedModelClient
from srn_deploy.serving.options import InstanceOptions, ServeOptions
from srn_deploy.serving.remote import IN_FLIGHT, RemoteUpscaler
from srn_deploy.serving.repository import write_repository
from srn_deploy.system.threads import cpu_threads, usable_cores

SMALL_SIDE_PX = 96
"""Of the pictures for which the way there and back matters most."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the arguments, measure, write the record, show its tables."""
    options = _options(arguments)
    environment = current_environment(threads=options.threads)
    picture = read_image(options.picture or data_path(EXAMPLE_PICTURE)).as_rgb8()
    small = np.ascontiguousarray(picture[:SMALL_SIDE_PX, :SMALL_SIDE_PX])
    with tempfile.TemporaryDirectory() as name, cpu_threads(options.threads):
        folder, address = Path(name), free_address()
        write_repository(folder / "models", [options.model], ServeOptions(
            device=options.device, instances=InstanceOptions(threads=options.threads)))
        started = command(folder / "models", folder / "backends", address)
        with (running(started, address, folder / "log.txt",
                      variables(make_environment(folder / "environment"), threads=options.threads)) as server,
              load(options.model, device=options.device) as here,
              RemoteUpscaler(address.url, options.model) as there):
            folders = [of_folder(each, count, folder, (here, there), options.pairs)
                       for each, count in ((picture, options.pictures), (small, options.small))]
            singles = [of_one(each, here, ServedModelClient(address.url, options.model), options.single)
                       for each in (picture, small)]
            assert server.poll() is None
    results = {"model": options.model, "device": options.device, "threads": options.threads, "in_flight": IN_FLIGHT,
               "pairs": options.pairs, "folders": folders, "singles": singles}
    Record(kind="service", title="A server against a local run", environment=environment,
           results=results).save(options.records / "service.json")
    for row in (*folders, *singles):
        for doubt in doubts({f"{row['height_px']} px, {where}": row[f"{where}_s"] for where in ("here", "there")}):
            print(f"Careful: {doubt}")
    print("\n\n".join(service_tables(results)))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=default_model(), metavar="NAME", help="a shipped model")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--picture", type=Path, help=f"default: {EXAMPLE_PICTURE} of the real data")
    parser.add_argument("--pictures", type=int, default=16, help="in one pass")
    parser.add_argument("--small", type=int, default=96, help=f"pictures of {SMALL_SIDE_PX} px in one pass")
    parser.add_argument("--pairs", type=int, default=5, help="that are counted")
    parser.add_argument("--single", type=int, default=15, help="requests one after the other")
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--records", type=Path, default=RECORDS, help="folder of the record")
    return parser.parse_args(arguments)


def of_folder(picture: Pixels, count: int, folder: Path, ways: tuple[Upscaler, RemoteUpscaler],
              pairs: int) -> dict[str, Any]:
    """Seconds for a folder of PNG files, to files, here and there."""
    source = folder / "in"
    for number in range(count):
        write_image(source / f"{number}.png", Image(pixels=picture))
    jobs = plan_jobs(source, folder / "out")
    here, there = ways
    row = {**_size(picture), "pictures": count, **_in_turn(
        pairs, lambda: _all(here.upscale_jobs(jobs)), lambda: _all(there.upscale_jobs(jobs)))}
    shutil.rmtree(source)
    shutil.rmtree(folder / "out")
    return row


def of_one(picture: Pixels, here: Upscaler, there: ServedModelClient, count: int) -> dict[str, Any]:
    """Seconds for one picture after the other, from array to array."""
    try:
        return {**_size(picture), **_in_turn(count, lambda: here.upscale(picture), lambda: there.upscale(picture))}
    finally:
        there.close()


def _in_turn(pairs: int, here: Callable[[], object], there: Callable[[], object]) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {"here_s": [], "there_s": []}
    ways = {"here_s": here, "there_s": there}
    for pair in range(-1, pairs):
        for name in sorted(ways, reverse=bool(pair % 2)):
            began = time.perf_counter()
            ways[name]()
            if pair >= 0:
                found[name].append(time.perf_counter() - began)
    return found


def _all(outcomes: Iterable[Outcome]) -> None:
    """Raise what a picture failed with: a failure must not count as a fast one."""
    for outcome in outcomes:
        if outcome.error is not None:
            raise outcome.error


def _size(picture: Pixels) -> dict[str, int]:
    return {"height_px": picture.shape[0], "width_px": picture.shape[1]}


if __name__ == "__main__":
    main()
