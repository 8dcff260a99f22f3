"""The paper's tables as data, and which network stands behind each row."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

import msgspec

from srn_deploy.architectures import ARCHITECTURES
from srn_deploy.benchmark.candidates import ratios
from srn_deploy.benchmark.results import NetworkResult
from srn_deploy.benchmark.summary import WIDE_SPREAD
from srn_deploy.errors import OptionError
from srn_deploy.spec import Scalar
from srn_deploy.system.documents import decode_json

TABLES = ("table1", "table2", "table3", "table4", "table5")

PROTOCOL = """Batch 1, the forward pass alone, device events, the arithmetic mean over all inputs at their real sizes.
Inferred, because the paper does not say it: PyTorch in FP32, no warm-up, cudnn.benchmark off, TF32 at its default
(on for convolutions). Milliseconds of the paper: an NVIDIA GeForce RTX 3080."""

OURS = ("SRN", "SRN-S")
"""The networks that Figure 1 marks, as the paper does."""


class QuotedQuality(msgspec.Struct, frozen=True, kw_only=True):
    """On one test set, as printed; None where nothing is printed."""

    psnr_y_db: float | None = None
    ssim_y: float | None = None


class Quoted(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a table as printed, and the network that stands behind it. None: not printed."""

    model: str
    architecture: str | None
    options: dict[str, Scalar] | None
    runtime_ms: float | None
    quality: dict[str, QuotedQuality] = {}
    last_conv: bool = False
    residual: bool = False
    distillation: bool = False
    parameters_k: int | None = None
    parameters_m: float | None = None
    flops_g: float | None = None
    activations_m: float | None = None
    memory_mb: float | None = None
    convolutions: int | None = None
    psnr_rgb_val_db: float | None = None
    psnr_rgb_test_db: float | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of a table: what is printed, and the network that is run for it."""

    table: str
    quoted: Quoted

    @property
    def model(self) -> str:
        """The name that the paper prints."""
        return self.quoted.model

    @property
    def architecture(self) -> str | None:
        """None for a network that is not public."""
        return self.quoted.architecture

    @property
    def options(self) -> Mapping[str, Scalar]:
        """Of the architecture."""
        return self.quoted.options or {}

    @property
    def scale(self) -> int:
        """The factor of upscaling."""
        return int(self.options.get("scale", 4))

    @property
    def network(self) -> str:
        """Identifies the network: equal rows of several tables are run once."""
        return f"{self.architecture} {json.dumps(dict(sorted(self.options.items())))}"

    @property
    def is_runnable(self) -> bool:
        """Whether the network is public and known here."""
        return self.architecture in ARCHITECTURES


def paper_rows() -> list[Row]:
    """All rows of Tables 1 to 5 in their order."""
    text = resources.files("srn_deploy.benchmark").joinpath("paper_tables.json").read_text(encoding="utf-8")
    tables = decode_json(text, _PaperTables, lambda fault: OptionError(
        f"The paper's tables are damaged ({fault}).", remedy="Install srn-deploy again."))
    return [Row(table=table, quoted=quoted) for table in TABLES for quoted in getattr(tables, table)]


def peer_rows() -> list[Row]:
    """Networks that the paper's tables do not have, most of them later ones, at x4: nothing of them is quoted."""
    return [Row(table="peers", quoted=Quoted(model=model, architecture=architecture, options={"scale": 4, **options},
                                             runtime_ms=None)) for model, architecture, options in _PEERS]


_PEERS: tuple[tuple[str, str, dict[str, Scalar]], ...] = (
    ("EFDN", "efdn", {}), ("FMEN", "fmen", {}), ("BSRN", "bsrn", {}),
    ("BSRN-S", "bsrn", {"variant": "challenge", "channels": 48, "distilled_channels": 24, "blocks": 5,
                        "esa_channels": 12}),
    ("SPAN", "span", {}), ("SPANV2", "spanv2", {}), ("SRVGGNetCompact, 16 convolutions", "srvgg", {}),
    ("SRVGGNetCompact, 32 convolutions (realesr-general-x4v3)", "srvgg", {"blocks": 32}),
    ("RRDBNet, 6 blocks", "rrdbnet", {"blocks": 6}), ("RRDBNet (ESRGAN, RealESRGAN_x4plus)", "rrdbnet", {}))
"""Model, architecture and options."""


class _PaperTables(msgspec.Struct, frozen=True):
    table1: list[Quoted]
    table2: list[Quoted]
    table3: list[Quoted]
    table4: list[Quoted]
    table5: list[Quoted]


def noise(networks: Mapping[str, NetworkResult]) -> list[str]:
    """Sentences on noise. Inputs differ in size, so noise shows in how far the ratios to RLFN lie apart."""
    sentences = []
    for scale in (2, 4):
        rows = [row for row in paper_rows() if row.table == "table1" and row.scale == scale and row.network in networks]
        peer = next((networks[row.network] for row in rows if row.model == "RLFN"), None)
        spreads = {} if peer is None else {row.model: _spread(networks[row.network], peer) for row in rows}
        if noisy := [model for model, spread in spreads.items() if spread > WIDE_SPREAD]:
            sentences.append(f"×{scale}: the quartiles of the ratios to RLFN lie more than {WIDE_SPREAD:.0%} of the "
                             f"median apart for {', '.join(noisy)}; end other programs and give more inputs.")
    return sentences


def _spread(network: NetworkResult, peer: NetworkResult) -> float:
    found = ratios(network.samples_ms, peer.samples_ms)
    return (found.upper_quartile - found.lower_quartile) / found.median
