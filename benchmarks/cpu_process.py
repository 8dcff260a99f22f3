"""Whole processes in turn on a CPU: `srn-deploy upscale` by ONNX Runtime and by OpenVINO, on images of several sizes.

    python -m benchmarks.cpu_process [--pairs N] [--sizes HxW ...] [--model NAME_OR_FILE]

A B A B … in one run with the same number of threads, after warm-up pairs that are not counted: they compile the model
and certify it. For the network alone use `srn-deploy bench`. Let nothing else run meanwhile.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.file_to_file import WARM_UP_PAIRS, as_columns, worst_levels
from benchmarks.inputs import RECORDS
from benchmarks.memory import large_picture
from benchmarks.whole_process import run_process
from srn_deploy.benchmark.environment import current_environment
from srn_deploy.benchmark.records import Record
from srn_deploy.benchmark.summary import doubts, paired_ratios
from srn_deploy.image import Image, write_image
from srn_deploy.registry.resolve import resolve
from srn_deploy.system.threads import usable_cores
from srn_deploy.tiling.shapes import ShapeRange, Size

RIVALS = ("cpu", "openvino")
"""What --device is given: ONNX Runtime, and OpenVINO in the precision that it takes by itself."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the arguments, measure, write the record, show the ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--warm-up-pairs", type=int, default=WARM_UP_PAIRS)
    parser.add_argument("--sizes", nargs="+", default=["339x510", "1500x2000"], metavar="HxW")
    parser.add_argument("--model", metavar="NAME_OR_FILE", help="default: the default model")
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--records", type=Path, default=RECORDS, help="folder of the record")
    options = parser.parse_args(arguments)
    environment, model = current_environment(threads=options.threads), resolve(options.model)
    results = {size: measure(model.path, ShapeRange.parse(size).largest, options) for size in options.sizes}
    Record(kind="cpu-process", title="ONNX Runtime and OpenVINO on a CPU, whole process", environment=environment,
           results={"model": model.path.stem, "sha256": model.sha256, "sizes": results}
           ).save(options.records / "cpu-process.json")
    print(f"{options.records / 'cpu-process.json'} written.")
    for size, found in results.items():
        print(f"{size}: OpenVINO is {median(found['time_ratios']):.2f} times as fast, with "
              f"{median(found['memory_ratios']):.2f} times the memory; at most {found['worst_levels']} of 255 apart")
        for doubt in doubts({rival: found[rival]["seconds"] for rival in RIVALS}):
            print(f"Careful: {doubt}")


def measure(model: Path, size: Size, options: argparse.Namespace) -> dict[str, Any]:
    """All pairs on one image that is drawn for it: what they took, and the ratios of ONNX Runtime to OpenVINO."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_image(folder / "in.png", Image(pixels=large_picture(*size)))
        targets = {rival: folder / f"{rival}.png" for rival in RIVALS}
        rounds = [[run_process([sys.executable, "-m", "srn_deploy", "upscale", folder / "in.png", target, "--model",
                                model, "--device", rival], threads=options.threads)
                   for rival, target in targets.items()]
                  for _ in range(options.warm_up_pairs + options.pairs)][options.warm_up_pairs:]
        worst = worst_levels(*targets.values())
    columns = {rival: as_columns([one[index] for one in rounds]) for index, rival in enumerate(RIVALS)}
    plain, fast = (columns[rival] for rival in RIVALS)
    return {**columns, "pairs": options.pairs, "worst_levels": worst,
            "time_ratios": paired_ratios(plain["seconds"], fast["seconds"]),
            "memory_ratios": paired_ratios(fast["peak_bytes"], plain["peak_bytes"])}


if __name__ == "__main__":
    main()
