"""The section of `bench --paper`: the paper's tables, its Figure 1, and the time of every network."""

from __future__ import annotations

from collections.abc import Sequence

from srn_deploy.benchmark import paper_page
from srn_deploy.benchmark.paper import OURS, QuotedQuality, paper_rows, peer_rows
from srn_deploy.benchmark.records import Record
from srn_deploy.benchmark.results import PaperResults
from srn_deploy.benchmark.summary import summarise
from srn_deploy.report.circumstances import environment_line
from srn_deploy.report.content import (
    Block,
    DataTable,
    Paragraph,
    ReportSection,
    ScatterChart,
    ScatterPoint,
    SpreadChart,
    SpreadRow,
)


def paper_section(record: Record, evaluations: Sequence[Record]) -> ReportSection:
    """All tables, with the quality that `eval` measured. Raises OptionError for a damaged record."""
    results = record.results_as(PaperResults)
    blocks: list[Block] = [Paragraph(text=text) for text in paper_page.circumstances(record)]
    blocks += paper_charts(record)
    for title, (head, *rows) in paper_page.tables(record, evaluations).items():
        blocks.append(DataTable(caption=title, head=head, rows=tuple(rows)))
    return ReportSection(title=record.title, blocks=tuple(blocks), cautions=tuple(results.cautions),
                         circumstances=(environment_line(record.environment),))


def paper_charts(record: Record) -> list[SpreadChart | ScatterChart]:
    """Figure 1 with measured times, and the times of Table 1 and of later networks; nothing for what did not run.

    Figure 1: PSNR on Urban100 as quoted over the mean time as measured, at x4; the area of a point is the number of
    parameters.
    """
    results = record.results_as(PaperResults)
    charts: list[SpreadChart | ScatterChart] = []
    points, bars = [], []
    for row in [*(row for row in paper_rows() if row.table == "table1"), *peer_rows()]:
        network = results.networks.get(row.network)
        if network is None or not network.samples_ms:
            continue
        psnr_db = row.quoted.quality.get("Urban100", QuotedQuality()).psnr_y_db
        if row.scale == 4 and psnr_db is not None and network.mean_ms > 0:
            points.append(ScatterPoint(name=row.model, x=network.mean_ms, y=psnr_db, area=network.parameters,
                                       is_marked=row.model in OURS))
        summary = summarise(network.samples_ms)
        bars.append(SpreadRow(name=f"{row.model}, ×{row.scale}", low=summary.lower_quartile, middle=summary.median,
                              high=summary.upper_quartile))
    if points:
        charts.append(ScatterChart(title="Figure 1: quality over time at ×4; the area of a point is its parameters",
                                   x_label="milliseconds per image, mean, measured",
                                   y_label="PSNR on Urban100, dB, quoted", points=tuple(points)))
    if bars:
        charts.append(SpreadChart(title="Time for one image, median and quartiles", unit="ms", rows=tuple(bars)))
    return charts
