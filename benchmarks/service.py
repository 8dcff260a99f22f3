"""Triton's server against a local run on the same cores: pictures per second of a folder, and the wait for one picture.

    python -m benchmarks.service [--pictures N] [--small N] [--rounds N] [--single N]

The server is started for it, from the wheel that `make test` unpacks, with as many threads for the network as the local
run. The ways take turns; which is first changes from round to round, and the first round is not counted. Let nothing
else run meanwhile.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.inputs import EXAMPLE_PICTURE, RECORDS, data_path
from benchmarks.service_page import service_tables
from benchmarks.triton_process import command, cpu_seconds, free_address, make_environment, running, variables
from benchmarks.whole_runs import finish
from srn_deploy.api import Upscaler, load
from srn_deploy.benchmark.environment import current_environment
from srn_deploy.benchmark.records import Record
from srn_deploy.benchmark.summary import doubts
from srn_deploy.image import Image, Pixels, read_image, write_image
from srn_deploy.inference.plan import Job, plan_jobs
from srn_deploy.registry.resolve import resolve
from srn_deploy.registry.shipped import default_model
from srn_deploy.serving.client import ServedModelClient
from srn_deploy.serving.options import InstanceOptions, QueueOptions, ServeOptions
from srn_deploy.serving.remote import IN_FLIGHT, RemoteUpscaler
from srn_deploy.serving.repository import write_repository
from srn_deploy.system.threads import cpu_threads, usable_cores

SMALL_SIDE_PX = 96
"""Of the pictures for which the way there and back matters most."""

QUEUE = 64
"""Places in the queue of the model that is served with a limit, far more than the requests that are under way."""

Work = Callable[[], object]
CpuSeconds = Callable[[], float]
"""What this process, the server and the processes of its models took of the processors until now."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the arguments, measure, write the record, show its tables."""
    options = _options(arguments)
    environment = current_environment(threads=options.threads)
    picture = read_image(options.picture or data_path(EXAMPLE_PICTURE)).as_rgb8()
    small = np.ascontiguousarray(picture[:SMALL_SIDE_PX, :SMALL_SIDE_PX])
    with tempfile.TemporaryDirectory() as name, cpu_threads(options.threads):
        folder, address = Path(name), free_address()
        limited = _write_both(folder, options)
        started = command(folder / "models", folder / "backends", address)
        with (running(started, address, folder / "log.txt",
                      variables(make_environment(folder / "environment"), threads=options.threads)) as server,
              load(options.model, device=options.device) as here,
              RemoteUpscaler(address.url, options.model) as there,
              RemoteUpscaler(address.url, limited) as queued):
            def cpu() -> float:
                return time.process_time() + cpu_seconds(server)

            ways: dict[str, Upscaler | RemoteUpscaler] = {"here": here, "there": there, "queued": queued}
            folders = [of_folder(each, count, folder, ways, (options.rounds, cpu))
                       for each, count in ((picture, options.pictures), (small, options.small))]
            singles = [of_one(each, here, ServedModelClient(address.url, options.model), (options.single, cpu))
                       for each in (picture, small)]
            assert server.poll() is None
    results = {"model": options.model, "device": options.device, "threads": options.threads, "in_flight": IN_FLIGHT,
               "rounds": options.rounds, "queue": QUEUE, "folders": folders, "singles": singles}
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
    parser.add_argument("--pictures", type=int, default=6, help="in one pass")
    parser.add_argument("--small", type=int, default=48, help=f"pictures of {SMALL_SIDE_PX} px in one pass")
    parser.add_argument("--rounds", type=int, default=5, help="that are counted")
    parser.add_argument("--single", type=int, default=10, help="requests one after the other")
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--records", type=Path, default=RECORDS, help="folder of the record")
    return parser.parse_args(arguments)


def _write_both(folder: Path, options: argparse.Namespace) -> str:
    """Write the model as it is served by default, and once more with a limit for its queue; the name of the latter."""
    graph = resolve(options.model).path
    copy = folder / f"{graph.stem}-queued{graph.suffix}"
    shutil.copyfile(graph, copy)
    for model, queue in ((options.model, QueueOptions()), (str(copy), QueueOptions(most_waiting=QUEUE))):
        write_repository(folder / "models", [model], ServeOptions(
            device=options.device, instances=InstanceOptions(threads=options.threads), queue=queue))
    return copy.stem


def of_folder(picture: Pixels, count: int, folder: Path, ways: Mapping[str, Upscaler | RemoteUpscaler],
              how: tuple[int, CpuSeconds]) -> dict[str, Any]:
    """Seconds for a folder of PNG files, to files, in each way. how: the number of rounds, and what they cost."""
    source = folder / "in"
    for number in range(count):
        write_image(source / f"{number}.png", Image(pixels=picture))
    jobs = plan_jobs(source, folder / "out")
    passes = {name: partial(_one_pass, way, jobs) for name, way in ways.items()}
    row = {**_size(picture), "pictures": count, **_in_turn(passes, *how)}
    shutil.rmtree(source)
    shutil.rmtree(folder / "out")
    return row


def _one_pass(way: Upscaler | RemoteUpscaler, jobs: Sequence[Job]) -> None:
    finish(way.upscale_jobs(jobs))


def of_one(picture: Pixels, here: Upscaler, there: ServedModelClient, how: tuple[int, CpuSeconds]) -> dict[str, Any]:
    """Seconds for one picture after the other, from array to array."""
    passes: dict[str, Work] = {"here": partial(here.upscale, picture), "there": partial(there.upscale, picture)}
    try:
        return {**_size(picture), **_in_turn(passes, *how)}
    finally:
        there.close()


def _in_turn(ways: Mapping[str, Work], rounds: int, cpu: CpuSeconds) -> dict[str, list[float]]:
    """Seconds, and seconds on processors, of each round of each way."""
    found = defaultdict[str, list[float]](list)
    for number in range(-1, rounds):
        for name in sorted(ways, reverse=bool(number % 2)):
            began, spent = time.perf_counter(), cpu()
            ways[name]()
            if number >= 0:
                found[f"{name}_s"].append(time.perf_counter() - began)
                found[f"{name}_cpu_s"].append(cpu() - spent)
    return dict(found)


def _size(picture: Pixels) -> dict[str, int]:
    return {"height_px": picture.shape[0], "width_px": picture.shape[1]}


if __name__ == "__main__":
    main()
