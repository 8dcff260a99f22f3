"""What a worker on Ray costs: pictures per second of one worker against those of a single process.

    python -m benchmarks.cluster [--pictures N] [--pairs N]

Both run the default model on the CPU with the same threads, in turn. Counted is from the first result to the last, so
that starting is left out: it is told beside. Let nothing else run meanwhile.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.inputs import EXAMPLE_PICTURE, RECORDS, data_path
from benchmarks.whole_runs import finish
from srn_deploy import cpu_threads, load
from srn_deploy.benchmark.environment import current_environment
from srn_deploy.benchmark.records import Record
from srn_deploy.benchmark.summary import doubts
from srn_deploy.cluster import ClusterWork, RayOptions, upscale_jobs
from srn_deploy.cluster.connection import connected
from srn_deploy.image import Image, read_image, write_image
from srn_deploy.inference.jobs import Outcome
from srn_deploy.inference.plan import Job, plan_jobs
from srn_deploy.registry.resolve import resolve
from srn_deploy.system.installed import installed_versions
from srn_deploy.system.threads import usable_cores

KIND = "cluster"

SIDE_PX = 192
"""Of the pictures, cut from a larger one: small ones make the most of what a picture costs besides its network."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the arguments, measure, write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", type=Path, help=f"default: {EXAMPLE_PICTURE} of the real data")
    parser.add_argument("--pictures", type=int, default=160, help="in one pass")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--records", type=Path, default=RECORDS, help="folder of the record")
    options = parser.parse_args(arguments)
    environment = current_environment(threads=options.threads)
    with tempfile.TemporaryDirectory() as folder, connected(RayOptions()):
        results = measured(Path(folder), options)
    model = resolve(None)
    results |= {"model": model.path.stem, "sha256": model.sha256, "threads": options.threads, "side_px": SIDE_PX,
                "ray": installed_versions(("ray",)).get("ray", "")}
    Record(kind=KIND, title="One worker on Ray", environment=environment, results=results).save(
        options.records / "cluster.json")
    for doubt in doubts({"share": results["shares"]}):
        print(f"Careful: {doubt}")


def measured(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Pairs of passes over the same pictures; the order changes from pair to pair."""
    pixels = read_image(options.picture or data_path(EXAMPLE_PICTURE)).as_rgb8()[:SIDE_PX, :SIDE_PX]
    for number in range(options.pictures):
        write_image(folder / f"in/{number:04}.png", Image(pixels=pixels))
    rates: dict[str, list[float]] = {"alone": [], "on_ray": []}
    starts: dict[str, list[float]] = {"alone": [], "on_ray": []}
    runs = {"alone": alone, "on_ray": on_ray}
    for number in range(options.pairs):
        for which in sorted(runs, reverse=bool(number % 2)):
            out = folder / which
            began = time.time()
            finish(runs[which](plan_jobs(folder / "in", out), out, options.threads))
            rate, first = rate_of(out)
            rates[which].append(rate)
            starts[which].append(first - began)
            shutil.rmtree(out)
    shares = [ray / one for ray, one in zip(rates["on_ray"], rates["alone"], strict=True)]
    print(f"alone {median(rates['alone']):.2f} pictures/s, shares {[round(share, 3) for share in shares]}", flush=True)
    return {"pictures": options.pictures, "pairs": options.pairs, "rates": rates, "until_first_s": starts,
            "shares": shares}


def alone(jobs: Sequence[Job], out: Path, threads: int) -> Iterable[Outcome]:
    """In this process."""
    with cpu_threads(threads), load(device="cpu") as upscaler:
        yield from upscaler.upscale_jobs(jobs)


def on_ray(jobs: Sequence[Job], out: Path, threads: int) -> Iterable[Outcome]:
    """By one worker."""
    return upscale_jobs(jobs, out, RayOptions(workers=1, cpus=threads), ClusterWork(device="cpu"))


def rate_of(out: Path) -> tuple[float, float]:
    """Pictures per second from the first result to the last, by the times of the files; and when the first came."""
    times = sorted(path.stat().st_mtime_ns / 1e9 for path in out.glob("*.png"))
    return (len(times) - 1) / (times[-1] - times[0]), times[0]


if __name__ == "__main__":
    main()
