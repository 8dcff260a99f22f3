"""Graphs that an earlier version exported beside those that this one exports of the same checkpoints.

    python -m benchmarks.graph_versions [EARLIER.onnx CHECKPOINT ...] [--pairs N]

Without arguments: the shipped graphs and the shipped checkpoints. Both run in turn in one process on ONNX Runtime,
A B B A ..., after passes that are not counted. Let nothing else run meanwhile.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from statistics import median
from typing import Any

import onnx

from benchmarks.inputs import EXAMPLE_PICTURE, RECORDS, data_path
from srn_deploy.backends.onnx_runtime import OnnxRuntimeBackend
from srn_deploy.benchmark.environment import current_environment
from srn_deploy.benchmark.records import Record
from srn_deploy.benchmark.summary import doubts, paired_ratios
from srn_deploy.benchmark.tables import markdown_table
from srn_deploy.image import read_image
from srn_deploy.registry.resolve import ModelKind, resolve
from srn_deploy.registry.shipped import shipped_models
from srn_deploy.system.threads import cpu_threads, usable_cores
from srn_deploy.tiling.tiles import PixelArray
from srn_deploy.verification.agreement import compare_backends
from srn_deploy.verification.export_proof import export_and_prove

WARM_UP_PASSES = 2

INTRODUCTION = """## Graphs of this version and of the one before

What is exact on tiles used to be written into each network; now the exported graph is searched for it. Graphs of the
version before, beside those that this version exports of the same checkpoints, in turn in one process, one pass over
one image.

Measure: `python -m benchmarks.graph_versions`, for other graphs with their names and those of their checkpoints."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the arguments, measure, write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", metavar="FILE", help="graphs, each followed by its checkpoint")
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--image", type=Path, help=f"default: {EXAMPLE_PICTURE} of the real data")
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--records", type=Path, default=RECORDS, help="folder of the record")
    options = parser.parse_args(arguments)
    if len(options.files) % 2:
        parser.error("each graph needs its checkpoint")
    chosen = zip(map(Path, options.files[::2]), options.files[1::2], strict=True) if options.files else _shipped()
    image = read_image(options.image or data_path(EXAMPLE_PICTURE)).as_rgb8()
    environment = current_environment(threads=options.threads)
    with cpu_threads(options.threads):
        rows = [measured(earlier, checkpoint, image, options.pairs) for earlier, checkpoint in chosen]
    Record(kind="graph-versions", title="Graphs of this version and of the one before", environment=environment,
           results={"height_px": image.shape[0], "width_px": image.shape[1], "pairs": options.pairs, "rows": rows}
           ).save(options.records / "graph-versions.json")
    for row in rows:
        for doubt in doubts({row["network"]: row["time_ratios"]}):
            print(f"Careful: {doubt}")


def _shipped() -> Iterable[tuple[Path, str]]:
    return ((model.graph.checked_path(), name) for name, model in shipped_models().items())


def measured(earlier: Path, checkpoint: str, image: PixelArray, pairs: int) -> dict[str, Any]:
    """One network: the operators of both graphs, how far they differ on the image, and the time of each pair."""
    with tempfile.TemporaryDirectory() as folder:
        today = Path(folder) / "today.onnx"
        export_and_prove(resolve(checkpoint, wanted=ModelKind.CHECKPOINT), today)
        operators = [Counter(node.op_type for node in onnx.load(path).graph.node) for path in (earlier, today)]
        with closing(OnnxRuntimeBackend(earlier)) as before, closing(OnnxRuntimeBackend(today)) as after:
            agreement = compare_backends(after, before, [(image[None], None)])
            steps = [backend.prepare((1, *image.shape[:2])) for backend in (before, after)]
            for step in steps * WARM_UP_PASSES:
                step()
            times = [_pair(steps, swapped=bool(number % 2)) for number in range(pairs)]
    print(f"{earlier.stem}: {agreement}", flush=True)
    series = [list(one) for one in zip(*times, strict=True)]
    return {"network": earlier.stem, "nodes_before": operators[0].total(), "nodes": operators[1].total(),
            "same_operators": operators[0] == operators[1], "worst_levels": agreement.worst_levels,
            "before_ms": series[0], "ms": series[1], "time_ratios": paired_ratios(series[1], series[0])}


def _pair(steps: Sequence[Callable[[], None]], *, swapped: bool) -> list[float]:
    """The milliseconds of both, of which the first or the second is run first."""
    times = [_milliseconds(step) for step in (reversed(steps) if swapped else steps)]
    return times[::-1] if swapped else times


def _milliseconds(step: Callable[[], None]) -> float:
    start = time.perf_counter()
    step()
    return (time.perf_counter() - start) * 1000


def graph_version_tables(results: Mapping[str, Any]) -> list[str]:
    """The table of a record."""
    rows = [("network", "nodes before", "nodes", "same operators", "worst difference, of 255", "before, ms", "ms",
             "median of the ratios")]
    rows += [(row["network"], str(row["nodes_before"]), str(row["nodes"]), "yes" if row["same_operators"] else "no",
              f"{row['worst_levels']:.0f}", f"{median(row['before_ms']):.0f}", f"{median(row['ms']):.0f}",
              f"{median(row['time_ratios']):.3f}") for row in results["rows"]]
    return [f"{results['width_px']} × {results['height_px']} px, {results['pairs']} pairs.", markdown_table(rows)]


if __name__ == "__main__":
    main()
