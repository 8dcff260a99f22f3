"""A report: every kind of record becomes what it says, whatever stands in it, and nothing else is taken."""

from __future__ import annotations

import dataclasses
import html
import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import escape
from msgspec.structs import replace

from benchmarks.inputs import RECORDS
from benchmarks.render import NOT_MEASURED, load_records, pages
from benchmarks.report_page import PAGE
from srn_deploy.benchmark.records import Record
from srn_deploy.cli import main
from srn_deploy.errors import MissingPackage, OptionError
from srn_deploy.report import report, sections_of
from srn_deploy.report.content import DataTable, ReportPage, ReportSection, ScatterChart, SpreadChart
from srn_deploy.report.documents import read_documents
from srn_deploy.report.studies import study_blocks, study_cautions
from tests.environments import ENVIRONMENT
from tests.report_records import STEADY, STUDY, TUNED, evaluation, write_all

MOST_BYTES = 1_500_000
"""Of the page of this project: it is part of every checkout."""

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(2)>'


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_all(tmp_path_factory.mktemp("records"))


@pytest.fixture(scope="module")
def sections(files: list[Path]) -> dict[str, ReportSection]:
    return {section.title: section for section in sections_of(read_documents(files))}


def tables(section: ReportSection) -> list[DataTable]:
    return [block for block in section.blocks if isinstance(block, DataTable)]


def charts(section: ReportSection) -> list[SpreadChart]:
    return [block for block in section.blocks if isinstance(block, SpreadChart)]


def saved(folder: Path, record: Record) -> Path:
    record.save(folder / "record.json")
    return folder / "record.json"


def test_every_file_has_its_section_and_evaluations_share_one(sections: dict[str, ReportSection]) -> None:
    assert list(sections) == ["Quality", "Certificates", "a-model: the fastest way to run it", STEADY.title,
                              STUDY.title]


def test_a_steady_state_is_shown_with_bars_of_median_and_quartiles(sections: dict[str, ReportSection]) -> None:
    section = sections[STEADY.title]
    (chart,) = charts(section)
    assert [(row.name, row.low, row.middle, row.high) for row in chart.rows[:2]] == [
        ("first", 10.5, 11.0, 11.5), ("second", 94.5, 99.0, 103.5)]
    (table,) = tables(section)
    assert [row[0] for row in table.rows] == ["first", "second", "third"]
    assert section.cautions == ("The machine was busy.",)
    assert "Some CPU" in section.circumstances[0]


def test_evaluations_stand_side_by_side_with_their_worst_and_best_image(sections: dict[str, ReportSection]) -> None:
    together, *each = tables(sections["Quality"])
    assert [row[3] for row in together.rows] == ["32.25", "31.50"]
    assert [table.caption for table in each] == ["rlfn x4 on Set", "srn x4 on Set"]
    (chart,) = charts(sections["Quality"])
    assert not chart.from_zero
    assert [(row.low, row.middle, row.high) for row in chart.rows] == [(31.25, 32.25, 33.25), (30.5, 31.5, 32.5)]


def test_evaluations_of_one_network_with_other_weights_are_told_apart_by_their_hashes() -> None:
    (section,) = sections_of([evaluation("srn", 31.0, "a" * 64), evaluation("srn", 32.0, "b" * 64)])
    assert [row[0] for row in tables(section)[0].rows] == ["srn x4 on Set (aaaaaaaa)", "srn x4 on Set (bbbbbbbb)"]


def test_what_was_tuned_is_shown_with_the_fastest_way_first(sections: dict[str, ReportSection]) -> None:
    section = sections["a-model: the fastest way to run it"]
    (table,) = tables(section)
    assert table.rows == (("Fast", "tiles of 128 px", "1.500", "2.00"), ("Slow", "the whole image", "3.000", "1.00"))
    assert "onnxruntime was 0.1" in section.cautions[0]


def test_a_certificate_that_did_not_pass_is_a_caution(sections: dict[str, ReportSection]) -> None:
    section = sections["Certificates"]
    assert section.cautions == ("graph.onnx did not pass: it loses too much.",)
    assert tables(section)[0].rows[0][:4] == ("graph.onnx", "fp16", "no", "71.2")


