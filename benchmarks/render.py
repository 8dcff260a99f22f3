"""Render the pages and the plots from the records: nobody types a figure.

    python -m benchmarks.render
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import (
    cluster_page,
    compared_pictures,
    cpu_page,
    effort_table,
    graph_versions,
    guard_page,
    hardening,
    huge_pictures,
    int8_study,
    many_pictures,
    peers,
    pipeline_page,
    recognition_page,
    same_budget,
    service_page,
    spandrel_study,
    video_page,
    zoo_page,
)
from benchmarks.ablation_page import rendered_ablation
from benchmarks.gpu_status import write_status
from benchmarks.gpu_table import report_table
from benchmarks.inputs import BENCHMARKS, PLOTS, RECORDS
from benchmarks.page_texts import ABLATION, FILE_TO_FILE, GPU, INTRODUCTION, MEMORY, PAPER, PHOTO, TILING
from benchmarks.plots import digest, draw_tiling
from benchmarks.report_page import PAGE as REPORT_PAGE
from benchmarks.report_page import rendered_report
from benchmarks.zoo_results import KIND as ZOO
from srn_deploy.benchmark.figure import draw_figure_1
from srn_deploy.benchmark.paper_page import page as paper_page
from srn_deploy.benchmark.records import Record
from srn_deploy.benchmark.summary import doubts, summarise
from srn_deploy.benchmark.tables import markdown_table
from srn_deploy.registry.shipped import shipped_models
from srn_deploy.report.circumstances import busy, environment_line
from srn_deploy.system.atomic import replacing

TILING_PLOT = "tiling.png"

FIGURE_1_PLOT = "figure1.png"

NOT_MEASURED = "No record yet: no figure."

MIB, GIB = 2**20, 2**30

EXAMPLE_PX, LARGE_PX = 510 * 339, 4000 * 3000
"""Pixels of the images that the requirements on time and on memory name."""

TIMED = ("file-to-file", "memory", "cpu-process", "pipeline", "video", "service", "cluster",
         huge_pictures.KIND, peers.KIND, same_budget.KIND)
"""Kinds of records whose figures other programs spoil."""

def main() -> None:
    """Write the pages and the plots."""
    records = load_records(RECORDS)
    for name, page in pages(records).items():
        with replacing(BENCHMARKS / name) as temporary:
            temporary.write_text(page, encoding="utf-8")
    if tilings := of_kind(records, "tiling"):
        with replacing(PLOTS / TILING_PLOT) as temporary:
            draw_tiling(tilings, temporary)
    if runs := of_kind(records, "bench-paper"):
        draw_figure_1(runs[0], PLOTS / FIGURE_1_PLOT, source=digest(runs[:1]))
    if (healthy := of_kind(records, "guard-healthy")) and (hard := of_kind(records, "guard-hard")):
        guard_page.draw_guard(healthy[0], hard[0], PLOTS / guard_page.PLOT)
    if zoos := of_kind(records, ZOO):
        zoo_page.draw_zoo(zoos[0], PLOTS / zoo_page.PLOT)
    write_status(BENCHMARKS.parent, records)
    print(f"{', '.join(pages(records))} written.")


def load_records(folder: Path) -> list[Record]:
    """All records of a folder, by file name."""
    return [Record.load(path) for path in sorted(folder.glob("*.json"))]


def of_kind(records: Sequence[Record], kind: str) -> list[Record]:
    """Those that one benchmark made."""
    return [record for record in records if record.kind == kind]


def pages(records: Sequence[Record]) -> dict[str, str]:
    """File name to text."""
    made = {"README.md": rendered(records)}
    made[REPORT_PAGE] = rendered_report(made["README.md"], records)
    for record in of_kind(records, "ablation"):
        made["ablation.md"] = f"{rendered_ablation(record)}\n\n{environment_line(record.environment)}\n"
    return made


def rendered(records: Sequence[Record]) -> str:
    """The main page as Markdown."""
    tilings = of_kind(records, "tiling")
    plot = [f"![dB and worst value over the halo](plots/{TILING_PLOT})"] if tilings else []
    reports = [record for record in of_kind(records, "gpu-report") if not record.results["reduced"]]
    parts = [INTRODUCTION, TILING, *plot, *section(tilings, tiling_tables),
             int8_study.INTRODUCTION, *section(of_kind(records, int8_study.KIND), int8_study.int8_tables),
             graph_versions.INTRODUCTION, *section(of_kind(records, "graph-versions"),
                                                   graph_versions.graph_version_tables),
             FILE_TO_FILE, *section(of_kind(records, "file-to-file"), file_to_file_tables),
             cpu_page.INTRODUCTION, *section(of_kind(records, "cpu-process"), cpu_page.cpu_tables),
             video_page.INTRODUCTION, *section(of_kind(records, "video"), video_page.video_tables),
             service_page.INTRODUCTION, *section(of_kind(records, "service"), service_page.service_tables),
             MEMORY, *section(of_kind(records, "memory"), memory_tables), huge_pictures.INTRODUCTION,
             *section(of_kind(records, huge_pictures.KIND), huge_pictures.huge_picture_tables),
             pipeline_page.INTRODUCTION, *section(of_kind(records, "pipeline"), pipeline_page.pipeline_tables),
             many_pictures.INTRODUCTION, *section(of_kind(records, many_pictures.KIND),
                                                  many_pictures.many_picture_tables),
             cluster_page.INTRODUCTION, *section(of_kind(records, "cluster"), cluster_page.cluster_tables),
             effort_table.INTRODUCTION, *section(of_kind(records, "effort"), effort_table.effort_tables),
             hardening.INTRODUCTION, *section(of_kind(records, hardening.KIND), hardening.hardening_tables),
             PHOTO, *section(of_kind(records, "photo"), photo_tables), compared_pictures.INTRODUCTION,
             *section(of_kind(records, compared_pictures.KIND), compared_pictures.compared_tables),
             *guard_section(records),
             recognition_page.INTRODUCTION,
             *section(of_kind(records, "recognition"), recognition_page.recognition_tables),
             *zoo_section(records), spandrel_study.INTRODUCTION,
             *section(of_kind(records, "spandrel"), spandrel_study.spandrel_tables), ABLATION,
             PAPER, *paper_section(records),
             peers.INTRODUCTION, *section(of_kind(records, peers.KIND), peers.peer_tables),
             same_budget.INTRODUCTION, *section(of_kind(records, same_budget.KIND), same_budget.same_budget_tables),
             GPU, *section(reports, gpu_tables)]
    return "\n\n".join(parts) + "\n"


def section(records: Sequence[Record], tables: Callable[[Mapping[str, Any]], list[str]]) -> list[str]:
    """Tables of some records, each with its environment."""
    return [part for record in records
            for part in (f"### {record.title}", *tables(record.results), *cautions(record),
                         environment_line(record.environment))] or [NOT_MEASURED]


def paper_section(records: Sequence[Record]) -> list[str]:
    """Every run of the paper's tables, and Figure 1 of the first."""
    runs, evaluations = of_kind(records, "bench-paper"), of_kind(records, "eval")
    plot = [f"![PSNR against time, the area of a point its parameters](plots/{FIGURE_1_PLOT})"] if runs else []
    parts = [part for run in runs for part in (
        paper_page(run, evaluations).rstrip().replace("\n## ", "\n#### ").replace("# ", "### ", 1),
        environment_line(run.environment))]
    return plot + parts or [NOT_MEASURED]


