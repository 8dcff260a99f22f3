"""Benchmarks: candidates run in turn, figures are what was measured, names are honest, and nothing is hidden."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from srn_deploy.architectures import ARCHITECTURES
from srn_deploy.benchmark import machine, paper_page
from srn_deploy.benchmark.candidates import alternated, cautions, ratios, statistics_of, warm_up
from srn_deploy.benchmark.environment import Ceilings, GpuState
from srn_deploy.benchmark.figure import draw_figure_1
from srn_deploy.benchmark.inputs import TEST, VALIDATION, Inputs, div2k_test_sizes, open_inputs
from srn_deploy.benchmark.paper import paper_rows
from srn_deploy.benchmark.paper_protocol import run_paper
from srn_deploy.benchmark.records import Record
from srn_deploy.benchmark.results import CandidateResult, Ratio
from srn_deploy.benchmark.steady_state import beyond_ceilings
from srn_deploy.cli import main
from srn_deploy.image import Image, read_image, write_image
from tests.environments import ENVIRONMENT

WITHOUT_NETWORK = {"DFCDN", "KaiBai_Group", "RIP_ShopeeVideo"}
"""Teams of Table 5 whose networks are not public here."""


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["bench", *map(str, arguments)])


def test_candidates_run_in_turn_round_after_round() -> None:
    order: list[str] = []

    def candidate(name: str) -> float:
        order.append(name)
        return float(len(order))

    samples = alternated({name: partial(candidate, name) for name in "ABC"}, 2)
    assert "".join(order) == "ABCABC"
    assert samples == {"A": [1, 4], "B": [2, 5], "C": [3, 6]}


def test_warming_up_ends_when_the_last_passes_are_alike() -> None:
    times = iter([90.0, 40.0, 12.0, 10.0, 10.1, 10.0, 10.2, 10.1, 10.0, 10.0])
    assert len(warm_up(lambda: next(times))) == 8


def test_figures_are_those_of_the_samples() -> None:
    figures = statistics_of([1.0, 2.0, 3.0, 4.0, 100.0])
    assert (figures.median_ms, figures.mean_ms) == (3.0, 22.0)
    assert figures.p99_ms == pytest.approx(np.percentile([1, 2, 3, 4, 100], 99))
    assert ratios([1.0, 2.0, 4.0], [2.0, 4.0, 8.0]) == Ratio(median=2.0, lower_quartile=2.0, upper_quartile=2.0)


def test_noise_throttling_and_few_rounds_are_reported_with_what_to_do() -> None:
    told = cautions({"a": [1.0, 2.0, 3.0, 4.0, 5.0]}, GpuState(gpu="", gpu_throttled_by=["power cap"]))
    assert "end other programs" in told[0]
    assert "power cap" in told[1]
    assert "nvidia-smi -lgc" in told[1]
    cool = GpuState(gpu="")
    assert cautions({"a": [1.0] * 3}, cool) == ["Only 3 rounds of the 5 that a median needs; give more --rounds."]
    assert cautions({"a": [1.0] * 5}, cool) == []


def test_the_state_of_a_gpu_comes_from_nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    nvml = ModuleType("pynvml")
    vars(nvml).update(
        nvmlInit=lambda: None, nvmlShutdown=lambda: None, nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlSystemGetDriverVersion=lambda: "580.1", nvmlDeviceGetClockInfo=lambda handle, kind: 1980 - kind,
        nvmlDeviceGetTemperature=lambda handle, kind: 71, nvmlDeviceGetCurrentClocksEventReasons=lambda handle: 0x24,
        NVML_CLOCK_SM=1, NVML_CLOCK_MEM=2, NVML_TEMPERATURE_GPU=0, NVMLError=RuntimeError)
    vars(nvml)["__spec__"] = SimpleNamespace()
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setattr(machine, "why_no_gpu", lambda: "")
    monkeypatch.setattr(machine, "gpu_name", lambda: "Fake GPU 8.9")
    assert machine.gpu_state() == GpuState(
        gpu="Fake GPU 8.9", driver="580.1", sm_clock_mhz=1979, memory_clock_mhz=1978, temperature_c=71,
        gpu_throttled_by=["power cap", "software thermal slowdown"])


def test_the_ceilings_of_the_machine_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_MATRIX_SIDE", 128)
    monkeypatch.setattr(machine, "_COPIED_BYTES", 2**20)
    found = machine.ceilings("cpu")
    assert found.are_known
    assert min(found.gflops, found.gbytes_per_s) > 0


def shares(compute: float | None, memory: float | None) -> CandidateResult:
    return CandidateResult(
        median_ms=1.0, mean_ms=1.0, p90_ms=1.0, p99_ms=1.0, spread=0.0, share_of_compute=compute,
        share_of_memory=memory, ratio_to_baseline=Ratio(median=1.0, lower_quartile=1.0, upper_quartile=1.0),
        pictures_per_s=1000.0, input_megapixels_per_s=1.0, peak_mib=None, library="", precision="fp32", form="deploy",
        samples_ms=[1.0])


def test_a_share_above_the_whole_is_reported_and_the_larger_ceiling_counts() -> None:
    assert beyond_ceilings({"a": shares(0.9, 0.1), "b": shares(None, None)}) == []
    (sentence,) = beyond_ceilings({"a": shares(1.35, None), "b": shares(None, 0.2)})
    assert sentence.startswith("a: more than the measured ceilings")
    assert Ceilings(gflops=1.0, gbytes_per_s=9.0).larger(Ceilings(gflops=2.0, gbytes_per_s=8.0)) == \
        Ceilings(gflops=2.0, gbytes_per_s=9.0)
    assert not Ceilings().larger(Ceilings()).are_known


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the system does not tell peaks")
def test_the_peak_is_of_what_came_after_its_beginning() -> None:
    """In a process of its own: what others have freed would be used again."""
    script = ("import numpy as np\nfrom srn_deploy.benchmark.machine import PeakMemory\n"
              "np.ones(2**27, np.uint8).sum()\n"
              "peak = PeakMemory()\npeak.begin()\nbefore = peak.mebibytes()\nheld = np.ones(2**26, np.uint8)\n"
              "print(peak.mebibytes() - before)")
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert 60 < float(told) < 70


@pytest.mark.parametrize(("names", "label"), [
    (sorted(VALIDATION), "DIV2K validation"), (sorted(TEST)[:3], "DIV2K test inputs (3 of 100), a stand-in"),
    (sorted(VALIDATION)[:2], "2 of DIV2K's 100 validation inputs"), (["mine"], "1 pictures of folder")])
def test_only_the_real_inputs_bear_their_name(tmp_path: Path, names: list[str], label: str) -> None:
    for name in names:
        write_image(tmp_path / f"folder/{name}.png", Image(pixels=np.zeros((15, 16, 3), np.uint8)))
    assert open_inputs(tmp_path / "folder").label.startswith(label)


def test_synthetic_inputs_have_the_sizes_of_divs_test_set_and_are_called_so() -> None:
    assert (len(div2k_test_sizes()), list(div2k_test_sizes()).count((339, 510))) == (100, 48)
    inputs = open_inputs(None, 3)
    assert [picture.shape[:2] for picture in inputs.pictures] == list(div2k_test_sizes())[:3]
    assert "synthetic" in inputs.label
    pictures, label = inputs.at_scale(2)
    assert pictures[0].shape == (678, 1020, 3)
    assert "derived" in label


def test_the_tables_are_the_papers() -> None:
    rows = paper_rows()
    assert [sum(row.table == f"table{number}" for row in rows) for number in range(1, 6)] == [18, 6, 4, 5, 5]
    ms = {(row.model, row.scale): row.quoted.runtime_ms or 0.0 for row in rows if row.table == "table1"}
    assert ms["RLFN", 4] / ms["SRN-S", 4] == pytest.approx(1.355, abs=5e-4)
    assert ms["RLFN", 4] / ms["SRN", 4] == pytest.approx(1.296, abs=5e-4)
    assert {row.model for row in rows if not row.is_runnable} == WITHOUT_NETWORK


def test_every_network_of_table_1_has_the_printed_number_of_parameters() -> None:
    for row in paper_rows():
        if row.table == "table1":
            network = ARCHITECTURES[str(row.architecture)].build(row.options)
            found = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad) / 1000
            assert found == pytest.approx(row.quoted.parameters_k, abs=1.2), row.model


@pytest.fixture(scope="module")
def paper_record() -> Record:
    """All networks on one tiny picture."""
    picture = np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    return run_paper(Inputs(label="tiny", pictures=(picture,) * 2))


def test_a_run_of_the_paper_has_every_network_and_every_row(paper_record: Record) -> None:
    networks = paper_record.results["networks"]
    assert all(len(network["samples_ms"]) == 2 for network in networks.values())
    assert set(networks) == {row.network for row in paper_rows() if row.is_runnable}
    tables = paper_page.tables(paper_record)
    assert [len(table) - 1 for table in tables.values()] == [9, 9, 6, 4, 5, 5]
    assert "Only 2 inputs" in paper_record.results["cautions"][-1]


def test_what_is_quoted_and_what_is_measured_is_never_mixed_up(paper_record: Record) -> None:
    head, *rows = paper_page.tables(paper_record)["Table 1, ×4"]
    srn_s = dict(zip(head, next(row for row in rows if row[0] == "SRN-S"), strict=True))
    assert (srn_s["ms q"], srn_s["ratio q"], srn_s["Set5"]) == ("17.05", "1.355", "32.13 / 0.8940 q")
    key = next(row.network for row in paper_rows() if row.model == "SRN-S" and row.scale == 4)
    samples = paper_record.results["networks"][key]["samples_ms"]
    assert srn_s["ms m"] == f"{sum(samples) / 2:.2f}"
    assert not any(cell.endswith(" m") for row in rows for cell in row), "fresh weights have no quality"


def evaluation(**changes: Any) -> Record:
    spec = {"architecture": "rlfn", "scale": 4, "options": dict(ARCHITECTURES["rlfn"].describe({"scale": 4}).options)}
    spec |= changes.pop("spec", {})
    return Record(kind="eval", title="", environment=ENVIRONMENT, results={
        "set": "Set5", "spec": spec, "psnr_db": 32.239, "ssim": 0.89526, "measured": "Y", "lr": "LR", **changes})


def test_an_evaluation_stands_in_the_row_of_its_network_and_set_alone(paper_record: Record) -> None:
    tables = paper_page.tables(paper_record, [evaluation()])
    head, *rows = tables["Table 1, ×4"]
    cells = {row[0]: row[head.index("Set5")] for row in rows}
    assert cells["RLFN"] == "32.24 / 0.8952 q; 32.24 / 0.8953 m"
    assert sum(" m" in cell for table in tables.values() for row in table[1:] for cell in row) == 1


@pytest.mark.parametrize("changes", [
    {"measured": "RGB"}, {"lr": "made from the originals by MATLAB's bicubic"}, {"set": "mine"},
    {"spec": {"options": {**ARCHITECTURES["rlfn"].describe({"scale": 4}).options, "channels": 46}}}], ids=str)
def test_figures_of_another_kind_or_network_stand_in_no_row(paper_record: Record, changes: dict[str, Any]) -> None:
    tables = paper_page.tables(paper_record, [evaluation(**changes)])
    assert not any(cell.endswith(" m") for table in tables.values() for row in table[1:] for cell in row)


def test_what_is_not_an_evaluation_is_refused_before_the_run(tmp_path: Path, paper_record: Record) -> None:
    paper_record.save(tmp_path / "record.json")
    ended = run("--paper", "--device", "cpu", "--quality", tmp_path / "record.json")
    assert (ended.exit_code, "is not an evaluation" in ended.stderr) == (1, True)
    for arguments, told in ((("--plot", tmp_path / "plot.pdf"), "does not end in .png"),
                            (("--save", tmp_path / "record.json/a.json"), "is not a folder")):
        ended = run("--paper", "--device", "cpu", *arguments)
        assert ended.exit_code != 0
        assert told in ended.stderr


def test_the_challenge_table_has_our_counts_beside_the_printed_ones(paper_record: Record) -> None:
    head, *rows = paper_page.tables(paper_record)["Table 5: the challenge"]
    cells = {row[0]: dict(zip(head, row, strict=True)) for row in rows}
    for team in ("Zapdos", "MegSR"):
        told = cells[team]
        assert told["convs m"] == told["convs q"]
        for column in ("params, M", "activations, M"):
            assert told[f"{column} m"] == told[f"{column} q"]
        assert float(told["FLOPs, G m"]) == pytest.approx(float(told["FLOPs, G q"]), abs=0.011)
    assert cells["DFCDN"]["ms m"] == "not run: no public network"


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_figure_1_is_drawn(paper_record: Record, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"figure{suffix}"
    draw_figure_1(paper_record, path)
    if suffix == ".png":
        assert read_image(path).pixels.std() > 10
    else:
        assert b"Urban100" in path.read_bytes() or b"<svg" in path.read_bytes()


def test_the_command_measures_a_model_in_steady_state(tmp_path: Path, repository: Path, one_thread: None,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    graph = tmp_path / "graph.onnx"
    graph.write_bytes((repository / "models/srn-s-b4-x4.onnx").read_bytes())
    monkeypatch.setattr(machine, "_MATRIX_SIDE", 128)
    monkeypatch.setattr(machine, "_COPIED_BYTES", 2**20)
    ended = run(graph, "--device", "cpu", "--rounds", "5", "--size", "24x32", "--batch", "2",
                "--save", tmp_path / "a.json", "--csv", tmp_path / "a.csv")
    assert ended.exit_code == 0, ended.output
    record = Record.load(tmp_path / "a.json")
    assert record.kind == "bench-steady"
    assert all(len(told["samples_ms"]) == 5 for told in record.results["contestants"].values())
    rows = list(csv.reader((tmp_path / "a.csv").read_text(encoding="utf-8").splitlines()))
    assert {row[1].rpartition(", ")[2] for row in rows[1:]} == {"batch 2", "file to file"}
    compared = CliRunner().invoke(main, ["compare", str(tmp_path / "a.json"), str(tmp_path / "a.json")])
    assert compared.exit_code == 0
    assert all(line.endswith("no real change") for line in compared.stdout.splitlines())


@pytest.mark.parametrize(("arguments", "code", "told"), [
    (["--paper", "srn-s-b4-x4"], 2, "leave MODEL out"), (["--limit", "3"], 2, "belong to --paper"),
    (["--peers"], 2, "belong to --paper"),
    (["--size", "wide"], 2, "not one size"), (["--size", "24x32..48x64"], 2, "one size"),
    (["--paper", "--rounds", "3"], 2, "do not belong to --paper"),
    (["--paper", "--device", "openvino"], 2, "do not belong to it"),
    (["--paper", "--precision", "fp32"], 2, "do not belong to it"), (["--paper", "--images", "absent"], 1, "absent"),
    (["absent"], 1, "no model"), (["--device", "cuda"], 1, "no way to run")])
def test_what_cannot_be_measured_is_an_error(arguments: list[str], code: int, told: str) -> None:
    ended = run(*arguments)
    assert ended.exit_code == code
    assert told in ended.stderr


def test_ctrl_c_ends_in_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*given: object, **named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("srn_deploy.benchmark.steady_state.run_steady", interrupted)
    ended = run("--device", "cpu")
    assert (ended.exit_code, ended.stderr) == (130, "Interrupted before enough was measured; nothing is kept.\n")


def test_json_is_a_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, paper_record: Record) -> None:
    monkeypatch.setattr("srn_deploy.benchmark.paper_protocol.run_paper", lambda *given, **named: paper_record)
    assert json.loads(run("--paper", "--device", "cpu", "--json").stdout)["kind"] == "bench-paper"
    ended = run("--paper", "--device", "cpu", "--markdown", tmp_path / "page.md", "--plot", tmp_path / "plot.svg")
    assert ended.exit_code == 0
    assert ended.stdout == ""
    assert "Table 4" in (tmp_path / "page.md").read_text(encoding="utf-8")
