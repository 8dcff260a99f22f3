"""What the guard costs: one picture with --guard warn against --guard off, in turn, in one process on the CPU.

    python -m benchmarks.guard_cost [--pairs N] [--picture FILE]

Reading and writing files is left out, which makes the share larger than a user sees. Let nothing else run meanwhile.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from benchmarks.inputs import EXAMPLE_PICTURE, RECORDS, data_path
from srn_deploy.backends import open_backend
from srn_deploy.benchmark.environment import current_environment
from srn_deploy.benchmark.records import Record
from srn_deploy.benchmark.summary import doubts, paired_ratios
from srn_deploy.image import read_image
from srn_deploy.inference.arrays import upscale_guarded
from srn_deploy.inference.guard import Guard
from srn_deploy.inference.setup import Setup
from srn_deploy.registry.resolve import resolve
from srn_deploy.registry.shipped import default_model
from srn_deploy.system.hashing import sha256_of_file
from srn_deploy.system.threads import threads_in_use

MOST_SHARE = 0.05
"""The requirement of this project: at most this much of the time without the guard."""

WARM_UP_PAIRS = 2


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the arguments, measure, write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--picture", type=Path, help=f"default: {EXAMPLE_PICTURE} of the real data")
    parser.add_argument("--records", type=Path, default=RECORDS, help="folder of the record")
    options = parser.parse_args(arguments)
    record = measure(options.picture or data_path(EXAMPLE_PICTURE), options.pairs)
    record.save(options.records / "guard-cost.json")
    print(f"{options.records / 'guard-cost.json'} written.")
    for doubt in doubts(record.results["seconds"]):
        print(f"Careful: {doubt}")


def measure(picture: Path, pairs: int) -> Record:
    """All pairs on the default model's graph."""
    environment = current_environment(threads=threads_in_use())
    pixels, graph = read_image(picture).as_rgb8(), resolve().path
    seconds: dict[str, list[float]] = {"off": [], "warn": []}
    with closing(open_backend(graph, "cpu")) as backend:
        for number in range(WARM_UP_PAIRS + pairs):
            for name, samples in seconds.items():
                start = time.perf_counter()
                upscale_guarded(pixels, Setup(backend, guard=Guard(name)))
                if number >= WARM_UP_PAIRS:
                    samples.append(time.perf_counter() - start)
    height, width = pixels.shape[:2]
    return Record(kind="guard-cost", title="The guard's share of a run on the CPU", environment=environment, results={
        "model": default_model(), "sha256": sha256_of_file(graph), "picture": picture.name, "height_px": height,
        "width_px": width, "pairs": pairs, "warm_up_pairs": WARM_UP_PAIRS, "most_share": MOST_SHARE,
        "seconds": seconds, "ratios": paired_ratios(seconds["warn"], seconds["off"])})


if __name__ == "__main__":
    main()
