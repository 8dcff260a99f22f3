"""The paper's tables with our figures next to the printed ones: measured (m) or quoted (q), never mixed up."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from srn_deploy.architectures import ARCHITECTURES
from srn_deploy.benchmark.candidates import ratios
from srn_deploy.benchmark.paper import TABLES, QuotedQuality, Row, paper_rows, peer_rows
from srn_deploy.benchmark.records import Record
from srn_deploy.benchmark.results import EvaluationResults, NetworkResult, PaperResults
from srn_deploy.benchmark.tables import Table, markdown_table
from srn_deploy.errors import OptionError

SETS = ("Set5", "Set14", "BSD100", "Urban100")

TITLES = {"table1": "Table 1", "table2": "Table 2: ESA", "table3": "Table 3: residuals",
          "table4": "Table 4: distillation", "table5": "Table 5: the challenge"}

PEERS = "Other networks, ×4"

_BESIDE = ("SRN", "SRN-S", "RLFN")
"""Of Table 1, to compare the others with."""

LEGEND = """m: measured here. q: quoted from the paper. Ratios: RLFN's time over the row's, so more is faster; ours
pair by pair, median and quartiles. PSNR in dB / SSIM on Y."""


Networks = Mapping[str, NetworkResult]
Evaluations = Sequence[EvaluationResults]


def tables(record: Record, evaluations: Sequence[Record] = ()) -> dict[str, Table]:
    """Title to table: all rows of Tables 1 to 5, and of the networks after them where one was run.

    evaluations: records of `srn-deploy eval`.
    """
    networks = record.results_as(PaperResults).networks
    measured = read_evaluations(evaluations)
    found = {TITLES[name] + part: _table(name, rows, networks, measured)
             for name in TABLES for part, rows in _parts(name)}
    peers = [row for row in peer_rows() if row.network in networks]
    return found | ({PEERS: _peer_table(peers, networks)} if peers else {})


def page(record: Record, evaluations: Sequence[Record] = ()) -> str:
    """All tables as Markdown, with what they were measured on."""
    parts = preface(record)
    for title, table in tables(record, evaluations).items():
        parts += [f"## {title}", markdown_table(table)]
    return "\n\n".join(parts) + "\n"


def preface(record: Record) -> list[str]:
    """The paragraphs before the tables: heading, protocol, inputs, legend and what to be careful about."""
    return [f"# {record.title}", *circumstances(record),
            *(f"Caution: {caution}" for caution in record.results_as(PaperResults).cautions)]


def circumstances(record: Record) -> list[str]:
    """How the figures were measured, as paragraphs: protocol, inputs and legend."""
    results = record.results_as(PaperResults)
    inputs = "; ".join(f"×{scale[1:]}: {label}" for scale, label in results.inputs.items())
    clock = "On this CPU the clock takes the place of device events." if results.device == "cpu" else ""
    return [f"{results.protocol} {clock}".strip(), f"Inputs: {inputs}.", LEGEND]


def _parts(name: str) -> list[tuple[str, list[Row]]]:
    """Table 1 is split by scale."""
    rows = [row for row in paper_rows() if row.table == name]
    if name != "table1":
        return [("", rows)]
    return [(f", ×{scale}", [row for row in rows if row.scale == scale]) for scale in (2, 4)]


def _table(name: str, rows: Sequence[Row], networks: Networks, evaluations: Evaluations) -> Table:
    if name == "table5":
        return [("team", "PSNR val q", "PSNR test q", "ms q", "ms m", "params, M q", "params, M m", "FLOPs, G q",
                 "FLOPs, G m", "activations, M q", "activations, M m", "memory, MB q",
                 "memory, MiB m (on a CPU the process)", "convs q",
                 "convs m"), *(_challenge_row(row, networks) for row in rows)]
    with_ratios = name == "table1"
    ratio_heads = ("ratio q", "ratio m") if with_ratios else ()
    head = ("model", "params, K q", "params, K m", "ms q", "ms m", *ratio_heads, *SETS)
    peer = next((row for row in rows if row.model == "RLFN"), None)
    return [head, *(_row(row, peer if with_ratios else None, networks, evaluations) for row in rows)]


def _peer_table(peers: Sequence[Row], networks: Networks) -> Table:
    """Only measured figures; the rows of Table 1 that stand beside them come first."""
    beside = [row for row in paper_rows() if row.table == "table1" and row.scale == 4 and row.model in _BESIDE]
    rlfn = next(row for row in beside if row.model == "RLFN")
    return [("model", "params, K m", "FLOPs, G m", "ms m", "ratio m"),
            *((row.model, _count(network, lambda one: one.parameters / 1000, ".1f"),
               _count(network, lambda one: one.flops / 1e9, ".2f"), _mean_ms(row, network),
               _measured_ratio(network, networks.get(rlfn.network)))
              for row in (*beside, *peers) for network in [networks.get(row.network)])]


def _row(row: Row, peer: Row | None, networks: Networks, evaluations: Evaluations) -> tuple[str, ...]:
    quoted, network = row.quoted, networks.get(row.network)
    cells = [_name(row), _text(quoted.parameters_k, "d"), _count(network, lambda one: one.parameters / 1000, ".1f"),
             _text(quoted.runtime_ms, ".2f"), _mean_ms(row, network)]
    if peer is not None:
        cells += [_quoted_ratio(row, peer), _measured_ratio(network, networks.get(peer.network))]
    return (*cells, *(_quality(row, name, evaluations) for name in SETS))


def _name(row: Row) -> str:
    """With what distinguishes rows of one model: no last convolution, residuals, distillation."""
    quoted = row.quoted
    marks = [text for text, is_marked in (("last conv", quoted.last_conv), ("residual", quoted.residual),
                                          ("distilled", quoted.distillation)) if is_marked]
    return f"{row.model} ({', '.join(marks)})" if marks else row.model


def _challenge_row(row: Row, networks: Networks) -> tuple[str, ...]:
    quoted, network = row.quoted, networks.get(row.network)
    return (row.model, _text(quoted.psnr_rgb_val_db, ".2f"), _text(quoted.psnr_rgb_test_db, ".2f"),
            _text(quoted.runtime_ms, ".2f"), _mean_ms(row, network),
            _text(quoted.parameters_m, ".3f"), _count(network, lambda one: one.parameters / 1e6, ".3f"),
            _text(quoted.flops_g, ".2f"), _count(network, lambda one: one.flops / 1e9, ".2f"),
            _text(quoted.activations_m, ".2f"), _count(network, lambda one: one.activations / 1e6, ".2f"),
            _text(quoted.memory_mb, ".1f"), _count(network, lambda one: one.peak_mib, ".0f"),
            _text(quoted.convolutions, "d"), _count(network, lambda one: one.convolutions, "d"))


def _text(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _count(network: NetworkResult | None, count: Callable[[NetworkResult], float | None], form: str) -> str:
    return _text(None if network is None else count(network), form)


def _mean_ms(row: Row, network: NetworkResult | None) -> str:
    if network is not None:
        return f"{network.mean_ms:.2f}"
    return "not run" if row.is_runnable else "not run: no public network"


def _quoted_ratio(row: Row, peer: Row) -> str:
    own, others = row.quoted.runtime_ms, peer.quoted.runtime_ms
    return "–" if own is None or others is None else f"{others / own:.3f}"


def _measured_ratio(network: NetworkResult | None, peer: NetworkResult | None) -> str:
    if network is None or peer is None:
        return "–"
    found = ratios(network.samples_ms, peer.samples_ms)
    return f"{found.median:.3f} ({found.lower_quartile:.3f}–{found.upper_quartile:.3f})"


def _quality(row: Row, name: str, evaluations: Evaluations) -> str:
    """Quoted and, where this very network was evaluated on this set, measured."""
    quoted = row.quoted.quality.get(name, QuotedQuality())
    cells = []
    if quoted.psnr_y_db is not None:
        cells.append(f"{quoted.psnr_y_db:.2f}" + ("" if quoted.ssim_y is None else f" / {quoted.ssim_y:.4f}") + " q")
    cells += [f"{found.psnr_db:.2f} / {found.ssim:.4f} m" for found in evaluations
              if found.set == name and _is_of(found, row)]
    return "; ".join(cells) or f"needs {name}"


def _is_of(evaluation: EvaluationResults, row: Row) -> bool:
    """Whether an evaluation on Y is of a network of exactly the row's options, on given small images.

    Tables 2 to 4 are about how networks were trained, which a checkpoint does not say: their rows take no evaluation.
    """
    network = evaluation.spec
    if row.table != "table1" or network.architecture != row.architecture or network.scale != row.scale:
        return False
    describe = ARCHITECTURES[str(row.architecture)].describe
    # An earlier record may lack options that came later, with the defaults that networks had before.
    is_same = describe(row.options).options == describe(network.options).options
    return evaluation.measured != "RGB" and "made from" not in evaluation.lr and is_same


def read_evaluations(records: Sequence[Record]) -> list[EvaluationResults]:
    """The results of evaluations; raises OptionError for other records, so check before the hours a run may take."""
    return [_read_evaluation(record) for record in records]


def _read_evaluation(record: Record) -> EvaluationResults:
    try:
        if record.kind == "eval":
            return record.results_as(EvaluationResults)
        fault: OptionError | None = None
    except OptionError as error:
        fault = error
    raise OptionError(f"The record {record.title!r} is not an evaluation that can stand in a table.",
                      remedy="Give what `srn-deploy eval --json` printed.") from fault
