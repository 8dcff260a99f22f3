"""The benchmarks: every script runs, and what their page says is what their records say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from benchmarks import eager_script, file_to_file, graph_versions, memory, tiling_study
from benchmarks.inputs import BENCHMARKS, PLOTS, RECORDS
from benchmarks.page_texts import COMMAND
from benchmarks.plots import draw_tiling, is_stale
from benchmarks.render import FIGURE_1_PLOT, NOT_MEASURED, TILING_PLOT, load_records, of_kind, pages, rendered
from benchmarks.whole_process import run_process
from srn_deploy.architectures.checkpoint import save_checkpoint
from srn_deploy.benchmark.records import Record
from srn_deploy.errors import OptionError, SrnDeployError
from srn_deploy.image import Image, write_image
from srn_deploy.registry.shipped import default_model, shipped_models
from srn_deploy.verification.export_proof import export_and_prove
from tests.environments import ENVIRONMENT
from tests.networks import large_picture, seeded_network

ONE_LEVEL = 1
"""Of 0..255: two ways to sum in float32 may turn one rounding."""

MIB = 2**20


def picture_file(path: Path, height: int, width: int) -> Path:
    """A natural-looking PNG."""
    write_image(path, Image(pixels=np.rint(large_picture(height, width) * 255).astype(np.uint8)))
    return path


@pytest.fixture(scope="module")
def tiling(tmp_path_factory: pytest.TempPathFactory) -> Record:
    """The tiling study of a small seeded network on one small picture; the other is no larger than a window."""
    folder = tmp_path_factory.mktemp("tiling")
    loaded = seeded_network(scale=2, channels=8, esa_channels=4, blocks=1)
    save_checkpoint(folder / "tiny.safetensors", loaded.network, architecture="srn", options=loaded.spec.options,
                    value_range=loaded.spec.value_range)
    pictures = [picture_file(folder / "large.png", 130, 151), picture_file(folder / "small.png", 40, 50)]
    tiling_study.main(["--checkpoint", str(folder / "tiny.safetensors"), "--images", *map(str, pictures),
                       "--tile", "36", "--halos", "6", "12", "--threads", "1", "--records", str(folder)])
    return Record.load(folder / "tiling-tiny.json")


@pytest.fixture(scope="module")
def race(tmp_path_factory: pytest.TempPathFactory) -> Record:
    """File to file on a small picture, one pair without a warm-up."""
    folder = tmp_path_factory.mktemp("race")
    file_to_file.main(["--pairs", "1", "--warm-up-pairs", "0", "--threads", "1", "--records", str(folder),
                       "--picture", str(picture_file(folder / "small.png", 41, 60))])
    return Record.load(folder / "file-to-file.json")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Record:
    """The memory benchmark on a picture that is not large."""
    folder = tmp_path_factory.mktemp("memory")
    memory.main(["--width", "100", "--height", "60", "--threads", "1", "--records", str(folder)])
    return Record.load(folder / "memory.json")


def test_the_pages_are_rendered_from_the_records_as_they_are() -> None:
    for name, page in pages(load_records(RECORDS)).items():
        assert (BENCHMARKS / name).read_text(encoding="utf-8") == page, f"benchmarks/{name} is stale; run: {COMMAND}"


def test_the_plot_is_drawn_from_the_records_as_they_are() -> None:
    tilings = of_kind(load_records(RECORDS), "tiling")
    assert tilings
    assert not is_stale(PLOTS / TILING_PLOT, tilings), f"the plot is stale; run: {COMMAND}"
    runs = of_kind(load_records(RECORDS), "bench-paper")
    assert runs
    assert not is_stale(PLOTS / FIGURE_1_PLOT, runs[:1]), f"the plot is stale; run: {COMMAND}"


def test_the_recorded_tiles_keep_the_promise_at_the_default_halo_and_naive_ones_break_it() -> None:
    for record in of_kind(load_records(RECORDS), "tiling"):
        (row,) = [row for row in record.results["rows"] if row["halo_px"] == record.results["spec_halo_px"]]
        assert row["global_uint8"]["worst_levels"] <= ONE_LEVEL < row["naive_uint8"]["worst_levels"]


def test_without_records_the_page_names_the_commands_and_no_figure() -> None:
    page = rendered([])
    assert page.count(NOT_MEASURED) == 26
    for script in ("tiling_study", "file_to_file", "memory", "photo_study", "video", "huge_pictures", "service"):
        assert f"`python -m benchmarks.{script}`" in page
    assert "|---" not in page
    assert TILING_PLOT not in page


@pytest.mark.parametrize("script", ["tiling_study", "file_to_file", "memory", "photo_study", "ablation", "guard_cost",
                                    "cpu_process", "video", "huge_pictures", "pipeline", "effort_table",
                                    "many_pictures", "service", "hardening", "cluster", "peers", "same_budget",
                                    "gpu_report", "compared_pictures"])
def test_every_benchmark_tells_its_options(script: str, repository: Path) -> None:
    ended = subprocess.run([sys.executable, "-m", f"benchmarks.{script}", "--help"], capture_output=True, text=True,
                           check=True, cwd=repository)
    assert "--records" in ended.stdout


def test_the_tiling_study_finds_tiles_with_the_geometry_closer_the_larger_the_halo(tiling: Record) -> None:
    rows = tiling.results["rows"]
    assert [row["halo_px"] for row in rows] == [6, 12, 30]  # 30: the default of one block
    worst = [row["global_float"]["worst_levels"] for row in rows]
    assert worst == sorted(worst, reverse=True)
    assert worst[0] > worst[-1]
    assert rows[-1]["global_uint8"]["worst_levels"] <= ONE_LEVEL
    assert rows[-1]["naive_uint8"]["worst_levels"] > ONE_LEVEL


def test_the_tiling_study_leaves_out_what_a_single_window_covers(tiling: Record) -> None:
    assert tiling.results["pictures"] == ["large.png"]


def test_a_tiling_study_without_a_image_to_cut_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="larger than one window"):
        tiling_study.large_enough([picture_file(tmp_path / "small.png", 20, 20)], 224)


def test_equal_images_differ_by_no_decibels() -> None:
    difference = tiling_study.Difference()
    difference.add(np.zeros((3, 3, 3)))
    assert difference.row() == {"psnr_db": None, "worst_levels": 0.0}


def test_differences_are_pooled_over_all_values_of_all_images() -> None:
    difference = tiling_study.Difference()
    difference.add(np.full((2, 2, 3), -2.0))
    difference.add(np.zeros((2, 2, 3)))
    row = difference.row()
    # A mean square of 2: 10 log10(255^2 / 2).
    assert row["psnr_db"] == pytest.approx(45.1205, abs=1e-4)
    assert row["worst_levels"] == 2.0


def test_the_plain_script_and_the_command_line_write_the_same_image(race: Record) -> None:
    assert race.results["worst_levels"] <= ONE_LEVEL


def test_the_race_is_rendered_with_its_ratio_its_requirement_and_its_doubts(race: Record) -> None:
    page = rendered([race])
    assert f"| time, script / srn-deploy | at least 2.5 | {race.results['time_ratios'][0]:.2f} (" in page
    assert "| memory, srn-deploy / script | – | " in page
    assert "Careful: ratio: only 1 of the 5 samples" in page


@pytest.mark.parametrize(("ratio", "met"), [(2.49, "no"), (2.5, "yes")])
def test_the_race_is_won_from_the_required_ratio_on(race: Record, ratio: float, met: str) -> None:
    record = Record(kind=race.kind, title="t", environment=ENVIRONMENT,
                    results={**race.results, "width_px": 510, "height_px": 339, "time_ratios": [1.0, ratio, 9.0]})
    assert f"| {ratio:.2f} (1.00 … 9.00) | {met} |" in rendered([record])


def test_a_smaller_image_than_the_requirement_speaks_of_decides_nothing(race: Record, large: Record) -> None:
    for record in (race, large):
        assert "not decided: the image is smaller than required" in rendered([record])


@pytest.mark.parametrize(("peak_bytes", "met"), [(3 * 2**30, "no"), (3 * 2**30 - 1, "yes")])
def test_memory_on_the_large_image_is_held_to_three_gib(large: Record, peak_bytes: int, met: str) -> None:
    record = Record(kind="memory", title="t", environment=ENVIRONMENT, results={
        **large.results, "width_px": 4000, "height_px": 3000, "peak_bytes": peak_bytes})
    assert f"| peak memory, GiB | less than 3 | 3.00 | {met} |" in rendered([record])


def test_the_large_image_has_the_size_asked_for_and_no_two_equal_quarters() -> None:
    picture = memory.large_picture(400, 600)
    assert picture.shape == (400, 600, 3)
    assert picture.dtype == np.uint8
    assert not np.array_equal(picture[:200, :300], picture[200:, 300:])


def test_a_record_of_other_weights_than_the_shipped_ones_is_called_so(large: Record) -> None:
    assert "has other weights by now" not in rendered([large])
    old = Record(kind="memory", title="t", environment=ENVIRONMENT, results={**large.results, "sha256": "0" * 64})
    assert f"{default_model()} has other weights by now: measure again." in rendered([old])


@pytest.mark.parametrize(("load", "told"), [(0.5, False), (0.6, True), (None, False)])
def test_a_busy_machine_is_reported(large: Record, load: float | None, told: bool) -> None:
    record = Record(kind="memory", title="t", environment=replace(ENVIRONMENT, load_1min=load), results=large.results)
    assert ("Other programs were running" in rendered([record])) == told


def test_a_table_travels_with_its_whole_environment(large: Record) -> None:
    record = Record(kind="memory", title="t", environment=ENVIRONMENT, results=large.results)
    assert ("Environment: 2026-01-02; Some CPU, 3 threads on 4 logical cores, 8 GiB, load 0 before the start; "
            "GPU: none: no driver; Linux; Python 3.11.0, numpy 2.0.0.") in rendered([record])


def test_a_plot_knows_the_records_it_was_drawn_from(tiling: Record, tmp_path: Path) -> None:
    draw_tiling([tiling], tmp_path / "tiling.png")
    other = Record(kind="tiling", title="another", environment=ENVIRONMENT, results=tiling.results)
    assert not is_stale(tmp_path / "tiling.png", [tiling])
    assert is_stale(tmp_path / "tiling.png", [other])


def test_a_process_is_measured_alone_however_large_its_parent_is() -> None:
    ballast = b"x" * (300 * MIB)
    run = run_process([sys.executable, "-I", "-S", "-c", "pass"], threads=1)
    assert run.peak_bytes < 100 * MIB  # a bare Python; the parent would count 300 MiB and more
    assert len(ballast) == 300 * MIB


def test_the_peak_of_a_process_is_seen_though_it_ends_small() -> None:
    run = run_process([sys.executable, "-c", "x = b'x' * (200 * 2**20); del x"], threads=1)
    assert 200 * MIB < run.peak_bytes < 300 * MIB  # what it held, and a bare Python


def test_a_measured_process_is_held_to_its_threads() -> None:
    run_process([sys.executable, "-c", "import os, sys; sys.exit(os.environ['OMP_NUM_THREADS'] != '3')"], threads=3)


def test_a_measured_command_that_fails_is_an_error_with_its_words() -> None:
    with pytest.raises(SrnDeployError, match="out of luck"):
        run_process([sys.executable, "-c", "import sys; sys.exit('out of luck')"], threads=1)


def test_the_plain_script_refuses_what_it_cannot_read(tmp_path: Path) -> None:
    checkpoint = shipped_models()[default_model()].checkpoint.checked_path()
    with pytest.raises(SystemExit, match="cannot be read"):
        eager_script.main(str(checkpoint), str(tmp_path / "none.png"), str(tmp_path / "out.png"))


def test_graphs_of_two_versions_are_compared_in_turn(tmp_path: Path) -> None:
    network = seeded_network(blocks=1, channels=8, esa_channels=4)
    save_checkpoint(tmp_path / "net.safetensors", network.network, architecture="srn", options=network.spec.options,
                    value_range=255.0)
    earlier = export_and_prove(tmp_path / "net.safetensors", tmp_path / "net.onnx").path
    image = picture_file(tmp_path / "image.png", 40, 50)
    graph_versions.main([str(earlier), str(tmp_path / "net.safetensors"), "--pairs", "2", "--image", str(image),
                         "--records", str(tmp_path), "--threads", "1"])
    [row] = Record.load(tmp_path / "graph-versions.json").results["rows"]
    assert (row["nodes"], row["same_operators"], row["worst_levels"]) == (row["nodes_before"], True, 0)
    assert len(row["time_ratios"]) == 2
