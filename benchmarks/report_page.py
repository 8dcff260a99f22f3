"""All records of the project as one HTML file: the sections of README.md, with charts of what was measured, and images.

It is made by the code behind `srn-deploy report`, so it opens anywhere without a network.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from benchmarks import compared_pictures
from srn_deploy.benchmark.records import Record
from srn_deploy.report.circumstances import mixed_environments
from srn_deploy.report.commands import evaluation_section
from srn_deploy.report.content import Block, MarkdownText, ReportPage, ReportSection
from srn_deploy.report.page import render_page
from srn_deploy.report.paper import paper_charts
from srn_deploy.report.pictures import compare_pictures
from srn_deploy.report.studies import study_charts

PAGE = "report.html"


def rendered_report(page: str, records: Sequence[Record]) -> str:
    """The HTML file; page: README.md, which was rendered from the same records."""
    introduction, *sections = re.split(r"^## ", page, flags=re.M)
    made = [_section(section, records) for section in sections]
    if evaluations := [record for record in records if record.kind == "eval"]:
        made.append(evaluation_section(evaluations))
    title, _, text = introduction.removeprefix("# ").partition("\n")
    return render_page(ReportPage(title=title, introduction=(MarkdownText(markdown=text.strip()),),
                                  sections=tuple(made),
                                  cautions=tuple(mixed_environments([record.environment for record in records]))))


def _section(section: str, records: Sequence[Record]) -> ReportSection:
    """One chapter, in which the charts and images of each record stand before its environment."""
    title, _, text = section.partition("\n")
    blocks: list[Block] = []
    charts: list[Block] = []
    for part in re.split(r"^(?=### |Environment: )", text.strip(), flags=re.M):
        if part.startswith("Environment: "):
            blocks += charts
            charts = []
        elif part.startswith("### "):
            heading = part.partition("\n")[0].removeprefix("### ")
            charts = [chart for record in records if record.title == heading for chart in _charts(record)]
        blocks.append(MarkdownText(markdown=part.strip()))
    return ReportSection(title=title, blocks=tuple(block for block in (*blocks, *charts)
                                                   if not isinstance(block, MarkdownText) or block.markdown))


def _charts(record: Record) -> list[Block]:
    if record.kind == "eval":
        return []
    if record.kind == compared_pictures.KIND:
        return [*compare_pictures(compared_pictures.FOLDER)]
    return [*(paper_charts(record) if record.kind == "bench-paper" else study_charts(record))]
