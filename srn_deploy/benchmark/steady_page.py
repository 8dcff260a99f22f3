"""A steady-state record as a table."""

from __future__ import annotations

from srn_deploy.benchmark.records import Record, markdown_table

Table = list[tuple[str, ...]]

HEAD = ("contestant", "median, ms", "p90", "p99", "pictures/s", "times as fast as the first, for each picture",
        "process peak, MiB",
        "of compute", "of memory")


def table(record: Record) -> Table:
    """One row for each contestant, in the order in which they ran."""
    rows: Table = [HEAD]
    for name, told in record.results["contestants"].items():
        ratio = told["ratio_to_baseline"]
        rows.append((
            name, f"{told['median_ms']:.2f}", f"{told['p90_ms']:.2f}", f"{told['p99_ms']:.2f}",
            f"{told['pictures_per_s']:.2f}",
            f"{ratio['median']:.2f} ({ratio['lower_quartile']:.2f}–{ratio['upper_quartile']:.2f})",
            "–" if told["peak_mib"] is None else f"{told['peak_mib']:.0f}",
            *(f"{told[share]:.0%}" if share in told else "–" for share in ("share_of_compute", "share_of_memory"))))
    return rows


def page(record: Record) -> str:
    """The table as Markdown, with what deserves doubt."""
    ceilings = record.circumstances["ceilings"]
    limits = f"Ceilings measured here: {ceilings['gflops']:.0f} GFLOP/s, {ceilings['gbytes_per_s']:.1f} GB/s." \
        if ceilings else "The machine's ceilings were not measured."
    parts = [f"# {record.title}", limits, *(f"Caution: {told}" for told in record.results["cautions"]),
             markdown_table(table(record))]
    return "\n\n".join(parts) + "\n"
