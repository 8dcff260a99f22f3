"""One HTML file from records: tables, charts, circumstances and images, readable anywhere without a network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from srn_deploy.benchmark.records import Record
from srn_deploy.errors import OptionError
from srn_deploy.report.circumstances import environment_line, mixed_environments
from srn_deploy.report.commands import certificates_section, evaluation_section, steady_section, tuning_section
from srn_deploy.report.content import Paragraph, ReportPage, ReportSection
from srn_deploy.report.documents import NamedCertificate, ReportDocument, read_documents
from srn_deploy.report.studies import study_blocks, study_cautions
from srn_deploy.system.installed import need_packages
from srn_deploy.tuning.choice import Tuned

PACKAGES = {"jinja2": "jinja2", "markdown_it": "markdown-it-py"}
"""Modules of the extra `report`, and the packages that hold them."""

TITLE = "Report"

_OF_PICTURES = ("The part of each image with the most detail in its original, and PSNR on Y in dB: of the whole image, "
                "and of the part.")


def report(records: Sequence[Path], pictures: Path | None = None, *, title: str = TITLE) -> str:
    """The file as text, from records of `bench`, `eval`, `tune`, `verify` and studies.

    pictures: a folder with the folders `original`, `input` and one for each candidate. Raises OptionError for what is
    not a record and for images that do not match, MissingPackage without the extra `report`, or, for the paper's
    tables, without `torch`, and what reading an image raises.
    """
    check_packages()
    documents = read_documents(records)
    sections = [*sections_of(documents), *_picture_section(pictures)]
    environments = [one.environment for one in documents if isinstance(one, Record)]
    from srn_deploy.report.page import render_page

    return render_page(ReportPage(title=title, sections=tuple(sections),
                                  cautions=tuple(mixed_environments(environments))))


def check_packages() -> None:
    """Raise MissingPackage where the extra `report` is not installed."""
    need_packages(PACKAGES, "Writing a report", extra="report", named=PACKAGES)


def sections_of(documents: Sequence[ReportDocument]) -> list[ReportSection]:
    """A section for each document, in their order; evaluations share one, and so do certificates."""
    evaluations = [one for one in documents if isinstance(one, Record) and one.kind == "eval"]
    certificates = [one for one in documents if isinstance(one, NamedCertificate)]
    sections = []
    for one in documents:
        if isinstance(one, Tuned):
            sections.append(tuning_section(one))
        elif isinstance(one, NamedCertificate):
            if one is certificates[0]:
                sections.append(certificates_section(certificates))
        elif one.kind != "eval":
            sections.append(_record_section(one, evaluations))
        elif one is evaluations[0]:
            sections.append(evaluation_section(evaluations))
    return sections


def _record_section(record: Record, evaluations: Sequence[Record]) -> ReportSection:
    if record.kind == "bench-steady":
        return steady_section(record)
    if record.kind == "bench-paper":
        need_packages(("torch",), "Showing the paper's tables")
        from srn_deploy.report.paper import paper_section

        return paper_section(record, evaluations)
    return ReportSection(title=record.title, blocks=tuple(study_blocks(record)),
                         cautions=tuple(study_cautions(record)), circumstances=(environment_line(record.environment),))


def _picture_section(folder: Path | None) -> list[ReportSection]:
    if folder is None:
        return []
    from srn_deploy.report.pictures import compare_pictures

    found = compare_pictures(folder)
    if not found:
        raise OptionError(f"{folder} holds no image.", remedy="Put images into its folders.")
    return [ReportSection(title="Images", blocks=(Paragraph(text=_OF_PICTURES), *found))]
