"""Charts of a report: round ticks, shapes where the values are, labels inside."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from srn_deploy.errors import OptionError
from srn_deploy.report.axes import in_digits, linear_ticks, log_ticks, tick_label
from srn_deploy.report.content import (
    DataTable,
    MarkdownText,
    ReportPage,
    ReportSection,
    ScatterChart,
    ScatterPoint,
    SpreadChart,
    SpreadRow,
)
from srn_deploy.report.drawing import WIDTH, draw_scatter, draw_spreads
from srn_deploy.report.page import render_page

BARS = SpreadChart(title="Time", unit="ms", rows=(SpreadRow(name="a", low=40.0, middle=50.0, high=60.0),
                                                  SpreadRow(name="b", low=100.0, middle=100.0, high=100.0)))


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9))
def test_linear_ticks_are_even_and_enclose_the_values(low: float, extent: float) -> None:
    high = low + extent
    ticks = linear_ticks(low, high)
    tolerance = (ticks[1] - ticks[0]) * 1e-6
    assert ticks[0] <= low + tolerance
    assert ticks[-1] >= high - tolerance
    assert 2 <= len(ticks) <= 8
    assert all(math.isclose(second - first, ticks[1] - ticks[0], rel_tol=1e-6, abs_tol=abs(low) * 1e-12)
               for first, second in pairwise(ticks))


@given(st.floats(1e-6, 1e6), st.floats(1, 1e6))
def test_logarithmic_ticks_enclose_the_values(low: float, factor: float) -> None:
    ticks = log_ticks(low, low * factor)
    assert ticks[0] <= low * (1 + 1e-6)
    assert ticks[-1] >= low * factor * (1 - 1e-6)
    assert ticks == sorted(set(ticks))


@pytest.mark.parametrize(("low", "high"), [(1.0, 0.0), (math.nan, 1.0), (0.0, math.inf)])
def test_an_axis_without_order_is_refused(low: float, high: float) -> None:
    with pytest.raises(OptionError, match="no axis"):
        linear_ticks(low, high)


def test_a_logarithmic_axis_from_zero_is_refused() -> None:
    with pytest.raises(OptionError, match="logarithmic"):
        log_ticks(0.0, 1.0)


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (617.42, "617.4"), (12345.6, "12,346"), (0.012346, "0.01235"),
                                             (-2.5, "-2.500"), (1e-12, "1e-12")])
def test_numbers_have_four_digits(value: float, text: str) -> None:
    assert in_digits(value) == text


def test_labels_of_ticks_have_the_decimals_of_the_step() -> None:
    assert [tick_label(value, 0.25) for value in (0.0, 0.25, 0.5)] == ["0.00", "0.25", "0.50"]
    assert tick_label(20000.0, 10000.0) == "20,000"


def test_a_bar_ends_at_its_middle_and_its_line_goes_from_low_to_high() -> None:
    drawn = draw_spreads(BARS)
    first, second = [shape for shape in drawn.shapes if shape.tag == "rect"]
    assert float(second.attributes["width"]) == pytest.approx(2 * float(first.attributes["width"]), abs=0.2)
    (spread,) = [shape for shape in drawn.shapes if shape.attributes.get("class") == "spread"
                 and shape.attributes["y1"] == shape.attributes["y2"]]
    assert float(spread.attributes["x1"]) == pytest.approx(0.8 * float(first.attributes["width"]), abs=0.2)
    assert float(spread.attributes["x2"]) == pytest.approx(1.2 * float(first.attributes["width"]), abs=0.2)
    assert "a: 50.00 (40.00 … 60.00)" in drawn.description


def test_points_that_are_not_from_zero_keep_their_differences() -> None:
    rows = tuple(SpreadRow(name=str(value), low=value, middle=value, high=value) for value in (30.0, 31.0, 32.0))
    drawn = draw_spreads(SpreadChart(title="PSNR", unit="dB", rows=rows, from_zero=False))
    places = [float(shape.attributes["cx"]) for shape in drawn.shapes if shape.tag == "circle"]
    assert places[2] - places[1] == pytest.approx(places[1] - places[0], abs=0.2)
    assert places[1] - places[0] > WIDTH / 4


def test_a_long_name_is_cut_and_whole_in_the_hint() -> None:
    name = "n" * 200
    (label,) = [shape for shape in draw_spreads(SpreadChart(title="", unit="", rows=(
        SpreadRow(name=name, low=1.0, middle=2.0, high=3.0),))).shapes if shape.attributes.get("class") == "label"]
    assert label.text.endswith("…")
    assert label.hint == name


def test_names_of_points_hide_no_other() -> None:
    points = tuple(ScatterPoint(name=f"network {number}", x=100.0 * 1.3**number, y=30 + (number % 3) / 10, area=500.0)
                   for number in range(8))
    drawn = draw_scatter(ScatterChart(title="t", x_label="ms", y_label="dB", points=points))
    labels = [shape for shape in drawn.shapes if shape.attributes.get("class") == "label"]
    assert sorted(label.text for label in labels) == [point.name for point in points]
    assert len({(label.attributes["x"], label.attributes["y"]) for label in labels}) == len(points)


def test_the_area_of_a_point_stands_for_its_value() -> None:
    points = (ScatterPoint(name="a", x=10.0, y=1.0, area=400.0), ScatterPoint(name="b", x=20.0, y=2.0, area=100.0))
    drawn = draw_scatter(ScatterChart(title="t", x_label="", y_label="", points=points))
    large, small = [float(shape.attributes["r"]) for shape in drawn.shapes if shape.tag == "circle"]
    assert large == pytest.approx(2 * small, abs=0.1)


def test_a_table_with_rows_of_another_length_is_refused() -> None:
    with pytest.raises(OptionError, match="length of its head"):
        DataTable(head=("a", "b"), rows=(("1",),))


def test_markdown_is_shown_with_tables_and_neither_html_nor_images() -> None:
    text = "**bold** <b>x</b> [a](javascript:alert) ![plot](plots/a.png)\n\n| a |\n|---|\n| 1 |\n"
    section = ReportSection(title="s", blocks=(MarkdownText(markdown=text),))
    page = render_page(ReportPage(title="t", sections=(section,)))
    assert "<strong>bold</strong> &lt;b&gt;x&lt;/b&gt;" in page
    assert '<a href="plots/a.png">plot</a>' in page
    assert "<th>a</th>" in page
    assert "<img" not in page
    assert 'href="javascript' not in page
