"""The paper's protocol as a part of the GPU report: `bench --paper` on DIV2K's test inputs, and its ratios."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from benchmarks.gpu_outputs import folders
from benchmarks.gpu_sections import Rows, Scale
from benchmarks.inputs import data_path
from srn_deploy.benchmark.candidates import ratios
from srn_deploy.benchmark.inputs import Inputs, open_inputs
from srn_deploy.benchmark.paper import Row, paper_rows
from srn_deploy.benchmark.paper_protocol import run_paper
from srn_deploy.benchmark.results import PaperResults

RECORD = "paper.json"

INPUTS = "images/DIV2K_test_LR_x4"
"""Of the real data."""

_REDUCED_MODELS = ("SRN-S", "SRN", "RLFN")


def paper(scale: Scale) -> Rows:
    """Tables 1 to 5 by the paper's protocol; the record lies among what was found. Ratios of Table 1 at x4 as rows."""
    _, out = folders()
    if scale.on_gpu:
        record = run_paper(open_inputs(data_path(INPUTS)), "cuda")
    else:
        record = run_paper(_drawn(scale), rows=[row for row in _table_1() if row.model in _REDUCED_MODELS])
    record.save(out / RECORD)
    yield from paper_ratios(record.results_as(PaperResults))


def _drawn(scale: Scale) -> Inputs:
    pixels = np.random.default_rng(0).integers(0, 256, (scale.rounds, *scale.size, 3), dtype=np.uint8)
    return Inputs(label=f"{scale.rounds} drawn images", pictures=tuple(pixels))


def _table_1() -> list[Row]:
    return [row for row in paper_rows() if row.table == "table1" and row.scale == 4 and row.is_runnable]


def paper_ratios(results: PaperResults) -> Iterator[dict[str, Any]]:
    """RLFN's time over that of each network of Table 1 at x4, pair by pair, beside what the paper's times give."""
    rows = {row.model: row for row in _table_1() if row.network in results.networks}
    peer = rows.pop("RLFN")
    for model, row in rows.items():
        found = ratios(results.networks[row.network].samples_ms, results.networks[peer.network].samples_ms)
        own, others = row.quoted.runtime_ms, peer.quoted.runtime_ms
        yield {"what": f"{model} : RLFN, ×4", "ratio": found.median, "lower_quartile": found.lower_quartile,
               "upper_quartile": found.upper_quartile, "quoted": None if not own or not others else others / own}
