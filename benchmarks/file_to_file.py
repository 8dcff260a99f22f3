"""From file to file, whole processes in turn: `srn-deploy upscale` against a plain PyTorch script.

    python -m benchmarks.file_to_file [--pairs N] [--picture FILE] [--checkpoint NAME_OR_FILE]

A B A B … in one run with the same number of threads, after warm-up pairs that are not counted. Both write
PNG, each with its own settings. Let nothing else run meanwhile.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.inputs import BENCHMARKS, EXAMPLE_PICTURE, RECORDS, data_path
from benchmarks.whole_process import ProcessRun, run_process
from srn_deploy.benchmark.environment import current_environment
from srn_deploy.benchmark.records import Record
from srn_deploy.benchmark.summary import doubts, paired_ratios
from srn_deploy.image import read_image
from srn_deploy.registry.resolve import ModelKind, resolve
from srn_deploy.registry.shipped import default_model, shipped_models
from srn_deploy.system.hashing import sha256_of_file
from srn_deploy.system.threads import usable_cores
from srn_deploy.verification.export_proof import export_and_prove

LEAST_TIME_RATIO = 2.5
"""The requirement of this project: at least this many times as fast as the plain script."""

WARM_UP_PAIRS = 1
"""Files and libraries come from the disk the first time."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the arguments, measure, write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--warm-up-pairs", type=int, default=WARM_UP_PAIRS)
    parser.add_argument("--picture", type=Path, help=f"default: {EXAMPLE_PICTURE} of the real data")
    parser.add_argument("--checkpoint", default=default_model(), metavar="NAME_OR_FILE")
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--records", type=Path, default=RECORDS, help="folder of the record")
    options = parser.parse_args(arguments)
    record = measure(options.picture or data_path(EXAMPLE_PICTURE), options.checkpoint, options.pairs,
                     options.warm_up_pairs, options.threads)
    record.save(options.records / "file-to-file.json")
    print(f"{options.records / 'file-to-file.json'} written.")
    for doubt in doubts({name: record.results[name]["seconds"] for name in ("upscale", "script")}):
        print(f"Careful: {doubt}")


def measure(picture: Path, checkpoint_name: str, pairs: int, warm_up_pairs: int, threads: int) -> Record:
    """Run all pairs and gather what they took."""
    environment = current_environment(threads=threads)
    checkpoint = resolve(checkpoint_name, wanted=ModelKind.CHECKPOINT).path
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours, theirs = folder / "upscaled.png", folder / "script.png"
        upscale: list[str | Path] = [sys.executable, "-m", "srn_deploy", "upscale", picture, ours, "--device", "cpu",
                                     "--model", graph_of(checkpoint, folder)]
        script: list[str | Path] = [sys.executable, BENCHMARKS / "eager_script.py", checkpoint, picture, theirs]
        runs = [(run_process(upscale, threads=threads), run_process(script, threads=threads))
                for _ in range(warm_up_pairs + pairs)][warm_up_pairs:]
        worst, size = worst_levels(ours, theirs), read_image(picture)
    mine, other = as_columns([pair[0] for pair in runs]), as_columns([pair[1] for pair in runs])
    return Record(
        kind="file-to-file", title="From file to file, whole process", environment=environment,
        results={"checkpoint": checkpoint.stem, "sha256": sha256_of_file(checkpoint), "picture": picture.name,
                 "width_px": size.width, "height_px": size.height, "pairs": pairs, "warm_up_pairs": warm_up_pairs,
                 "upscale": mine, "script": other, "time_ratios": paired_ratios(other["seconds"], mine["seconds"]),
                 "memory_ratios": paired_ratios(mine["peak_bytes"], other["peak_bytes"]),
                 "least_time_ratio": LEAST_TIME_RATIO, "worst_levels": worst})


def graph_of(checkpoint: Path, folder: Path) -> Path:
    """The shipped deploy graph of a shipped checkpoint, else one that is exported now."""
    for model in shipped_models().values():
        if model.checkpoint.checked_path() == checkpoint:
            return model.graph.checked_path()
    return export_and_prove(checkpoint, folder / "deploy.onnx").path


def as_columns(runs: Sequence[ProcessRun]) -> dict[str, list[Any]]:
    """Runs as one series for each figure."""
    return {name: [getattr(run, name) for run in runs] for name in ("seconds", "cpu_seconds", "peak_bytes")}


def worst_levels(first: Path, second: Path) -> int:
    """The largest difference of one value of two picture files of equal size, in levels of 0..255."""
    pixels = [read_image(path).as_rgb8().astype(np.int16) for path in (first, second)]
    return int(np.abs(pixels[0] - pixels[1]).max())


if __name__ == "__main__":
    main()
