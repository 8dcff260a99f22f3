"""Finding the fastest way: what takes part, what is chosen, how long it may take. Times are made up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from srn_deploy.benchmark import tuning
from srn_deploy.benchmark.tuning import WayRow, tune
from srn_deploy.benchmark.tuning_images import run_at_once
from srn_deploy.benchmark.tuning_work import Work
from srn_deploy.benchmark.ways import Task, Way
from srn_deploy.cli import main
from srn_deploy.errors import BackendError, DeviceUnavailable, NotCertified, OptionError
from srn_deploy.registry.resolve import ModelKind, ResolvedModel, resolve
from srn_deploy.spec import Precision
from srn_deploy.system.cache import tuned_folder
from srn_deploy.system.threads import cpu_threads
from srn_deploy.tiling.shapes import Limits
from srn_deploy.tuning.choice import WayToRun
from tests.fakes import NearestBackend

WAYS = {name: WayToRun(device=name, precision=Precision.FP32) for name in ("cpu", "openvino")}

Milliseconds = Callable[[WayToRun], float]


@dataclass
class Opened(NearestBackend):
    """A backend that knows which way it is."""

    way: WayToRun = WAYS["cpu"]


@dataclass
class Machine:
    """Where each way takes the time that a function gives for it, and time passes only so."""

    milliseconds: Milliseconds
    now_s: float = 0.0
    passes: list[WayToRun] = field(default_factory=list)
    opened: list[Opened] = field(default_factory=list)

    def open_way(self, model: object, way: WayToRun) -> tuple[Opened, str]:
        backend = Opened(way=way, limits=Limits(activation_bytes=100 * 200**2))  # auto takes tiles of about 200 px
        self.opened.append(backend)
        return backend, f"{way.device} runs it"

    def clock(self, step: partial[None]) -> Callable[[], float]:
        """A pass of a candidate, which is known by the backend and the tiles in its Setup."""
        setup = step.args[1]
        at_once = len(step.args[0]) if step.func is run_at_once else 1
        way = replace(setup.backend.way, tile=setup.tiles.tile, tiles_per_batch=setup.tiles.tiles_per_batch,
                      images_per_batch=setup.batching.images, batched_px=setup.batching.largest_px or 0)

        def run() -> float:
            self.passes.append(way)
            taken = at_once * self.milliseconds(way)
            self.now_s += taken / 1000
            return taken

        return run


def machine_with(monkeypatch: pytest.MonkeyPatch, milliseconds: Milliseconds,
                 ways: Sequence[WayToRun] = tuple(WAYS.values())) -> Machine:
    machine = Machine(milliseconds)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(tuning, "open_way", machine.open_way)
    monkeypatch.setattr(tuning, "wall_clock", machine.clock)
    monkeypatch.setattr(tuning, "ways_of", lambda *given: [
        Way(one.device, lambda: pytest.fail("opened without its certificate"), reopens=one) for one in ways])
    monkeypatch.setattr(tuning, "time", SimpleNamespace(monotonic=lambda: machine.now_s))
    monkeypatch.setattr(tuning, "threads_in_use", lambda: 1)
    return machine


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SRN_CACHE", str(tmp_path / "cache"))


def work(side: int = 600) -> Work:
    return Work(label="a test", jobs=(), sizes=[(side, side)])


def by_device(way: WayToRun) -> float:
    return {"cpu": 300.0, "openvino": 150.0, "cuda": 10.0}[way.device]


def test_the_fastest_way_stands_first_and_every_way_has_its_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    machine_with(monkeypatch, by_device)
    tuned = tune(resolve(), work())
    assert [one.title for one in tuned.ways] == ["openvino runs it", "cpu runs it"]
    assert [one.seconds_per_megapixel for one in tuned.ways] == pytest.approx([0.15 / 0.36, 0.3 / 0.36])
    assert (tuned.model, tuned.sha256, tuned.images) == ("srn-s-b4-x4-photo", resolve().sha256, "a test")


def test_a_checkpoint_is_tuned_under_its_path_because_the_name_means_the_graph(
        monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "srn_deploy")
    machine_with(monkeypatch, by_device)
    checkpoint = resolve("srn-s-b4-x4", wanted=ModelKind.CHECKPOINT)
    assert tune(checkpoint, work(side=50)).model == str(checkpoint.path)
    assert caplog.messages[0].startswith("PyTorch alone runs a checkpoint; export it to a graph")


def test_candidates_run_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = machine_with(monkeypatch, by_device)
    tune(resolve(), work())
    assert [way.device for way in machine.passes[:6]] == ["cpu", "openvino"] * 3


def test_the_first_pass_of_a_candidate_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []

    def slow_at_first(way: WayToRun) -> float:
        ran.append(way.device)
        return by_device(way) + 500 * (ran.count(way.device) == 1)

    machine_with(monkeypatch, slow_at_first)
    assert tune(resolve(), work(side=100)).ways[0].seconds_per_megapixel == pytest.approx(15)


@pytest.mark.parametrize("refused", [NotCertified("Too far.", remedy="None."), BackendError("No.", remedy="None.")])
def test_a_way_that_its_certificate_refuses_or_that_does_not_open_is_left_out_and_named(
        monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, refused: BackendError) -> None:
    machine = machine_with(monkeypatch, by_device)

    def open_way(model: object, way: WayToRun) -> tuple[Opened, str]:
        if way.device == "openvino":
            raise refused
        return machine.open_way(model, way)

    monkeypatch.setattr(tuning, "open_way", open_way)
    assert [one.title for one in tune(resolve(), work()).ways] == ["cpu runs it"]
    assert caplog.messages == [f"openvino is left out: {refused.message}"]


def test_a_way_that_fails_on_the_images_is_left_out_and_named(monkeypatch: pytest.MonkeyPatch,
                                                             caplog: pytest.LogCaptureFixture) -> None:
    def failing(way: WayToRun) -> float:
        if way.device == "openvino":
            raise BackendError("It broke.", remedy="None.")
        return by_device(way)

    machine_with(monkeypatch, failing)
    assert [one.title for one in tune(resolve(), work()).ways] == ["cpu runs it"]
    assert caplog.messages == ["openvino runs it is left out: It broke."]


def test_without_any_way_that_runs_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    machine_with(monkeypatch, by_device, ways=())
    with pytest.raises(DeviceUnavailable, match=r"no way to run srn-s-b4-x4-photo\.onnx here"):
        tune(resolve(), work())


def test_the_best_side_of_tiles_and_the_best_batch_are_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    machine_with(monkeypatch, lambda way: by_device(way) / (1 + (way.tile == 256) + (way.tiles_per_batch == 2)))
    best = tune(resolve(), work()).ways[0].way
    assert (best.device, best.tile, best.tiles_per_batch) == ("openvino", 256, 2)


def test_what_is_hardly_faster_than_the_defaults_does_not_displace_them(monkeypatch: pytest.MonkeyPatch) -> None:
    machine_with(monkeypatch, lambda way: by_device(way) / (1 + 0.02 * (way.tile == 256)))
    best = tune(resolve(), work()).ways[0].way
    assert (best.tile, best.tiles_per_batch, best.threads) == ("auto", 1, 0)


def test_small_images_are_not_cut_into_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = machine_with(monkeypatch, by_device)
    tune(resolve(), work(side=150))
    assert {(way.tile, way.tiles_per_batch) for way in machine.passes} == {("auto", 1)}


@pytest.mark.parametrize(("count", "tried"), [(1, {0}), (2, {0, 1}), (8, {0, 4, 8})])
def test_numbers_of_threads_are_tried(monkeypatch: pytest.MonkeyPatch, count: int, tried: set[int]) -> None:
    machine = machine_with(monkeypatch, lambda way: by_device(way) / (1 + (way.threads == 4)))
    monkeypatch.setattr(tuning, "threads_in_use", lambda: count)
    assert tune(resolve(), work(side=100)).ways[0].way.threads == (4 if count == 8 else 0)
    assert {way.threads for way in machine.passes} == tried


def test_a_number_of_threads_that_was_asked_for_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = machine_with(monkeypatch, by_device)
    monkeypatch.setattr(tuning, "threads_in_use", lambda: 8)
    with cpu_threads(8):
        assert tune(resolve(), work(side=100)).machine.threads == 8
    assert {way.threads for way in machine.passes} == {0}


def test_on_a_gpu_the_same_ways_as_in_bench_take_part(monkeypatch: pytest.MonkeyPatch) -> None:
    devices = []
    machine_with(monkeypatch, by_device)
    engine = WayToRun(device="cuda", precision=Precision.FP16, engine="x.engine")

    def ways_of(model: object, task: Task, opened: object) -> list[Way]:
        devices.append(task.device)
        return [Way("x", lambda: pytest.fail("as above"), reopens=engine), Way("exported", lambda: pytest.fail("gone"))]

    monkeypatch.setattr(tuning, "ways_of", ways_of)
    monkeypatch.setattr(tuning, "why_no_gpu", lambda: "")
    (only,) = tune(resolve(), work()).ways
    assert only.way.engine == "x.engine"
    assert devices == ["cuda"]


@pytest.mark.parametrize("budget_s", [3.0, 20.0])
def test_the_budget_holds(monkeypatch: pytest.MonkeyPatch, budget_s: float) -> None:
    machine = machine_with(monkeypatch, by_device)
    tune(resolve(), work(), budget_s=budget_s)
    assert 0.5 * budget_s < machine.now_s <= budget_s + 0.3  # the longest pass


def test_every_way_runs_once_however_small_the_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = machine_with(monkeypatch, by_device)
    assert len(tune(resolve(), work(), budget_s=1e-3).ways) == 2
    assert len(machine.passes) == 2


def test_a_hopeless_way_runs_once_and_slow_starts_are_not_taken_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = machine_with(monkeypatch, lambda way: 9000.0 if way.device == "cpu" else 100.0)
    assert [one.way.device for one in tune(resolve(), work(side=100)).ways] == ["openvino", "cpu"]
    assert [way.device for way in machine.passes].count("cpu") == 1
    machine = machine_with(monkeypatch, lambda way: 900.0 if way.device == "cpu" else 100.0)
    tune(resolve(), work(side=100))
    assert [way.device for way in machine.passes].count("cpu") > 1


def test_every_backend_is_closed_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = machine_with(monkeypatch, by_device)
    monkeypatch.setattr(tuning, "threads_in_use", lambda: 2)
    tune(resolve(), work())
    assert len(machine.opened) == 3
    assert all(backend.closed for backend in machine.opened)


def test_the_table_is_shown_as_it_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    machine_with(monkeypatch, by_device)
    seen: list[tuple[str, list[WayRow]]] = []
    tune(resolve(), work(side=100), on_rows=lambda stage, rows: seen.append((stage, list(rows))))
    assert [(stage, [row.seconds_per_megapixel for row in rows]) for stage, rows in seen[:2]] == [
        ("ways", [pytest.approx(30), None]), ("ways", [pytest.approx(30), pytest.approx(15)])]


def test_an_engine_has_one_way(tmp_path: Path) -> None:
    engine = ResolvedModel(path=tmp_path / "x.engine", kind=ModelKind.ENGINE)
    with pytest.raises(OptionError, match="is an engine: there is one way to run it"):
        tune(engine, work())


def test_ctrl_c_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(way: WayToRun) -> float:
        raise KeyboardInterrupt

    machine = machine_with(monkeypatch, interrupted)
    ended = CliRunner().invoke(main, ["tune"])
    assert ended.exit_code == 130
    assert ended.stderr.endswith("Interrupted; nothing is kept, and what was tuned before holds.\n")
    assert not tuned_folder().exists()
    assert all(backend.closed for backend in machine.opened)


def test_the_command_keeps_what_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    machine_with(monkeypatch, by_device)
    ended = CliRunner().invoke(main, ["tune", "--for", "20x30", "--budget", "1"])
    assert ended.exit_code == 0, ended.stderr
    assert "| openvino runs it | defaults | 250.00 | 2.00 |" in ended.stdout
    (file,) = tuned_folder().glob("*.tuned.json")
    said = ended.stderr.splitlines()
    assert said[:2] == ["Measuring: ways (2 candidates)", "Measuring: images at once (4 candidates)"]
    assert said[2].startswith("Images of 30 x 20 px are run one by one, because several at once gain nothing")
    assert said[3:] == [f"Kept in {file}."]


@pytest.mark.parametrize("purpose", ["nothing.png", "3x", "20x20..30x30", ""])
def test_a_purpose_that_is_none_is_wrong_usage(purpose: str) -> None:
    ended = CliRunner().invoke(main, ["tune", "--for", purpose])
    assert ended.exit_code == 2
    assert "is no file, no folder and no size" in ended.stderr


def test_a_model_from_outside_is_tuned_as_the_graph_that_was_made_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    machine_with(monkeypatch, by_device)
    monkeypatch.setattr("srn_deploy.external.with_spec", lambda model: resolve("srn-s-b6-x2"))
    ended = CliRunner().invoke(main, ["tune", "--for", "20x30", "--budget", "1"])
    assert ended.exit_code == 0, ended.stderr
    assert [path.name.rpartition("-")[0] for path in tuned_folder().glob("*.tuned.json")] == ["srn-s-b6-x2"]
