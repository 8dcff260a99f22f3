"""Peak memory of `srn-deploy upscale` on pictures that are much larger than what it may take, as whole processes.

    python -m benchmarks.huge_pictures [--sides N N] [--backends costless default] [--suffixes .png .tif]
        [--scales 4 1.5] [--add]

Every picture is drawn as a TIFF in strips. The costless backend shows reading and writing alone, in a minute or two;
the default model takes some minutes. Results that are reduced are those of the costless backend. Each run is one
process; runs are not repeated. The record is written after each run; with --add it keeps those that it has.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.inputs import BENCHMARKS, RECORDS
from benchmarks.whole_process import run_process
from srn_deploy.benchmark.environment import current_environment
from srn_deploy.benchmark.records import Record
from srn_deploy.benchmark.tables import markdown_table
from srn_deploy.image import Image
from srn_deploy.image.bands.source import shape_only
from srn_deploy.image.bands.writing import writing_bands
from srn_deploy.registry.shipped import default_model, shipped_models
from srn_deploy.system.hashing import sha256_of_file
from srn_deploy.system.threads import usable_cores
from srn_deploy.verification.sample_images import originals

KIND = "huge-pictures"

MOST_BYTES = 3 * 2**29
"""The requirement of this project for the larger picture: 1.5 GiB."""

MOST_GROWTH = 0.10
"""The requirement for its peak over that of the smaller one, which has a quarter of the pixels."""

SIDES = (5000, 10_000)

BACKENDS = ("costless", "default")

SCALE, REDUCED = 4.0, 1.5
"""Of the results: what the models give, and what is reduced from it."""

ROWS = 500

MIB = 2**20

INTRODUCTION = """## Huge pictures

`srn-deploy upscale IN OUT` with its defaults on square pictures that are drawn for it, as TIFF in strips; the peak is
the largest resident set of the whole process. The result is written by bands of rows, so that memory does not grow with
it. *Costless* is a network that only repeats pixels: what is left is reading, joining, the guard and writing.

Measure: `python -m benchmarks.huge_pictures`."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the arguments, measure, write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=SIDES)
    parser.add_argument("--backends", nargs="+", choices=BACKENDS, default=BACKENDS)
    parser.add_argument("--suffixes", nargs="+", choices=[".png", ".tif"], default=[".png", ".tif"],
                        help="of the results; the default model writes the first alone")
    parser.add_argument("--scales", type=float, nargs="+", choices=[SCALE, REDUCED], default=[SCALE, REDUCED],
                        help="of the results; of other backends than the costless the first alone")
    parser.add_argument("--add", action="store_true", help="keep the runs that the record has")
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--records", type=Path, default=RECORDS, help="folder of the record")
    options = parser.parse_args(arguments)
    environment, path = current_environment(threads=options.threads), options.records / f"{KIND}.json"
    runs: list[dict[str, Any]] = list(Record.load(path).results["runs"]) if options.add and path.exists() else []
    model = shipped_models()[default_model()]
    results = {"model": model.name, "sha256": sha256_of_file(model.graph.checked_path()), "most_bytes": MOST_BYTES,
               "most_growth": MOST_GROWTH}
    cases = [(backend, suffix, scale) for backend in options.backends for scale in options.scales
             for suffix in options.suffixes
             if backend == "costless" or (scale == SCALE and suffix == options.suffixes[0])]
    for run in measure(sorted(options.sides), cases, options.threads):
        runs.append(run)
        Record(kind=KIND, title="Pictures larger than memory", environment=environment,
               results=results | {"runs": runs}).save(path)
        print(f"{run['backend']}, {run['side_px']} px, {run['suffix']} x{run['scale']:g}: "
              f"{run['peak_bytes'] / MIB:.0f} MiB, {run['seconds']:.0f} s; {path} written.", flush=True)


