"""The study of the checkpoints of challenges: what it measures, what it keeps, and what stands on the page."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import zoo_study
from benchmarks.inputs import PLOTS, RECORDS
from benchmarks.plots import is_stale
from benchmarks.zoo_page import PLOT, draw_zoo, silently_wrong, zoo_tables
from benchmarks.zoo_results import EXACT, LOCAL, WHOLE, Case, Question, Results, Row
from benchmarks.zoo_study import NETWORKS, main, repository_of
from srn_deploy.benchmark.environment import current_environment
from srn_deploy.benchmark.records import Record
from srn_deploy.errors import OptionError
from srn_deploy.system.bounded_process import Ended
from srn_deploy.system.documents import to_builtins

PROVED = Case(scale=4, value_range=1.0, tiling=EXACT, grids=("6 px, linear",), halo_px=48, psnr_db=32.08,
              worst_tile_levels=1.0, convolutions={"HALF": 64})
ROW = Row(name="a.pth", network="models/a.py:A", settings=(), sha256="0", declared_range=1.0, authors_db=32.08,
          authors_other_db=7.66, case=PROVED)

Asked = list[tuple[str, str]]


def results(*rows: Row) -> dict[str, Any]:
    """As a record has them."""
    found: dict[str, Any] = to_builtins(Results(repository="somebody/nets", revision="0123456789", rows=rows))
    return found


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository with two checkpoints of three, and the list of their classes."""
    (tmp_path / "clone" / "model_zoo").mkdir(parents=True)
    for name in ("a.pth", "b.pth"):
        (tmp_path / "clone" / "model_zoo" / name).write_bytes(name.encode())
    (tmp_path / "networks.json").write_text(json.dumps({"repositories": [
        {"name": "somebody/nets", "year": 2031, "revision": "0123456789", "networks": [
            {"checkpoint": f"{name}.pth", "network": f"models/{name}.py:Net", "value_range": 1.0,
             "settings": ["scale=4"]} for name in "abc"]},
        {"name": "others/nets", "year": 2032, "revision": "0", "networks": [
            {"checkpoint": "z.pth", "network": "models/z.py:Net", "value_range": 1.0}]}]}), encoding="utf-8")
    (tmp_path / "reference.json").write_text('{"networks": {"2031_a.pth": {"set5_psnr_y_declared": 32.08}}}')
    return tmp_path / "clone"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, clone: Path) -> Asked:
    """Replaces the process that measures; a list of the checkpoints and classes that it is asked about."""
    found: Asked = []

    def answer(module: str, request: bytes, *, seconds: float, memory_bytes: int) -> Ended:
        question = Question(**json.loads(request))
        assert (module, list(question.settings)) == ("benchmarks.zoo_case", ["scale=4"])
        found.append((Path(question.checkpoint).name, Path(question.network).relative_to(clone).as_posix()))
        if found[-1][0] == "b.pth":
            return Ended(reason="it does not end within 9 s", last_line="still exporting")
        return Ended(output=json.dumps(to_builtins(replace(PROVED, refusal=f"{clone}/a.py is odd."))).encode())

    monkeypatch.setattr(zoo_study, "run_bounded", answer)
    return found


def run(clone: Path, *more: str) -> Results:
    """The study of the clone, and its record."""
    folder = clone.parent
    main([str(clone), "--networks", str(folder / "networks.json"), "--records", str(folder), "--processes", "1",
          "--reference", str(folder / "reference.json"), *more])
    return Record.load(folder / "zoo-2031.json").results_as(Results)


def test_every_checkpoint_of_the_clone_gets_a_row_and_absent_ones_are_named(clone: Path, asked: Asked) -> None:
    found = run(clone)
    assert asked == [("a.pth", "models/a.py:Net"), ("b.pth", "models/b.py:Net")]
    assert [row.name for row in found.rows] == ["a.pth", "b.pth"]
    assert found.absent == ("c.pth",)


def test_what_the_authors_code_gives_stands_beside(clone: Path, asked: Asked) -> None:
    assert [row.authors_db for row in run(clone).rows] == [32.08, None]


def test_a_process_without_an_answer_is_kept_with_its_reason(clone: Path, asked: Asked) -> None:
    assert run(clone).rows[1].ended == "it does not end within 9 s: still exporting"


def test_the_record_has_no_path_of_the_machine(clone: Path, asked: Asked) -> None:
    run(clone)
    assert str(clone.parent) not in (clone.parent / "zoo-2031.json").read_text(encoding="utf-8")


def test_what_is_in_the_record_is_not_measured_again(clone: Path, asked: Asked) -> None:
    run(clone, "--only", "a.pth")
    run(clone)
    assert [name for name, _ in asked] == ["a.pth", "b.pth"]


