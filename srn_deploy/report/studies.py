"""Records of any study as tables and charts, by the form of their results alone.

Single values become one table, lists of mappings a table each, and lists of numbers their median with the smallest and
the largest. Units stand in the names of values: `wall_s`, `psnr_y_db`, `peak_bytes`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from srn_deploy.benchmark.records import Record
from srn_deploy.benchmark.summary import FEW_SAMPLES, doubts, summarise
from srn_deploy.report.axes import in_digits
from srn_deploy.report.circumstances import busy
from srn_deploy.report.content import Block, DataTable, Paragraph, SpreadChart, SpreadRow

_UNITS = {"ms": "ms", "s": "s", "seconds": "s", "db": "dB", "px": "px", "bytes": "MiB", "mib": "MiB", "gib": "GiB",
          "levels": "levels", "hz": "Hz", "gflops": "GFLOP/s", "percent": "%"}

_PER_UNIT = {"bytes": 2**20}
"""What values of a name are divided by; 1 where nothing else is said."""

_HASH = re.compile(r"\b[0-9a-f]{40,}\b")
"""SHA-1 and longer: the beginning tells them apart."""

_OF_TIME = ("ms", "s")

_WITHOUT_UNIT = ("ratio", "ratios", "share", "shares", "samples")
"""Words in the names of samples that have none."""

_UNNAMED = ("rows", "networks")
"""Names of lists that say nothing."""

LONGEST_CELL = 80
"""Characters; what is longer is cut, as a list of names can be."""

MOST_BARS = 24
"""In one chart."""


def study_blocks(record: Record) -> list[Block]:
    """All results of a record, whatever they are."""
    results = record.results
    single = [(_title(name), _cell(value, name)) for name, value in
              _flat({name: value for name, value in results.items() if not _is_table(value)}).items()]
    blocks: list[Block] = []
    if single:
        blocks.append(DataTable(head=("value", "measured"), rows=tuple(single)))
    for name, value in results.items():
        if _is_table(value):
            blocks += _tables(name, value)
    blocks += study_charts(record)
    return blocks or [Paragraph(text="The record holds no result.")]


def study_charts(record: Record) -> list[SpreadChart]:
    """One chart for each unit in which there are series of samples, and one for ratios and shares."""
    series: dict[str, dict[str, Sequence[float]]] = {}
    for path, samples in _series(record.results, ()):
        unit = _unit_of(path)
        if unit or any(word in path[-1].split("_") for word in _WITHOUT_UNIT):
            series.setdefault(unit, {})[_name_of(path)] = samples
    return [_chart(unit, found) for unit, found in series.items()]


def study_cautions(record: Record) -> list[str]:
    """Few samples or wide spreads of times, and other programs that were running while times were taken."""
    timed = {_name_of(path): samples for path, samples in _series(record.results, ()) if _unit_of(path) in _OF_TIME}
    return [*doubts(timed), *(busy(record.environment) if timed else [])]


def _chart(unit: str, series: Mapping[str, Sequence[float]]) -> SpreadChart:
    rows = []
    for name, samples in list(series.items())[:MOST_BARS]:
        summary = summarise(samples)
        rows.append(SpreadRow(name=name, low=summary.minimum, middle=summary.median, high=summary.maximum))
    more = f"; the first {MOST_BARS} of {len(series)}" if len(series) > MOST_BARS else ""
    return SpreadChart(title=f"Median, smallest and largest sample{more}", unit=unit, rows=tuple(rows),
                       from_zero=all(row.low >= 0 for row in rows))


def _series(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Sequence[float]]]:
    """Every list of several finite numbers, with the names on the way to it; rows are called by their texts."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _series(inner, (*path, str(name)))
    elif path and _is_samples(value, path[-1]):
        yield path, [sample / _divisor(path[-1]) for sample in value]
    elif isinstance(value, list):
        for number, inner in enumerate(value, 1):
            yield from _series(inner, (*path, _row_name(inner, number)))


def _unit_of(path: Sequence[str]) -> str:
    """Of the last name on the way that has one."""
    return next((unit for part in reversed(path) if (unit := _split(part)[1])), "")


def _name_of(path: Sequence[str]) -> str:
    """The names on the way to samples, without units."""
    names = [_split(part)[0] for part in path if part not in _UNNAMED]
    return " · ".join(name for name in names if name)


def _row_name(row: Any, number: int) -> str:
    texts = [text for text in row.values() if isinstance(text, str) and len(text) < LONGEST_CELL // 2] \
        if isinstance(row, Mapping) else []
    return " ".join(texts[:2]) or str(number)


def _tables(name: str, value: Any) -> list[Block]:
    """A list of mappings, or a mapping of mappings, whose names are the first column."""
    rows = [_flat(row) for row in value] if isinstance(value, list) else \
        [{"": str(key), **_flat(row)} for key, row in value.items()]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    return [DataTable(caption=_title(name), head=tuple(map(_title, columns)),
                      rows=tuple(tuple(_cell(row[column], column) if column in row else "–" for column in columns)
                                 for row in rows))]


def _is_table(value: Any) -> bool:
    """Mappings of the same kind, of which each is a row."""
    inner = value if isinstance(value, list) else list(value.values()) if isinstance(value, Mapping) else []
    return bool(inner) and all(isinstance(row, Mapping) for row in inner)


def _flat(row: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """With mappings inside as columns of their own."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{before}{name} · ")
        else:
            flat[f"{before}{name}"] = value
    return flat


def _is_samples(value: Any, name: str) -> bool:
    """Several numbers that were measured. Whole numbers are sizes, seeds and settings, unless they count bytes."""
    if not isinstance(value, list) or len(value) < 2:
        return False
    is_number = all(isinstance(one, int | float) and not isinstance(one, bool) and math.isfinite(one) for one in value)
    return is_number and (name.endswith("bytes") or any(isinstance(one, float) for one in value))


def _cell(value: Any, name: str = "") -> str:
    """A value in words, in the unit that its name has in titles; series with their extremes."""
    divisor = _divisor(name)
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return in_digits(value)
    if isinstance(value, int):
        return f"{value:,}" if divisor == 1 else in_digits(value / divisor)
    if _is_samples(value, name):
        summary = summarise([one / divisor for one in value])
        few = f", {summary.samples} samples" if summary.samples < FEW_SAMPLES else ""
        return f"{in_digits(summary.median)} ({in_digits(summary.minimum)} … {in_digits(summary.maximum)}{few})"
    if isinstance(value, list):
        text = ", ".join(map(_cell, value)) or "–"
    elif isinstance(value, Mapping):
        text = ", ".join(f"{name} {_cell(inner)}" for name, inner in value.items()) or "–"
    else:
        text = _HASH.sub(lambda found: f"{found[0][:12]}…", str(value))
    return text if len(text) <= LONGEST_CELL else f"{text[:LONGEST_CELL - 1]}…"


def _divisor(name: str) -> int:
    return _PER_UNIT.get(name.rpartition("_")[2], 1)


def _title(name: str) -> str:
    """`wall_s` as `wall, s`."""
    title, unit = _split(name)
    return f"{title}, {unit}" if unit and title else title or unit


def _split(name: str) -> tuple[str, str]:
    """A name as words, and its unit; empty where it has none."""
    words = name.split("_")
    unit = _UNITS.get(words[-1], "")
    return " ".join(words[:-1] if unit else words), unit