def measure(sides: Sequence[int], cases: Sequence[tuple[str, str, float]], threads: int) -> Iterator[dict[str, Any]]:
    """Draw each picture and upscale it in each case (backend, suffix, scale), in processes of their own."""
    for side in sides:
        with tempfile.TemporaryDirectory() as folder:
            draw(source := Path(folder) / "drawn.tif", side)
            for backend, suffix, scale in cases:
                target = Path(folder) / f"upscaled{suffix}"
                wanted = () if scale == SCALE else (f"{scale:g}",)
                run = run_process([*commands(backend), source, target, *wanted], threads=threads)
                yield {"backend": backend, "side_px": side, "suffix": suffix, "scale": scale, **asdict(run),
                       "source_bytes": source.stat().st_size, "target_bytes": target.stat().st_size}
                target.unlink()


def commands(backend: str) -> list[str | Path]:
    """What upscales with a backend; source and target follow."""
    if backend == "costless":
        return [sys.executable, BENCHMARKS / "costless_upscale.py"]
    return [sys.executable, "-m", "srn_deploy", "upscale"]


def draw(path: Path, side: int) -> None:
    """A drawn picture mirrored on until it fills a square, written by bands; each mirror image has its own tint."""
    *_, patch = originals()
    colour, _ = shape_only(height=side, width=side, channels=3, has_alpha=False)
    with writing_bands(path, Image(pixels=colour), 1) as writer:
        for top in range(0, side, ROWS):
            writer.write(mirrored(patch, np.arange(top, min(top + ROWS, side)), np.arange(side)))


def mirrored(patch: NDArray[np.uint8], rows: NDArray[np.intp], cols: NDArray[np.intp]) -> NDArray[np.uint8]:
    """Some rows and columns of the plane that mirror images of a patch (h, w, 3) fill."""
    places = [np.minimum(at % (2 * side), 2 * side - 1 - at % (2 * side))
              for at, side in zip((rows, cols), patch.shape[:2], strict=True)]
    plane: NDArray[np.uint8] = patch[places[0][:, None], places[1][None, :]]
    row, col = rows // patch.shape[0], cols // patch.shape[1]
    tint = ((row[:, None] * 7 + col[None, :] * 13) % 32).astype(np.uint8)[..., None]
    tinted: NDArray[np.uint8] = plane - np.minimum(plane, tint)
    return tinted


def huge_picture_tables(results: Mapping[str, Any]) -> list[str]:
    """Every run, and whether the requirements are met."""
    runs = results["runs"]
    rows = [("backend", "input", "result", "peak memory, MiB", "wall clock, s", "CPU time, s", "file read, MiB",
             "file written, MiB"),
            *((run["backend"], f"{run['side_px']} × {run['side_px']} px", f"{run['suffix'][1:]}, ×{scale_of(run):g}",
               f"{run['peak_bytes'] / MIB:.0f}", f"{run['seconds']:.0f}", f"{run['cpu_seconds']:.0f}",
               f"{run['source_bytes'] / MIB:.0f}", f"{run['target_bytes'] / MIB:.0f}") for run in runs)]
    sentence = (f"The default model is `{results['model']}` (graph sha256 {results['sha256'][:12]}…); one run each. "
                f"The largest result has {max(scale_of(run) * run['side_px'] for run in runs) ** 2 / 1e6:,.0f} "
                f"megapixels. Results of ×{REDUCED:g} are reduced, by bands too, from what the network gives for ×4.")
    verdicts = [("figure, default model", "required", "measured", "met"), *_verdicts(results)]
    return [sentence, markdown_table(rows), *([markdown_table(verdicts)] if len(verdicts) > 1 else [])]


def scale_of(run: Mapping[str, Any]) -> float:
    """That of a run's result, which the first records do not name."""
    return float(run.get("scale", SCALE))


def _verdicts(results: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    peaks = {run["side_px"]: run["peak_bytes"] for run in results["runs"] if run["backend"] == "default"}
    if set(peaks) != set(SIDES):
        return
    small, large = (peaks[side] for side in SIDES)
    difference = abs(large - small) / large
    yield (f"peak at {SIDES[1]} px, MiB", f"at most {results['most_bytes'] / MIB:.0f}", f"{large / MIB:.0f}",
           "yes" if large <= results["most_bytes"] else "no")
    yield (f"difference to {SIDES[0]} px", f"at most {100 * results['most_growth']:.0f} %", f"{100 * difference:.1f} %",
           "yes" if difference <= results["most_growth"] else "no")


if __name__ == "__main__":
    main()
