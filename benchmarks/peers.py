"""Networks that the paper's tables do not have, timed by its protocol beside SRN, SRN-S and RLFN.

    python -m benchmarks.peers [--images FOLDER] [--limit N]

`srn-deploy bench --paper --peers` times them with all networks of the tables; this is the part that is new, which a CPU
finishes in minutes.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.inputs import RECORDS, data_path
from srn_deploy.benchmark.candidates import ratios
from srn_deploy.benchmark.inputs import open_inputs
from srn_deploy.benchmark.paper import Row, paper_rows, peer_rows
from srn_deploy.benchmark.paper_protocol import run_paper
from srn_deploy.benchmark.records import Record
from srn_deploy.benchmark.results import PaperResults
from srn_deploy.benchmark.tables import markdown_table
from srn_deploy.errors import OptionError
from srn_deploy.system.documents import convert

KIND = "peers"

INPUTS, LABEL = "images/Set14/x4/LR", "those of Set14 at ×4"
"""Small enough for a CPU to finish in minutes."""

INTRODUCTION = """## Networks of today beside SRN

EFDN, FMEN, BSRN, SPAN, SPANV2, SRVGGNetCompact and RRDBNet (×4) by the paper's protocol beside its own networks:
FP32 in PyTorch, no warm-up, all networks in turn on each image. The ratio is RLFN's time over the network's, so more
is faster, pair by pair, median and quartiles; times of single passes are in the record. A ratio holds for this
processor and images of this size.

Measure: `python -m benchmarks.peers` on a machine that does nothing else."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the arguments, time all, write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="folder of inputs; default: Set14's of the real data")
    parser.add_argument("--limit", type=int, help="only the first N inputs")
    parser.add_argument("--without", action="append", default=[], metavar="MODEL", help="leave out; may be repeated")
    parser.add_argument("--records", type=Path, default=RECORDS, help="folder of the record")
    options = parser.parse_args(arguments)
    inputs = open_inputs(options.images or data_path(INPUTS), options.limit)
    if options.images is None:
        inputs = replace(inputs, label=f"{len(inputs.pictures)} images, {LABEL}")
    rows = [row for row in compared() if row.model not in options.without]
    timed = run_paper(inputs, rows=rows)
    Record(kind=KIND, title=f"Networks of today on {timed.environment.cpu}", environment=timed.environment,
           results=timed.results | {"instructions": torch.backends.cpu.get_cpu_capability()},
           ).save(options.records / f"{KIND}-cpu.json")


def compared() -> list[Row]:
    """RLFN, SRN and SRN-S of Table 1 at x4, then the others."""
    beside = [row for row in paper_rows() if row.table == "table1" and row.scale == 4
              and row.model in ("RLFN", "SRN", "SRN-S")]
    return [*beside, *peer_rows()]


def peer_tables(results: Mapping[str, Any]) -> list[str]:
    """Sizes and ratios."""
    found = convert({key: value for key, value in results.items() if key != "instructions"}, PaperResults,
                    lambda fault: OptionError(f"The record of peers is damaged ({fault}).", remedy="Measure it again."))
    rows = [row for row in compared() if row.network in found.networks]
    rlfn = found.networks[next(row.network for row in rows if row.model == "RLFN")]
    cells = []
    for row in rows:
        network = found.networks[row.network]
        ratio = ratios(network.samples_ms, rlfn.samples_ms)
        cells.append((row.model, f"{network.parameters / 1000:.1f}", f"{network.flops / 1e9:.2f}",
                      f"{ratio.median:.3f} ({ratio.lower_quartile:.3f}–{ratio.upper_quartile:.3f})"))
    inputs = "; ".join(found.inputs.values())
    return [f"Inputs: {inputs}. PyTorch computes with {results['instructions']}.",
            markdown_table([("network", "params, K", "FLOPs at 256², G", "RLFN's time / its time"), *cells]),
            *(f"Caution: {caution}" for caution in found.cautions)]


if __name__ == "__main__":
    main()
