"""The tables of docs/pictures.md are the results of round trips."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.picture_table import FORMATS, INFORMATION, KINDS, Hole, documented, information_cell, tables


def test_the_document_says_what_the_round_trips_give() -> None:
    assert documented() == tables(), "run python -m tests.picture_table"


def test_metadata_that_pillow_does_not_find_is_not_called_kept(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("PIL.PngImagePlugin.PngStream.chunk_iCCP", lambda stream, pos, length: stream.fp.read(length))
    (of_profiles,) = [information for information in INFORMATION if "ICC" in information.name]
    with pytest.raises(Hole, match="is lost silently"):
        information_cell(tmp_path, ".png", of_profiles)


def test_every_cell_is_kept_reported_or_refused() -> None:
    lines = [line for line in documented().splitlines() if line.startswith("| ") and "PNG | JPEG" not in line]
    rows = [line.split(" | ") for line in lines]
    assert len(rows) == len(KINDS) + len(INFORMATION)
    words = ("exact", "near", "refused", "kept", "reported")
    for row in rows:
        assert len(row) == 1 + len(FORMATS)
        assert all(cell.strip(" |").startswith(words) for cell in row[1:]), row
