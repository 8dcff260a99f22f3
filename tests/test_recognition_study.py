"""The study of recognition: from files to its record and to what stands on the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.recognition_page import recognition_tables
from benchmarks.recognition_study import Case, others, study
from srn_deploy.architectures import ARCHITECTURES
from srn_deploy.benchmark.records import Record
from srn_deploy.errors import UnreadableImage
from tests.fitted_networks import fitted_network

SRN: dict[str, Any] = {"scale": 2, "channels": 24, "blocks": 1, "esa_channels": 4}


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Record:
    """A network that super-resolves with other settings than usual, an untrained one, and a file of another network."""
    folder = tmp_path_factory.mktemp("others")
    fitted = fitted_network("srn", value_range=1.0, residual=True, **SRN)
    torch.save(fitted.state_dict(), folder / "fitted.pt")
    torch.manual_seed(0)
    torch.save(ARCHITECTURES["srn"].build(SRN).state_dict(), folder / "random.pt")
    torch.save({"another.weight": torch.zeros(1)}, folder / "unknown.pth")
    (folder / "notes.txt").write_text("not a checkpoint")
    made = study([*others(folder, with_data=False),
                  Case(name="untrained", path=folder / "random.pt", is_trained=False)], with_set5=False)
    made.save(folder / "recognition.json")
    return Record.load(folder / "recognition.json")


def test_every_recognised_file_has_a_row_and_others_are_counted(record: Record) -> None:
    assert [row["name"] for row in record.results["rows"]] == ["fitted.pt", "random.pt", "untrained"]
    assert record.results["unknown_files"] == 1


def test_the_row_says_what_was_found_and_by_how_much(record: Record) -> None:
    row = record.results["rows"][0]
    assert (row["value_range"], row["differing"], row["super_resolves"]) == (1.0, {"residual": "true"}, True)
    assert row["best_db"] > row["bicubic_db"] + 1.0
    assert set(row["margins_db"]) == {"value_range", "negative_slope", "residual", "image_residual"}
    assert all(margin >= 0 for margin in row["margins_db"].values())


def test_the_page_shows_trained_and_untrained_networks(record: Record) -> None:
    summary, trained, untrained = recognition_tables(record.results)
    assert summary.startswith("Of 2 trained checkpoints 1 are accepted")
    assert "| fitted.pt | srn | 1 | residual true |" in trained
    assert "| random.pt | srn | refused |" in trained
    assert "| srn | 1 |" in untrained


def test_a_folder_without_any_known_network_is_an_error(tmp_path: Path) -> None:
    torch.save({"another.weight": torch.zeros(1)}, tmp_path / "unknown.pth")
    with pytest.raises(UnreadableImage, match="known network"):
        study([*others(tmp_path, with_data=False)], with_set5=False)
