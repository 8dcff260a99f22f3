"""The paper's tables as data, and which network stands behind each row."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any

from srn_deploy.architectures import ARCHITECTURES
from srn_deploy.benchmark.contestants import ratios
from srn_deploy.benchmark.records import WIDE_SPREAD
from srn_deploy.spec import Scalar

TABLES = ("table1", "table2", "table3", "table4", "table5")

PROTOCOL = """Batch 1, the forward pass alone, device events, the arithmetic mean over all inputs at their real sizes.
Inferred, because the paper does not say it: PyTorch in FP32, no warm-up, cudnn.benchmark off, TF32 at its default
(on for convolutions). Milliseconds of the paper: an NVIDIA GeForce RTX 3080."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of a table: what is printed, and the network that is run for it."""

    table: str
    model: str
    quoted: Mapping[str, Any]
    architecture: str | None
    options: Mapping[str, Scalar]

    @property
    def scale(self) -> int:
        """Of the table's part."""
        return int(self.options.get("scale", 4))

    @property
    def network(self) -> str:
        """What tells one network from another: equal rows of several tables are run once."""
        return f"{self.architecture} {json.dumps(dict(sorted(self.options.items())))}"

    @property
    def is_runnable(self) -> bool:
        """Whether the network is public and known here."""
        return self.architecture in ARCHITECTURES


def paper_rows() -> list[Row]:
    """All rows of Tables 1 to 5 in their order."""
    text = resources.files("srn_deploy.benchmark").joinpath("paper_tables.json").read_text(encoding="utf-8")
    data = json.loads(text)
    return [Row(table=table, model=str(row["model"]), architecture=row["architecture"], options=row["options"] or {},
                quoted={name: value for name, value in row.items() if name not in ("architecture", "options")})
            for table in TABLES for row in data[table]]


def noise(networks: Mapping[str, Any]) -> list[str]:
    """Inputs differ in size, so what tells noise is how far the ratios to RLFN lie apart."""
    told = []
    for scale in (2, 4):
        rows = [row for row in paper_rows() if row.table == "table1" and row.scale == scale and row.network in networks]
        peer = next((networks[row.network] for row in rows if row.model == "RLFN"), None)
        spreads = {} if peer is None else {row.model: _spread(networks[row.network], peer) for row in rows}
        if noisy := [model for model, spread in spreads.items() if spread > WIDE_SPREAD]:
            told.append(f"×{scale}: the quartiles of the ratios to RLFN lie more than {WIDE_SPREAD:.0%} of the median "
                        f"apart for {', '.join(noisy)}; end other programs and give more inputs.")
    return told


def _spread(network: Mapping[str, Any], peer: Mapping[str, Any]) -> float:
    found = ratios(network["samples_ms"], peer["samples_ms"])
    return (found["upper_quartile"] - found["lower_quartile"]) / found["median"]
