"""Size and time of PNG and lossless WebP, for each effort and for the settings that were not chosen.

    python -m benchmarks.effort_table [--photos N] [--repeats N]

The images are what the default model makes of photographs, and of the drawn images of this project. Time is that of
the processor on one thread, the least of the repeats.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

import srn_deploy
from benchmarks.inputs import BENCHMARKS, RECORDS, data_path
from srn_deploy.benchmark.environment import current_environment
from srn_deploy.benchmark.records import Record
from srn_deploy.benchmark.tables import markdown_table
from srn_deploy.image import Effort, Image, read_image
from srn_deploy.image.writing import encode_image
from srn_deploy.system.threads import usable_cores

PHOTOS = "images/DIV2K_test_LR_x4"

SIDE_PX = 200
"""The middle of each image that is upscaled, for settings that take seconds."""

DRAWINGS = ("badge", "curves", "demo", "texture")

Pixels = NDArray[np.uint8]
Encode = Callable[[Pixels], int]
"""Takes RGB, returns the length of the file."""

INTRODUCTION = """## Effort

What `--effort fast`, `normal` and `small` cost and give for PNG and for WebP without loss, and settings that were not
taken: milliseconds of one core for a megapixel that is written, and the size of the file. The images are what the
default model makes of the middle of photographs, and of drawn images. 100 % is the file of `normal` in PNG.

Measure: `python -m benchmarks.effort_table`."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the arguments, measure, write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=4, help=f"of {PHOTOS}, evenly chosen")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--records", type=Path, default=RECORDS, help="folder of the record")
    options = parser.parse_args(arguments)
    environment = current_environment(threads=options.threads)
    kinds = {kind: list(upscaled(paths, options.threads)) for kind, paths in inputs(options.photos).items()}
    cv2.setNumThreads(1)
    rows = [{"format": container, "setting": setting, "effort": effort, **measured(encode, kinds, options.repeats)}
            for container, setting, effort, encode in settings()]
    results = {"repeats": options.repeats, "rows": rows, "images": {kind: len(some) for kind, some in kinds.items()},
               "pixels": {kind: sum(image.shape[0] * image.shape[1] for image in some) for kind, some in kinds.items()}}
    Record(kind="effort", title="Size and time of each effort", environment=environment, results=results).save(
        options.records / "effort.json")


def inputs(photos: int) -> dict[str, list[Path]]:
    """Photographs and drawn images that are to be upscaled."""
    drawn = [BENCHMARKS / "pictures" / f"{name}.png" for name in DRAWINGS]
    every = sorted(data_path(PHOTOS).glob("*.png"))
    return {"photographs": every[::max(1, len(every) // photos)][:photos], "drawn images": drawn}


def upscaled(paths: Sequence[Path], threads: int) -> Iterator[Pixels]:
    """What the default model makes of them, as RGB."""
    with srn_deploy.cpu_threads(threads):
        upscaler = srn_deploy.load(device="cpu")
    with upscaler:
        for path in paths:
            small = read_image(path).as_rgb8()
            top, left = (max(0, side - SIDE_PX) // 2 for side in small.shape[:2])
            large = upscaler.upscale(small[top:top + SIDE_PX, left:left + SIDE_PX])
            yield np.asarray(large, np.uint8)


def settings() -> Iterator[tuple[str, str, str, Encode]]:
    """Format, settings in words, the effort that they are ("" for none), and what encodes so."""
    for suffix, container in ((".png", "PNG"), (".webp", "WebP")):
        for effort in Effort:
            yield container, "as written", effort.value, partial(_as_written, Path(f"any{suffix}"), effort)
    for level in (1, 6):
        yield "PNG", f"OpenCV, level {level}", "", partial(_by_opencv, ".png", (cv2.IMWRITE_PNG_COMPRESSION, level))
    for named in ("NONE", "SUB", "UP", "AVG", "PAETH"):
        yield "PNG", f"Huffman codes alone, filter {named.lower()}", "", partial(_by_opencv, ".png", (
            cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY,
            cv2.IMWRITE_PNG_FILTER, getattr(cv2, f"IMWRITE_PNG_FILTER_{named}")))
    yield "WebP", "OpenCV", "", partial(_by_opencv, ".webp", (
        cv2.IMWRITE_WEBP_LOSSLESS_MODE, cv2.IMWRITE_WEBP_LOSSLESS_PRESERVE_COLOR))
    for method, quality in ((0, 0), (0, 20), (1, 0), (2, 0), (3, 0), (3, 20), (4, 0), (4, 75), (6, 0), (6, 75)):
        yield "WebP", f"libwebp, method {method}, quality {quality}", "", partial(_by_libwebp, method, quality)


def _as_written(path: Path, effort: Effort, rgb: Pixels) -> int:
    return len(encode_image(path, Image(pixels=rgb), effort=effort).data)


def _by_opencv(suffix: str, options: Sequence[int], rgb: Pixels) -> int:
    return len(cv2.imencode(suffix, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), options)[1])


def _by_libwebp(method: int, quality: int, rgb: Pixels) -> int:
    file = io.BytesIO()
    Pillow.fromarray(rgb).save(file, "WEBP", lossless=True, exact=True, method=method, quality=quality)
    return file.tell()


def measured(encode: Encode, kinds: Mapping[str, Sequence[Pixels]], repeats: int) -> dict[str, Any]:
    """Milliseconds and bytes per megapixel, for each kind of images."""
    found: dict[str, Any] = {}
    for kind, images in kinds.items():
        megapixels = sum(image.shape[0] * image.shape[1] for image in images) / 1e6
        spent = [_cpu_seconds(encode, image, repeats) for image in images]
        found[kind] = {"ms": 1000 * sum(seconds for seconds, _ in spent) / megapixels,
                       "bytes": sum(size for _, size in spent) / megapixels}
    return found


def _cpu_seconds(encode: Encode, image: Pixels, repeats: int) -> tuple[float, int]:
    seconds = []
    for _ in range(repeats):
        began = time.process_time()
        size = encode(image)
        seconds.append(time.process_time() - began)
    return min(seconds), size


def effort_tables(results: Mapping[str, Any]) -> list[str]:
    """One row for each setting: time and size for each kind of images."""
    kinds = list(results["images"])
    normal = next(row for row in results["rows"] if (row["format"], row["effort"]) == ("PNG", "normal"))
    head = ("format", "setting", *(f"{kind}, {what}" for kind in kinds for what in ("ms per megapixel", "size")))
    rows = [(row["format"], f"**`--effort {row['effort']}`**" if row["effort"] else row["setting"],
             *(cell for kind in kinds for cell in (
                 f"{row[kind]['ms']:.0f}", f"{100 * row[kind]['bytes'] / normal[kind]['bytes']:.1f} %")))
            for row in results["rows"]]
    counted = ", ".join(f"{count} {kind} of {results['pixels'][kind] / 1e6:.1f} megapixels together"
                        for kind, count in results["images"].items())
    return [f"{counted}; the least of {results['repeats']} times.", markdown_table([head, *rows])]


if __name__ == "__main__":
    main()
