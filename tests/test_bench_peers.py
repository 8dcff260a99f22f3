"""`bench --paper --peers`: networks that the paper's tables do not have."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from srn_deploy.architectures import ARCHITECTURES
from srn_deploy.benchmark import paper, paper_page, paper_protocol
from srn_deploy.benchmark.inputs import Inputs
from srn_deploy.benchmark.paper import paper_rows
from srn_deploy.benchmark.paper_protocol import run_paper
from srn_deploy.report.content import SpreadChart
from srn_deploy.report.paper import paper_charts


def test_networks_beside_the_papers_are_timed_where_that_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    small = (("SPAN", "span", {"channels": 4}), ("RRDBNet", "rrdbnet", {"channels": 4, "growth": 2, "blocks": 1}))
    monkeypatch.setattr(paper, "_PEERS", small)
    monkeypatch.setattr(paper_protocol, "paper_rows", lambda: [
        row for row in paper_rows() if row.table == "table1" and row.scale == 4 and row.model in ("SRN-S", "RLFN")])
    picture = np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    record = run_paper(Inputs(label="tiny", pictures=(picture,) * 2), peers=True)
    head, *rows = paper_page.tables(record)["Other networks, ×4"]
    cells = {row[0]: dict(zip(head, row, strict=True)) for row in rows}
    assert set(cells) == {"RLFN", "SRN", "SRN-S", "SPAN", "RRDBNet"}
    assert cells["RLFN"]["ratio m"].startswith("1.000")
    assert cells["SRN"]["ms m"] == "not run"
    assert all(float(cells[model]["ms m"]) > 0 for model in ("SRN-S", "SPAN", "RRDBNet"))
    bars = [chart for chart in paper_charts(record) if isinstance(chart, SpreadChart)]
    assert [row.name for chart in bars for row in chart.rows] == ["RLFN, ×4", "SRN-S, ×4", "SPAN, ×4", "RRDBNet, ×4"]


def test_every_network_beside_the_papers_can_be_built_and_has_a_row_of_its_own() -> None:
    rows, others = paper.peer_rows(), {row.network for row in paper_rows()}
    assert len({row.network for row in rows} - others) == len(rows)
    with torch.device("meta"):
        for row in rows:
            ARCHITECTURES[str(row.architecture)].build(row.options)
