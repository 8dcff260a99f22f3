"""Peak memory of whole processes that upscale few and many small pictures, with a network that costs nothing.

    python -m benchmarks.many_pictures [--counts N N] [--at-once N N] [--repeats N]

The pictures are drawn, of several sizes in turn. Runs with several at once batch equal ones, as `tune` may choose.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.inputs import BENCHMARKS, RECORDS
from benchmarks.whole_process import run_process
from srn_deploy.benchmark.environment import current_environment
from srn_deploy.benchmark.records import Record
from srn_deploy.benchmark.tables import markdown_table
from srn_deploy.image import Image, write_image
from srn_deploy.system.threads import usable_cores
from srn_deploy.verification.sample_images import originals

KIND = "many-pictures"

COUNTS = (300, 3000)

AT_ONCE = (1, 4)

SIDES_PX = (64, 80, 96, 112)

MOST_GROWTH = 0.05
"""Of the median peak from the fewest pictures to the most: what counts as flat."""

DIGITS = 4
"""Of a growth."""

MIB = 2**20

INTRODUCTION = """## Memory over many files

The peak, the largest resident set of the whole process, of runs over a folder of few and of many small pictures, drawn,
with a network that only repeats pixels. PNG in, PNG out, with the defaults of `upscale`.

Measure: `python -m benchmarks.many_pictures`."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the arguments, measure, write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS)
    parser.add_argument("--at-once", type=int, nargs="+", default=AT_ONCE, help="images of one size in a batch")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--records", type=Path, default=RECORDS, help="folder of the record")
    options = parser.parse_args(arguments)
    environment = current_environment(threads=options.threads)
    cases = [(at_once, count) for at_once in options.at_once for count in sorted(options.counts)]
    runs: dict[tuple[int, int], list[dict[str, Any]]] = {case: [] for case in cases}
    with tempfile.TemporaryDirectory() as folder:
        for count in options.counts:
            draw(Path(folder) / f"in{count}", count)
        for _ in range(options.repeats):
            for at_once, count in cases:
                runs[at_once, count].append(measured(Path(folder), count, at_once, options.threads))
    rows = [{"at_once": at_once, "pictures": count, "runs": runs[at_once, count]} for at_once, count in cases]
    results = {"sides_px": SIDES_PX, "most_growth": MOST_GROWTH, "rows": rows}
    Record(kind=KIND, title="Few and many small pictures", environment=environment,
           results=results).save(options.records / f"{KIND}.json")


def draw(folder: Path, count: int) -> None:
    """Small squares of a drawn picture; equal ones are links to one file."""
    *_, picture = originals()
    folder.mkdir()
    for number in range(count):
        path, first = folder / f"{number}.png", folder / f"{number % len(SIDES_PX)}.png"
        side = SIDES_PX[number % len(SIDES_PX)]
        if path == first:
            write_image(path, Image(pixels=picture[:side, :side].copy()))
        else:
            os.link(first, path)


def measured(folder: Path, count: int, at_once: int, threads: int) -> dict[str, Any]:
    """One run over the pictures of a folder, whose results are removed again."""
    with tempfile.TemporaryDirectory(dir=folder) as out:
        run = run_process([sys.executable, BENCHMARKS / "costless_upscale.py", folder / f"in{count}", out, "",
                           str(at_once)], threads=threads)
        written = sum(1 for _ in Path(out).iterdir())
    print(f"{count} pictures, {at_once} at once: {run.peak_bytes / MIB:.0f} MiB, {run.seconds:.0f} s", flush=True)
    return {**asdict(run), "written": written}


def many_picture_tables(results: Mapping[str, Any]) -> list[str]:
    """The peaks, and how much they grow with the number of pictures."""
    rows = [("images at once", "pictures", "peak memory, MiB (lowest … highest)", "wall clock, s", "growth of the peak",
             f"at most {100 * results['most_growth']:.0f} %")]
    for row, growth in zip(results["rows"], growths(results), strict=True):
        peaks = [run["peak_bytes"] / MIB for run in row["runs"]]
        verdict = ("–", "–") if growth is None else (
            f"{100 * growth:+.1f} %", "yes" if growth <= results["most_growth"] else "no")
        rows.append((str(row["at_once"]), f"{row['pictures']:,}",
                     f"{median(peaks):.0f} ({min(peaks):.0f} … {max(peaks):.0f})",
                     f"{median(run['seconds'] for run in row['runs']):.0f}", *verdict))
    sides = ", ".join(map(str, results["sides_px"]))
    repeats = len(results["rows"][0]["runs"])
    sentence = (f"Squares of {sides} px in turn, to four times that; {repeats} runs of each, in turn; the growth is "
                "that of the median over the fewest pictures.")
    return [sentence, markdown_table(rows)]


def growths(results: Mapping[str, Any]) -> list[float | None]:
    """Of each row over the one with the fewest pictures and as many at once; None for that one."""
    found: list[float | None] = []
    first: dict[int, float] = {}
    for row in results["rows"]:
        peak = median(run["peak_bytes"] for run in row["runs"])
        found.append(round(peak / first[row["at_once"]] - 1, DIGITS) if row["at_once"] in first else None)
        first.setdefault(row["at_once"], peak)
    return found


if __name__ == "__main__":
    main()