def test_a_study_becomes_tables_with_units_and_bars_of_its_samples(sections: dict[str, ReportSection]) -> None:
    single, rows = tables(sections[STUDY.title])
    assert single.rows == (("bags", "3"), ("heaviest", "–"), ("is full", "yes"), ("peak, MiB", "3.000"),
                           ("share", "0.1250"), ("sack · colour", "aaaaaaaaaaaa…"),
                           ("sack · wall, s", "2.000 (1.000 … 3.000, 2 samples)"))
    assert rows.head == ("stone", "wall, s", "at · depth, px")
    assert rows.rows[0] == ("granite", "3.000 (1.000 … 5.000)", "4")
    assert rows.rows[1][2] == "–"
    (chart,) = charts(sections[STUDY.title])
    assert (chart.unit, [(row.name, row.low, row.middle, row.high) for row in chart.rows]) == (
        "s", [("sack · wall", 1.0, 2.0, 3.0), ("granite · wall", 1.0, 3.0, 5.0), ("basalt · wall", 2.0, 2.0, 2.0)])
    assert any("granite · wall: the quartiles lie" in caution for caution in sections[STUDY.title].cautions)


def test_every_record_of_this_project_can_be_reported() -> None:
    found = sections_of(read_documents(sorted(RECORDS.glob("*.json"))))
    assert len(found) > 10
    assert all(section.blocks for section in found)


def test_the_page_of_this_project_has_the_chapters_of_its_readme_with_charts_and_is_small() -> None:
    records = load_records(RECORDS)
    made = pages(records)
    page = made[PAGE]
    chapters = map(html.unescape, re.findall("<h2>(.*?)</h2>", page))
    assert list(chapters) == [*re.findall("^## (.*)$", made["README.md"], flags=re.M), "Quality"]
    assert page.count("<svg") > 10
    assert "Figure 1" in page
    size = len(page.encode())
    assert size < MOST_BYTES
    empty = pages([])[PAGE]
    assert empty.count(NOT_MEASURED) == pages([])["README.md"].count(NOT_MEASURED) > 0
    assert "<svg" not in empty


def test_the_papers_tables_come_with_figure_1_and_the_quality_that_was_measured() -> None:
    (paper, quality) = sections_of(read_documents([RECORDS / "paper-cpu.json", RECORDS / "eval-rlfn-x4-set5.json"]))
    (figure,) = [block for block in paper.blocks if isinstance(block, ScatterChart)]
    assert {point.name for point in figure.points if point.is_marked} == {"SRN", "SRN-S"}
    (table,) = [table for table in tables(paper) if table.caption == "Table 1, ×4"]
    (rlfn,) = [row for row in table.rows if row[0] == "RLFN"]
    assert "32.24 / 0.8953 m" in rlfn[table.head.index("Set5")]
    assert quality.title == "Quality"


def test_the_same_records_give_the_same_file(files: list[Path]) -> None:
    assert report(files) == report(files)


def test_a_file_that_is_named_twice_is_shown_once(files: list[Path]) -> None:
    assert report([files[0], files[0]]) == report([files[0]])


def test_records_of_different_environments_are_told(tmp_path: Path) -> None:
    first = saved(tmp_path / "a", STUDY)
    second = saved(tmp_path / "b", replace(STUDY, environment=replace(ENVIRONMENT, cpu="Another CPU", threads=8)))
    assert "they differ in cpu, threads" in report([first, second])
    assert "not measured in one environment" not in report([first])


def test_nothing_that_stands_in_a_record_becomes_html(tmp_path: Path) -> None:
    study = replace(STUDY, title=HOSTILE, results={HOSTILE: HOSTILE, "rows": [{HOSTILE: [1.0, 2.0], "name": HOSTILE}]},
                    environment=replace(ENVIRONMENT, cpu=HOSTILE, versions={HOSTILE: HOSTILE}))
    steady = replace(STEADY, results={**STEADY.results, "contestants": {
        HOSTILE: next(iter(STEADY.results["contestants"].values()))}, "cautions": [HOSTILE]})
    page = report([saved(tmp_path / "a", study), saved(tmp_path / "b", steady),
                   saved(tmp_path / "c", evaluation(HOSTILE, 30.0))])
    assert page.count(f"<h2>{escape(HOSTILE)}</h2>") == 1
    assert page.count("<script") == 1
    assert "<img" not in page


def test_the_file_names_no_address_and_forbids_itself_every_request(files: list[Path]) -> None:
    page = report(files)
    assert "default-src 'none'" in page
    assert re.findall(r"https?:|//[a-z]", re.sub(r"<script>.*?</script>", "", page, flags=re.S)) == []
    assert re.findall(r'(?:src|href)="(?!#|data:)', page) == []