@pytest.mark.parametrize("changed", ["the file", "the versions", "--again"])
def test_what_has_changed_is_measured_again(
        clone: Path, asked: Asked, changed: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run(clone, "--only", "a.pth")
    if changed == "the file":
        (clone / "model_zoo" / "a.pth").write_bytes(b"other weights")
    if changed == "the versions":
        environment = current_environment(threads=1)
        environment.versions["torch"] = "9.9"
        monkeypatch.setattr(zoo_study, "current_environment", lambda threads: environment)
    run(clone, "--only", "a.pth", *(["--again"] if changed == "--again" else []))
    assert [name for name, _ in asked] == ["a.pth", "a.pth"]


def test_the_repository_is_known_by_its_checkpoints(clone: Path) -> None:
    assert repository_of(clone, clone.parent / "networks.json").year == 2031


def test_a_folder_without_known_checkpoints_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="none of the known checkpoints"):
        repository_of(tmp_path, NETWORKS)


def test_the_list_names_every_class_as_the_command_line_takes_it() -> None:
    for one in json.loads(NETWORKS.read_text(encoding="utf-8"))["repositories"]:
        assert len(one["revision"]) == 40
        assert len({network["checkpoint"] for network in one["networks"]}) == len(one["networks"])
        for network in one["networks"]:
            file, _, name = network["network"].partition(".py:")
            assert file.startswith("models/")
            assert name.isidentifier()
            assert all("=" in setting for setting in network.get("settings", ()))


def test_the_summary_counts_what_is_proved_refused_and_not_finished() -> None:
    local = replace(PROVED, tiling=LOCAL, grids=(), worst_tile_levels=2.0)
    whole = replace(PROVED, tiling=WHOLE, grids=(), worst_tile_levels=None, convolutions={})
    summary, *_ = zoo_tables(results(
        ROW, replace(ROW, name="b.pth", case=local), replace(ROW, name="c.pth", case=whole),
        replace(ROW, name="d.pth", case=Case(refusal="Needs a GPU.")),
        replace(ROW, name="e.pth", case=None, ended="slow")))
    assert "of 5 checkpoints 3 are exported and proved, 1 refused, 1 not finished." in summary
    assert ("1 exact by its grid (1 of 1 within one level); 1 local (0 of 1 within one level); 1 whole image only."
            in summary)
    assert summary.endswith("half precision is built for 2.")


def test_the_tables_show_each_network_or_the_reason() -> None:
    _, proved, refused = zoo_tables(results(ROW, replace(ROW, name="d.pth", case=Case(refusal="Needs a GPU."))))
    assert "| a.pth | 1 (1) | 32.08 | 32.08 | exact by its grid of 6 px, linear | 48 | 1 | 64 |" in proved
    assert "| d.pth | Needs a GPU. |" in refused


@pytest.mark.parametrize(("psnr_db", "wrong"), [(32.08, False), (7.66, False), (31.9, True), (32.3, True)])
def test_a_graph_is_wrong_where_it_gives_none_of_the_authors_figures(psnr_db: float, wrong: bool) -> None:
    assert silently_wrong(ROW, replace(PROVED, psnr_db=psnr_db)) is wrong


def test_a_wrong_graph_is_named_and_bold() -> None:
    summary, table = zoo_tables(results(replace(ROW, case=replace(PROVED, psnr_db=20.0))))
    assert "figure on Set5: 1 of 1 (a.pth)" in summary
    assert "**20.00**" in table


def test_the_plot_says_which_record_it_is_of(tmp_path: Path) -> None:
    record = Record(kind="zoo", title="", environment=current_environment(threads=1), results=results(ROW))
    draw_zoo(record, tmp_path / "zoo.png")
    assert not is_stale(tmp_path / "zoo.png", [record])


@pytest.fixture(scope="module")
def record() -> Record:
    """The one that the page is rendered from."""
    return Record.load(RECORDS / "zoo-2022.json")


def test_no_recorded_graph_gives_another_figure_than_its_authors(record: Record) -> None:
    proved = [(row, row.case) for row in record.results_as(Results).rows if row.case is not None and row.case.scale]
    assert len(proved) >= 37
    assert [row.name for row, case in proved if silently_wrong(row, case)] == []


def test_every_recorded_network_that_is_tiled_is_within_half_a_level(record: Record) -> None:
    levels = [row.case.worst_tile_levels for row in record.results_as(Results).rows
              if row.case is not None and row.case.worst_tile_levels is not None]
    assert len(levels) >= 30
    assert max(levels) <= 0.5


def test_every_recorded_refusal_has_its_reason(record: Record) -> None:
    assert all(row.case is not None and (row.case.refusal or row.case.convolutions.keys() == {"HALF"})
               for row in record.results_as(Results).rows)


def test_the_plot_is_that_of_the_record(record: Record) -> None:
    assert not is_stale(PLOTS / PLOT, [record])


def test_the_figures_of_the_page_on_networks_are_those_of_the_record(repository: Path) -> None:
    rows = Record.load(RECORDS / "zoo-2022.json").results["rows"]
    proved = [row["case"] for row in rows if row["case"] and not row["case"]["refusal"]]
    counts = {way: sum(one["tiling"] == way for one in proved) for way in (EXACT, LOCAL)}
    page = " ".join((repository / "docs/networks.md").read_text(encoding="utf-8").split())
    assert f"Of the {len(rows)} checkpoints" in page
    assert f"{len(proved)} are exported and proved" in page
    assert f"{counts[EXACT]} of them are tiled by their grids and {counts[LOCAL]} are local" in page
    assert max(one["worst_tile_levels"] or 0 for one in proved) <= 0.5  # "all within half a level"
