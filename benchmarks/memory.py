"""Peak memory of `srn-deploy upscale` on a large picture, with its default options, as a whole process.

    python -m benchmarks.memory [--width N] [--height N]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.inputs import RECORDS
from benchmarks.whole_process import run_process
from srn_deploy.benchmark.environment import current_environment
from srn_deploy.benchmark.records import Record
from srn_deploy.image import Image, write_image
from srn_deploy.registry.shipped import default_model, shipped_models
from srn_deploy.system.hashing import sha256_of_file
from srn_deploy.system.threads import usable_cores
from srn_deploy.verification.sample_images import sample_images

MOST_BYTES = 3 * 2**30
"""The requirement of this project for 4000 x 3000 px times 4."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the arguments, measure, write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=4000)
    parser.add_argument("--height", type=int, default=3000)
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--records", type=Path, default=RECORDS, help="folder of the record")
    options = parser.parse_args(arguments)
    record = measure(options.height, options.width, options.threads)
    record.save(options.records / "memory.json")
    print(f"{options.records / 'memory.json'} written.")


def measure(height: int, width: int, threads: int) -> Record:
    """Draw the picture, upscale it in a process of its own, gather what that took."""
    environment = current_environment(threads=threads)
    model = shipped_models()[default_model()]
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "large.png", Path(folder) / "upscaled.png"
        write_image(source, Image(pixels=large_picture(height, width)))
        run = run_process([sys.executable, "-m", "srn_deploy", "upscale", source, target], threads=threads)
        results = {"model": model.name, "sha256": sha256_of_file(model.graph.checked_path()), "scale": model.scale,
                   "width_px": width, "height_px": height, "source_bytes": source.stat().st_size,
                   "target_bytes": target.stat().st_size, **asdict(run), "most_bytes": MOST_BYTES}
    return Record(kind="memory", title="Peak memory on a large picture", environment=environment, results=results)


def large_picture(height: int, width: int) -> NDArray[np.uint8]:
    """A proof picture mirrored on until it fills (height, width, 3), each mirror image in a tint of its own."""
    *_, patch = sample_images()
    missing = ((0, max(0, height - patch.shape[0])), (0, max(0, width - patch.shape[1])), (0, 0))
    mirrored = np.pad(patch, missing, mode="symmetric")[:height, :width]
    row, col = np.arange(height) // patch.shape[0], np.arange(width) // patch.shape[1]
    tint = ((row[:, None] * 7 + col[None, :] * 13) % 32).astype(np.uint8)[..., None]
    tinted: NDArray[np.uint8] = mirrored - np.minimum(mirrored, tint)
    return tinted


if __name__ == "__main__":
    main()
