"""Sections of what the commands write: `bench`, `eval`, `tune` and `verify`."""

from __future__ import annotations

from collections.abc import Sequence

from srn_deploy.benchmark import steady_page
from srn_deploy.benchmark.records import Record
from srn_deploy.benchmark.results import PictureScores, SteadyResults
from srn_deploy.benchmark.summary import summarise
from srn_deploy.report.axes import in_digits
from srn_deploy.report.circumstances import environment_line, versions_in_words
from srn_deploy.report.content import Block, DataTable, Paragraph, ReportSection, SpreadChart, SpreadRow
from srn_deploy.report.documents import NamedCertificate
from srn_deploy.tuning.choice import Tuned


def steady_section(record: Record) -> ReportSection:
    """Of `bench`: the table and a bar for each candidate. Raises OptionError for a damaged record."""
    results = record.results_as(SteadyResults)
    head, *rows = steady_page.table(record)
    bars = []
    for name, candidate in results.candidates.items():
        summary = summarise(candidate.samples_ms)
        bars.append(SpreadRow(name=name, low=summary.lower_quartile, middle=summary.median,
                              high=summary.upper_quartile))
    height, width = results.size
    blocks: list[Block] = [Paragraph(text=f"One image of {width} × {height} px on {results.device}, in steady state."),
                           Paragraph(text=steady_page.ceilings_line(record)),
                           DataTable(head=head, rows=tuple(rows))]
    if bars:
        blocks.append(SpreadChart(title="Time for one pass, median and quartiles", unit="ms", rows=tuple(bars)))
    return ReportSection(title=record.title, blocks=tuple(blocks), cautions=tuple(results.cautions),
                         circumstances=(environment_line(record.environment),))


def evaluation_section(records: Sequence[Record]) -> ReportSection:
    """Of `eval`, all of them in one table, then the images of each. Raises OptionError for a damaged record."""
    found = [record.results_as(PictureScores) for record in records]
    names = _told_apart([record.title for record in records], [one.spec.source_sha256 for one in found])
    rows = [(name, one.measured, str(len(one.pictures)), _decibels(one.psnr_db), f"{one.ssim:.4f}", one.lr)
            for name, one in zip(names, found, strict=True)]
    blocks: list[Block] = [DataTable(head=("model and set", "measured on", "images", "PSNR, dB", "SSIM",
                                           "small images"), rows=tuple(rows))]
    spreads = []
    for name, one in zip(names, found, strict=True):
        values = [picture.psnr_db for picture in one.pictures if picture.psnr_db is not None]
        if values and one.psnr_db is not None:
            spreads.append(SpreadRow(name=name, low=min(values), middle=one.psnr_db, high=max(values)))
    if spreads:
        blocks.append(SpreadChart(title="PSNR: mean of the images, the worst and the best image", unit="dB",
                                  rows=tuple(spreads), from_zero=False))
    for name, one in zip(names, found, strict=True):
        blocks.append(DataTable(caption=name, head=("image", "PSNR, dB", "SSIM"), rows=tuple(
            (picture.name, _decibels(picture.psnr_db), f"{picture.ssim:.4f}") for picture in one.pictures)))
    lines = dict.fromkeys(environment_line(record.environment) for record in records)
    return ReportSection(title="Quality", blocks=tuple(blocks), circumstances=tuple(lines))


def _told_apart(titles: Sequence[str], hashes: Sequence[str]) -> list[str]:
    """Titles; those that occur more than once with the beginning of the hash of their file."""
    return [f"{title} ({sha256[:8]})" if titles.count(title) > 1 and sha256 else title
            for title, sha256 in zip(titles, hashes, strict=True)]


def tuning_section(tuned: Tuned) -> ReportSection:
    """Of `tune`: every way, the fastest first."""
    slowest = tuned.ways[-1].seconds_per_megapixel
    rows = tuple((one.title, one.way.settings() or "defaults", in_digits(one.seconds_per_megapixel),
                  f"{slowest / one.seconds_per_megapixel:.2f}" if one.seconds_per_megapixel else "–")
                 for one in tuned.ways)
    bars = tuple(SpreadRow(name=f"{one.title}, {one.way.settings() or 'defaults'}", low=one.seconds_per_megapixel,
                           middle=one.seconds_per_megapixel, high=one.seconds_per_megapixel) for one in tuned.ways)
    machine = tuned.machine
    outdated = tuned.why_outdated()
    environment = (f"Environment: {tuned.date}; {machine.cpu}, {machine.threads} threads; GPU: "
                   f"{machine.gpu or 'none'}; {versions_in_words(tuned.versions)}.")
    return ReportSection(
        title=f"{tuned.model}: the fastest way to run it",
        blocks=(Paragraph(text=f"On {tuned.images}, from file to file; the model has the SHA-256 {tuned.sha256[:12]}…"),
                DataTable(head=("way", "settings", "s per megapixel", "times as fast as the last"), rows=rows),
                SpreadChart(title="Time for one megapixel of input", unit="s", rows=bars)),
        cautions=(f"Other versions are installed here by now: {outdated}.",) if outdated else (),
        circumstances=(environment,))


def certificates_section(certificates: Sequence[NamedCertificate]) -> ReportSection:
    """Of `verify`: one row for each artefact."""
    head = ("artefact", "precision", "passed", "PSNR against the reference, dB", "worst value, of 255",
            "PSNR lost, dB", "images", "ran on", "reference")
    rows = tuple((one.name, one.found.precision or "–", "yes" if one.found.passed else "no",
                  "no difference" if one.found.psnr_db is None else f"{one.found.psnr_db:.1f}",
                  _number(one.found.worst_levels), _number(one.found.psnr_loss_db),
                  "–" if one.found.pictures is None else str(one.found.pictures), one.found.ran_on or "–",
                  one.found.reference or "–") for one in certificates)
    return ReportSection(title="Certificates", blocks=(DataTable(head=head, rows=rows),), cautions=tuple(
        f"{one.name} did not pass: {failure}." for one in certificates for failure in one.found.failures))


def _number(value: float | None) -> str:
    return "–" if value is None else in_digits(value)


def _decibels(value: float | None) -> str:
    return "no difference" if value is None else f"{value:.2f}"