def guard_section(records: Sequence[Record]) -> list[str]:
    """Both halves of the study, and their plot."""
    return [guard_page.INTRODUCTION, *(part for kind, tables in guard_page.TABLES.items()
                                       for part in section(of_kind(records, kind), tables))]


def zoo_section(records: Sequence[Record]) -> list[str]:
    """The checkpoints of every repository, and the plot of the first."""
    zoos = of_kind(records, ZOO)
    plot = [f"![The worst tile of each network](plots/{zoo_page.PLOT})"] if zoos else []
    return [zoo_page.INTRODUCTION, *plot, *section(zoos, zoo_page.zoo_tables)]


def gpu_tables(results: Mapping[str, Any]) -> list[str]:
    """All rows of all sections."""
    return [report_table(results)]


def tiling_tables(results: Mapping[str, Any]) -> list[str]:
    """One row for each halo; 8-bit and float results of both ways."""
    head = ("halo, LR px", "naive, 8 bit", "global geometry, 8 bit", "naive, float", "global geometry, float")
    rows = [(f"{row['halo_px']}{' (default)' if row['halo_px'] == results['spec_halo_px'] else ''}",
             *(difference_cell(row[f"{way}_{kind}"], digits)
               for kind, digits in (("uint8", 0), ("float", 3)) for way in ("naive", "global")))
            for row in results["rows"]]
    sentence = (f"`{results['checkpoint']}` ({results['architecture'].upper()}, {results['blocks']} blocks, "
                f"×{results['scale']}, sha256 {results['sha256'][:12]}…), tiles of {results['tile_px']} px and their "
                f"halo; {len(results['pictures'])} pictures: {', '.join(results['pictures'])}.")
    return [sentence, markdown_table([head, *rows])]


def difference_cell(row: Mapping[str, Any], digits: int) -> str:
    """dB and the worst level."""
    if row["psnr_db"] is None:
        return "no difference"
    return f"{row['psnr_db']:.1f} dB / {row['worst_levels']:.{digits}f}"


