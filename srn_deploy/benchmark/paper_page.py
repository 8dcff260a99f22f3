"""The paper's tables with our figures beside them: measured (m) or quoted (q), never mixed up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from srn_deploy.architectures import ARCHITECTURES
from srn_deploy.benchmark.contestants import ratios
from srn_deploy.benchmark.paper import TABLES, Row, paper_rows
from srn_deploy.benchmark.records import Record, markdown_table
from srn_deploy.errors import OptionError

SETS = ("Set5", "Set14", "BSD100", "Urban100")

Table = list[tuple[str, ...]]
"""A head and its rows."""

TITLES = {"table1": "Table 1", "table2": "Table 2: ESA", "table3": "Table 3: residuals",
          "table4": "Table 4: distillation", "table5": "Table 5: the challenge"}

LEGEND = """m: measured here. q: quoted from the paper. Ratios: RLFN's time over the row's, so more is faster; ours
pair by pair, median and quartiles. PSNR in dB / SSIM on Y."""


def tables(record: Record, evaluations: Sequence[Record] = ()) -> dict[str, Table]:
    """Title to table, all rows of Tables 1 to 5; evaluations: records of `srn-deploy eval`."""
    networks = record.results["networks"]
    return {TITLES[name] + part: _table(name, rows, networks, evaluations)
            for name in TABLES for part, rows in _parts(name)}


def page(record: Record, evaluations: Sequence[Record] = ()) -> str:
    """All tables as Markdown, with what they were measured on."""
    inputs = "; ".join(f"×{scale[1:]}: {label}" for scale, label in record.results["inputs"].items())
    clock = "On this CPU the clock takes the place of device events." if record.results["device"] == "cpu" else ""
    parts = [f"# {record.title}", f"{record.results['protocol']} {clock}".strip(), f"Inputs: {inputs}.", LEGEND]
    parts += [f"Caution: {told}" for told in record.results["cautions"]]
    for title, table in tables(record, evaluations).items():
        parts += [f"## {title}", markdown_table(table)]
    return "\n\n".join(parts) + "\n"


def _parts(name: str) -> list[tuple[str, list[Row]]]:
    """Table 1 falls into its two scales."""
    rows = [row for row in paper_rows() if row.table == name]
    if name != "table1":
        return [("", rows)]
    return [(f", ×{scale}", [row for row in rows if row.scale == scale]) for scale in (2, 4)]


def _table(name: str, rows: Sequence[Row], networks: Mapping[str, Any], evaluations: Sequence[Record]) -> Table:
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


def _row(row: Row, peer: Row | None, networks: Mapping[str, Any], evaluations: Sequence[Record]) -> tuple[str, ...]:
    network = networks.get(row.network)
    told = [_name(row), _text(row.quoted.get("parameters_k"), "d"),
            _text(network and network["parameters"] / 1000, ".1f"), _text(row.quoted["runtime_ms"], ".2f"),
            _mean_ms(network)]
    if peer is not None:
        told += [_quoted_ratio(row, peer), _measured_ratio(network, networks.get(peer.network))]
    return (*told, *(_quality(row, name, evaluations) for name in SETS))


def _name(row: Row) -> str:
    """With what distinguishes rows of one model: no last convolution, residuals, distillation."""
    marks = [text for field, text in (("last_conv", "last conv"), ("residual", "residual"),
                                      ("distillation", "distilled")) if row.quoted.get(field)]
    return f"{row.model} ({', '.join(marks)})" if marks else row.model


def _challenge_row(row: Row, networks: Mapping[str, Any]) -> tuple[str, ...]:
    quoted, network = row.quoted, networks.get(row.network)
    return (row.model, _text(quoted["psnr_rgb_val_db"], ".2f"), _text(quoted["psnr_rgb_test_db"], ".2f"),
            _text(quoted["runtime_ms"], ".2f"), _mean_ms(network),
            _text(quoted["parameters_m"], ".3f"), _text(network and network["parameters"] / 1e6, ".3f"),
            _text(quoted["flops_g"], ".2f"), _text(network and network["flops"] / 1e9, ".2f"),
            _text(quoted["activations_m"], ".2f"), _text(network and network["activations"] / 1e6, ".2f"),
            _text(quoted["memory_mb"], ".1f"), _text(network and network["peak_mib"], ".0f"),
            _text(quoted["convolutions"], "d"), _text(network and network["convolutions"], "d"))


def _text(value: float | None, form: str) -> str:
    return "–" if value is None else format(value, form)


def _mean_ms(network: Mapping[str, Any] | None) -> str:
    """The arithmetic mean, as the paper has it."""
    return "not run: no public network" if network is None else \
        f"{sum(network['samples_ms']) / len(network['samples_ms']):.2f}"


def _quoted_ratio(row: Row, peer: Row) -> str:
    return f"{peer.quoted['runtime_ms'] / row.quoted['runtime_ms']:.3f}"


def _measured_ratio(network: Mapping[str, Any] | None, peer: Mapping[str, Any] | None) -> str:
    if network is None or peer is None:
        return "–"
    found = ratios(network["samples_ms"], peer["samples_ms"])
    return f"{found['median']:.3f} ({found['lower_quartile']:.3f}–{found['upper_quartile']:.3f})"


def _quality(row: Row, name: str, evaluations: Sequence[Record]) -> str:
    """Quoted and, where an evaluation of this very network on this set is there, measured."""
    quoted = row.quoted["quality"].get(name, {})
    told = [f"{quoted['psnr_y_db']:.2f}" + (f" / {quoted['ssim_y']:.4f}" if "ssim_y" in quoted else "") + " q"] \
        if quoted.get("psnr_y_db") is not None else []
    told += [f"{record.results['psnr_db']:.2f} / {record.results['ssim']:.4f} m" for record in evaluations
             if record.results["set"] == name and _is_of(record, row)]
    return "; ".join(told) or f"needs {name}"


def _is_of(record: Record, row: Row) -> bool:
    """Whether an evaluation on Y is of a network of exactly the row's options, on given small pictures.

    Tables 2 to 4 are about how networks were trained, which no checkpoint tells: nothing is taken for theirs.
    """
    results, spec = record.results, record.results["spec"]
    if row.table != "table1" or spec["architecture"] != row.architecture or spec["scale"] != row.scale:
        return False
    wanted = ARCHITECTURES[str(row.architecture)].describe(row.options).options
    return results["measured"] != "RGB" and "made from" not in results["lr"] and dict(wanted) == spec["options"]


def check_evaluations(records: Sequence[Record]) -> None:
    """Raise OptionError for records that are no evaluations; before the hours that a run may take."""
    for record in records:
        missing = {"set", "spec", "psnr_db", "ssim", "measured", "lr"} - record.results.keys()
        if record.kind != "eval" or missing or record.results["psnr_db"] is None:
            raise OptionError(f"The record {record.title!r} is no evaluation that can stand in a table.",
                              remedy="Give what `srn-deploy eval --json` printed.")
