"""How much of the machine's codecs a run over many files uses, with a backend that costs nothing.

    python -m benchmarks.pipeline [--pictures N] [--pairs N] [--on-disk]

Two questions: how many pictures per second `run_jobs` writes against the same decoders and encoders alone on the same
threads; and the same for stages that only sleep, on 32 workers. Files lie in memory where the system has a folder for
that, so that no disk counts, which is often shared. Let nothing else run meanwhile.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.inputs import EXAMPLE_PICTURE, RECORDS, data_path
from benchmarks.whole_runs import finish
from srn_deploy.benchmark.environment import current_environment
from srn_deploy.benchmark.records import Record
from srn_deploy.benchmark.summary import doubts
from srn_deploy.image import Image, read_image
from srn_deploy.image.writing import encode_image
from srn_deploy.inference.file_options import FileOptions
from srn_deploy.inference.guard import Guard
from srn_deploy.inference.jobs import run_jobs
from srn_deploy.inference.memory_budget import MemoryBudget
from srn_deploy.inference.pipeline import Pipeline
from srn_deploy.inference.plan import Job
from srn_deploy.inference.setup import Setup
from srn_deploy.inference.stage_times import StageTimes
from srn_deploy.inference.stages import Computed, Reserve, Stages
from srn_deploy.spec import Form, ModelSpec, PixelType
from srn_deploy.system.threads import usable_cores
from srn_deploy.tiling.interpolation import Geometry
from srn_deploy.tiling.shapes import Limits

FORMATS = {"PNG": ".png", "JPEG": ".jpg", "WebP": ".webp"}

TIMES_AS_MANY = {"JPEG": 6}
"""Pictures in a pass of a format that is faster, so that the beginning and the end of a run count as little."""

IN_MEMORY = Path("/dev/shm")

SLEEPERS = 32
DECODE_S, ENCODE_S = 0.005, 0.045
"""What the stand-in of a codec sleeps: the times of a PNG of 510 x 339 px and of its fourfold enlargement."""

SPEC = ModelSpec(architecture="costless", options={}, scale=4, value_range=1.0, form=Form.DEPLOY,
                 pixel_type=PixelType.UINT8, activation_bytes_per_px=1)


class CostlessBackend:
    """Gives the same result whenever it is asked; whoever gets it may not change it."""

    def __init__(self, result: NDArray[np.uint8]) -> None:
        """result: (1, H, W, 3), what every picture becomes."""
        self.spec, self.limits, self._result = SPEC, Limits(), result
        result.flags.writeable = False

    def run(self, batch: NDArray[Any], geometry: Geometry | None = None) -> NDArray[Any]:
        """See Backend."""
        return self._result

    def prepare(self, shape: tuple[int, int, int]) -> Callable[[], None]:
        """See Backend."""
        return lambda: None

    def close(self) -> None:
        """See Backend."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the arguments, measure, write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--picture", type=Path, help=f"default: {EXAMPLE_PICTURE} of the real data")
    parser.add_argument("--pictures", type=int, default=48, help="in one pass of a format")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--on-disk", action="store_true", help="files lie in the folder for temporary files")
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--records", type=Path, default=RECORDS, help="folder of the record")
    options = parser.parse_args(arguments)
    environment = current_environment(threads=options.threads)
    picture = read_image(options.picture or data_path(EXAMPLE_PICTURE)).as_rgb8()
    in_memory = IN_MEMORY.is_dir() and not options.on_disk
    with tempfile.TemporaryDirectory(dir=IN_MEMORY if in_memory else None) as folder:
        formats = [of_format(name, picture, Path(folder), options) for name in FORMATS]
    results = {"threads": options.threads, "height_px": picture.shape[0], "width_px": picture.shape[1],
               "in_memory": in_memory, "pairs": options.pairs, "formats": formats,
               "sleepers": of_sleepers(options.pairs)}
    Record(kind="pipeline", title="Pictures per second with a network that costs nothing", environment=environment,
           results=results).save(options.records / "pipeline.json")
    for row in (*formats, results["sleepers"]):
        for doubt in doubts({row["name"]: row["shares"]}):
            print(f"Careful: {doubt}")