def file_to_file_tables(results: Mapping[str, Any]) -> list[str]:
    """Both programs, their ratios, and whether the requirement is met."""
    programs = [("program", "wall clock, s", "CPU time, s", "peak memory, MiB"),
                *((title, spread_cell(results[name]["seconds"], 2), spread_cell(results[name]["cpu_seconds"], 2),
                   spread_cell([peak / MIB for peak in results[name]["peak_bytes"]], 0))
                  for name, title in (("upscale", "srn-deploy upscale"), ("script", "plain PyTorch script")))]
    times, least = results["time_ratios"], results["least_time_ratio"]
    verdicts = [("ratio", "required", "measured", "met"),
                ("time, script / srn-deploy", f"at least {least:g}", spread_cell(times, 2),
                 verdict(summarise(times).median >= least, results, EXAMPLE_PX)),
                ("memory, srn-deploy / script", "–", spread_cell(results["memory_ratios"], 2), "–")]
    sentence = (f"`{results['checkpoint']}` (sha256 {results['sha256'][:12]}…) on {results['picture']}, "
                f"{results['width_px']} × {results['height_px']} px; {results['pairs']} pairs after "
                f"{results['warm_up_pairs']} to warm up. The two pictures differ by at most "
                f"{results['worst_levels']} of 255.")
    return [sentence, markdown_table(programs), markdown_table(verdicts)]


def memory_tables(results: Mapping[str, Any]) -> list[str]:
    """What the process took, and whether the requirement is met."""
    width, height, scale = results["width_px"], results["height_px"], results["scale"]
    peak, most = results["peak_bytes"], results["most_bytes"]
    rows = [("figure", "required", "measured", "met"),
            ("peak memory, GiB", f"less than {most / GIB:g}", f"{peak / GIB:.2f}",
             verdict(peak < most, results, LARGE_PX)),
            ("wall clock, s", "–", f"{results['seconds']:.1f}", "–"),
            ("CPU time, s", "–", f"{results['cpu_seconds']:.1f}", "–"),
            ("PNG read, MiB", "–", f"{results['source_bytes'] / MIB:.1f}", "–"),
            ("PNG written, MiB", "–", f"{results['target_bytes'] / MIB:.1f}", "–")]
    sentence = (f"`{results['model']}` (graph sha256 {results['sha256'][:12]}…), {width} × {height} px to "
                f"{scale * width} × {scale * height} px, one run.")
    return [sentence, markdown_table(rows)]


def photo_tables(results: Mapping[str, Any]) -> list[str]:
    """One row for each damage, one column for each model; the mean of all rows at the end."""
    models = list(dict.fromkeys(row["model"] for row in results["rows"]))
    scores: dict[str, dict[str, float]] = {}
    for row in results["rows"]:
        scores.setdefault(row["damage"], {"bicubic": row["bicubic_psnr_y_db"]})[row["model"]] = row["psnr_y_db"]
    scores["mean of the rows"] = {name: sum(row[name] for row in scores.values()) / len(scores)
                                  for name in ("bicubic", *models)}
    rows = [(title, *(f"**{value[name]:.2f}**" if value[name] == max(value.values()) else f"{value[name]:.2f}"
                      for name in ("bicubic", *models))) for title, value in scores.items()]
    hashes = ", ".join(f"`{name}` (graph sha256 {results['sha256'][name][:12]}…)" for name in models)
    sets = " and ".join(results["sets"])
    return [f"×{results['scale']}: {hashes}; {results['rows'][0]['pictures']} pictures of {sets}.",
            markdown_table([("input", "bicubic", *models), *rows])]


def verdict(is_met: bool, results: Mapping[str, Any], least_px: int) -> str:
    """Yes or no, where the picture was at least as large as the one that the requirement speaks of."""
    if results["width_px"] * results["height_px"] < least_px:
        return "not decided: the image is smaller than required"
    return "yes" if is_met else "no"


def spread_cell(samples: Sequence[float], digits: int) -> str:
    """Median, minimum and maximum."""
    summary = summarise(samples)
    return f"{summary.median:.{digits}f} ({summary.minimum:.{digits}f} … {summary.maximum:.{digits}f})"


def cautions(record: Record) -> list[str]:
    """Reasons to trust the figures less, as one list; empty when there is none."""
    results, reasons = record.results, list[str]()
    if record.kind == "file-to-file":
        reasons += doubts({"srn-deploy upscale": results["upscale"]["seconds"], "script": results["script"]["seconds"],
                        "ratio": results["time_ratios"]})
    if record.kind == "pipeline":
        reasons += doubts({row["name"]: row["shares"] for row in (*results["formats"], results["sleepers"])})
    reasons += [*(busy(record.environment) if record.kind in TIMED else []), *outdated(results)]
    return ["\n".join(f"- Careful: {doubt}" for doubt in reasons)] if reasons else []


def outdated(results: Mapping[str, Any]) -> list[str]:
    """Told when a shipped model has other weights than those that were measured."""
    measured = results.get("sha256", {})
    if isinstance(measured, str):
        measured = {results.get("checkpoint") or results.get("model", ""): measured}
    shipped = shipped_models()
    return [f"{name} has other weights by now: measure again." for name, sha256 in measured.items()
            if name in shipped and sha256 not in (shipped[name].checkpoint.sha256, shipped[name].graph.sha256)]


if __name__ == "__main__":
    main()