@pytest.mark.parametrize(("text", "said"), [
    ("", "cannot be read as a record"), ("[]", "cannot be read as a record"), ("{", "cannot be read as a record"),
    ("\0\xff", "cannot be read as a record"), ("{}", "is not a record"), ('{"scale": 4}', "is not a record"),
    ('{"kind": "eval"}', "is not a record"), ('{"ways": []}', "is damaged"), ('{"artefact_sha256": 3}', "certificate")])
def test_what_is_not_a_record_is_refused_with_its_name(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "odd.json").write_text(text, encoding="latin-1")
    with pytest.raises(OptionError, match=f"odd.json.*{said}"):
        report([tmp_path / "odd.json"])


def test_a_record_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "new.json").write_text(json.dumps(STUDY.as_json() | {"format_version": 9}), encoding="utf-8")
    with pytest.raises(OptionError, match="format version 9"):
        report([tmp_path / "new.json"])


@pytest.mark.parametrize("kind", ["bench-steady", "bench-paper", "eval"])
def test_a_record_that_does_not_hold_what_its_kind_holds_is_refused(tmp_path: Path, kind: str) -> None:
    with pytest.raises(OptionError, match=f"what a record of {kind} holds"):
        report([saved(tmp_path, replace(STUDY, kind=kind))])


def test_a_missing_file_a_folder_and_none_at_all_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"none\.json cannot be read"):
        report([tmp_path / "none.json"])
    with pytest.raises(OptionError, match="is a folder"):
        report([tmp_path])
    with pytest.raises(OptionError, match="no record"):
        report([])


def test_without_the_extra_its_install_line_is_the_remedy(monkeypatch: pytest.MonkeyPatch, files: list[Path]) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "jinja2" else name)
    with pytest.raises(MissingPackage, match="needs jinja2") as caught:
        report(files)
    assert ".[report]" in caught.value.remedy


def test_the_command_writes_the_file_into_a_new_folder_and_says_so(tmp_path: Path, files: list[Path]) -> None:
    target = tmp_path / "new" / "page.html"
    ended = CliRunner().invoke(main, ["report", *map(str, files), "-o", str(target)])
    assert ended.exit_code == 0, ended.output
    assert target.read_text(encoding="utf-8") == report(files)
    assert str(target) in ended.stderr


def test_a_file_in_the_way_of_the_folder_is_wrong_usage_and_a_bad_record_leaves_what_was_there(
        tmp_path: Path, files: list[Path]) -> None:
    (tmp_path / "file").touch()
    ended = CliRunner().invoke(main, ["report", str(files[0]), "-o", str(tmp_path / "file" / "page.html")])
    assert ended.exit_code == 2
    (tmp_path / "page.html").write_text("before", encoding="utf-8")
    (tmp_path / "odd.json").write_text("{", encoding="utf-8")
    ended = CliRunner().invoke(main, ["report", str(files[0]), str(tmp_path / "odd.json"), "-o",
                                      str(tmp_path / "page.html")])
    assert ended.exit_code == 1
    assert "odd.json" in ended.stderr
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == "before"


ANYTHING = st.recursive(st.none() | st.booleans() | st.integers(-2**40, 2**40) | st.text(max_size=9)
                        | st.floats(allow_nan=False, allow_infinity=False, min_value=-1e12, max_value=1e12),
                        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner,
                                                                                    max_size=4), max_leaves=12)


@given(st.dictionaries(st.text(max_size=9), ANYTHING, max_size=5))
def test_whatever_a_study_holds_has_a_form(results: dict[str, Any]) -> None:
    from srn_deploy.report.page import render_page

    record = Record(kind="k", title="t", environment=ENVIRONMENT, results=results)
    section = ReportSection(title="t", blocks=tuple(study_blocks(record)), cautions=tuple(study_cautions(record)))
    page = render_page(ReportPage(title="t", sections=(section,)))
    assert page.endswith("</html>\n")


def test_a_way_that_took_no_time_divides_nothing() -> None:
    ways = tuple(dataclasses.replace(way, seconds_per_megapixel=0.0) for way in TUNED.ways)
    (section,) = sections_of([dataclasses.replace(TUNED, ways=ways)])
    assert tables(section)[0].rows[0][3] == "–"