def of_format(name: str, picture: NDArray[np.uint8], folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Pairs of passes over the same files: the codecs alone, and whole runs; the order changes from pair to pair."""
    enlarged = cv2.resize(picture, None, fx=SPEC.scale, fy=SPEC.scale, interpolation=cv2.INTER_CUBIC)
    result = np.asarray(enlarged, np.uint8)
    jobs = copies(picture, folder / name, FORMATS[name], options.pictures * TIMES_AS_MANY.get(name, 1))
    setup = Setup(CostlessBackend(result[None]), guard=Guard.OFF, threads=options.threads)

    def alone() -> None:
        with ThreadPoolExecutor(max_workers=options.threads) as pool:
            for _ in pool.map(lambda job: _codecs(job, Image(pixels=result)), jobs):
                pass

    def whole() -> None:
        run_all(jobs, setup)

    times = StageTimes(workers=0)
    run_all(jobs[:options.threads], setup)
    row = _compared(name, alone, whole, len(jobs), options.pairs)
    run_all(jobs, setup, lambda found: times.__dict__.update(found.__dict__))
    shutil.rmtree(folder / name)
    return {**row, "stages": asdict(times)}


def copies(picture: NDArray[np.uint8], folder: Path, suffix: str, count: int) -> list[Job]:
    """Jobs for files of one picture, in the format that they are written in."""
    source = folder / f"in{suffix}"
    folder.mkdir()
    source.write_bytes(encode_image(source, Image(pixels=picture)).data)
    return [Job(source=source, target=folder / f"out{number}{suffix}") for number in range(count)]


def _codecs(job: Job, result: Image) -> None:
    read_image(job.source)
    encode_image(job.target, result)


def run_all(jobs: Sequence[Job], setup: Setup, on_times: Callable[[StageTimes], None] = lambda times: None) -> None:
    """Run jobs to the end on the threads of the setup."""
    finish(run_jobs(jobs, setup, FileOptions(jobs=setup.threads), on_times))


def _compared(name: str, alone: Callable[[], None], whole: Callable[[], None], count: int,
              pairs: int) -> dict[str, Any]:
    seconds: dict[str, list[float]] = {"alone": [], "whole": []}
    for number in range(pairs):
        order = [("alone", alone), ("whole", whole)]
        for which, run in reversed(order) if number % 2 else order:
            began = time.perf_counter()
            run()
            seconds[which].append(time.perf_counter() - began)
    shares = [one / other for one, other in zip(seconds["alone"], seconds["whole"], strict=True)]
    print(f"{name}: {count / seconds['whole'][0]:.1f} pictures/s, shares {[round(share, 3) for share in shares]}",
          flush=True)
    return {"name": name, "pictures": count, "alone_s": seconds["alone"], "whole_s": seconds["whole"], "shares": shares}


def of_sleepers(pairs: int, workers: int = SLEEPERS, count: int = 1280) -> dict[str, Any]:
    """The same for stages that only sleep, which takes no processor, however many workers there are."""
    def decode(task: int, reserve: Reserve) -> int | None:
        if not reserve(1):
            return None
        time.sleep(DECODE_S)
        return task

    def encode(task: int, large: int) -> int:
        time.sleep(ENCODE_S)
        return large

    stages = Stages[int, int, int, int](
        decode=decode, compute=lambda task, decoded: Computed(large=decoded), encode=encode,
        encoded_bytes=lambda encoded: 1, store=lambda task, encoded: (), is_error=lambda error: False,
        ends_run=lambda error: False)

    def alone() -> None:
        with ThreadPoolExecutor(max_workers=workers) as pool:
            for _ in pool.map(lambda task: encode(task, decode(task, lambda needed: True) or 0), range(count)):
                pass

    def whole() -> None:
        for finished in Pipeline(range(count), stages, workers=workers, memory=MemoryBudget(None)).run():
            if finished.error is not None:
                raise finished.error

    return {**_compared(f"sleep, {workers} workers", alone, whole, count, pairs), "workers": workers}


if __name__ == "__main__":
    main()
