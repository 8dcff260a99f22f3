"""From files to files on a GPU: `srn-deploy upscale` over the 100 test inputs, by each way that runs there."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpu_outputs import folders
from benchmarks.gpu_paper import INPUTS
from benchmarks.gpu_sections import Rows, Scale
from benchmarks.inputs import BENCHMARKS, data_path
from srn_deploy.image import Image, find_images, write_image
from srn_deploy.registry.shipped import default_model, shipped_models

_PASSES = 2
"""The first one also reads files that the operating system does not hold yet, and compiles; the last one counts."""


def end_to_end(scale: Scale) -> Rows:
    """Seconds of whole processes, images per second, and which way `upscale` says it took."""
    work, _ = folders()
    inputs = data_path(INPUTS) if scale.on_gpu else _drawn(work / "drawn")
    device = "cuda" if scale.on_gpu else "cpu"
    checkpoint = str(shipped_models()[default_model()].checkpoint.checked_path())
    ways = {"the graph on ONNX Runtime": ["--device", device], "the checkpoint on PyTorch": [
        "--device", device, "--model", checkpoint], "what auto takes": ["--device", "auto"]}
    for way, options in ways.items():
        yield _run(way, inputs, work / "upscaled", options)


def _drawn(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 40, 48, 3), dtype=np.uint8)
    for number, image in enumerate(pixels):
        write_image(folder / f"{number}.png", Image(pixels=image))
    return folder


def _run(way: str, inputs: Path, target: Path, options: list[str]) -> dict[str, Any]:
    count, seconds = len(find_images(inputs)), []
    for _ in range(_PASSES):
        shutil.rmtree(target, ignore_errors=True)
        began = time.perf_counter()
        ended = subprocess.run([sys.executable, "-m", "srn_deploy", "upscale", str(inputs), str(target), *options],
                               cwd=BENCHMARKS.parent, capture_output=True, text=True, check=False)
        seconds.append(time.perf_counter() - began)
        if ended.returncode:
            last = ended.stderr.strip().splitlines()[-1:] or [""]
            return {"what": f"upscale of {count} inputs, {way}", "failed": last[0][:300]}
    written = len(find_images(target))
    return {"what": f"upscale of {count} inputs, {way}", "seconds": seconds[-1], "first_seconds": seconds[0],
            "images_per_s": count / seconds[-1], "written": written}
