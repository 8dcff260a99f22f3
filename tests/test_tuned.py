"""What was tuned: kept for one model on one machine with its versions, used by auto, ignored where it does not hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import srn_deploy
from srn_deploy import open_model
from srn_deploy.api import load_as
from srn_deploy.cli import main
from srn_deploy.doctor.findings import Finding, Status
from srn_deploy.doctor.tuned import tuned_findings
from srn_deploy.errors import DeviceUnavailable
from srn_deploy.open_model import OpenRequest
from srn_deploy.registry.resolve import resolve
from srn_deploy.spec import AS_RECOGNISED, Corrections, Precision
from srn_deploy.system.cache import tuned_folder
from srn_deploy.system.installed import installed_versions
from srn_deploy.system.threads import cpu_threads
from srn_deploy.tiling.windows import ImageBatching, TileOptions
from srn_deploy.tuning import choice, opening
from srn_deploy.tuning.choice import LIBRARIES, MeasuredWay, Tuned, WayToRun, find, forget, keep, this_machine
from tests.fakes import NearestBackend

ENOUGH = 10**12


def measured(device: str, seconds: float, precision: Precision = Precision.FP32, **settings: Any) -> MeasuredWay:
    return MeasuredWay(title=device, seconds_per_megapixel=seconds,
                       way=WayToRun(device=device, precision=precision, **settings))


FAST, PLAIN = measured("openvino", 0.5, Precision.BF16, tile=192, tiles_per_batch=2), measured("cpu", 2.0)


def tuned_with(*ways: MeasuredWay, model: str = "srn-s-b4-x4-photo") -> Tuned:
    return Tuned(model=model, sha256=resolve(model).sha256, corrections=AS_RECOGNISED, machine=this_machine(),
                 versions=installed_versions(LIBRARIES), date="2026-01-31", images="339x510",
                 ways=ways or (FAST, PLAIN))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SRN_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[WayToRun]:
    """Ways that were opened, by backends that are made up."""
    ways: list[WayToRun] = []

    def open_way(model: object, way: WayToRun) -> tuple[NearestBackend, str]:
        ways.append(way)
        return NearestBackend(), f"{way.device} in {way.precision.upper()}"

    monkeypatch.setattr(opening, "open_way", open_way)
    return ways


def test_what_was_kept_is_found_again() -> None:
    path = keep(tuned_with(), "srn-s-b4-x4-photo")
    assert path.parent == tuned_folder()
    assert find(resolve()) == tuned_with()
    assert find(resolve("srn-s-b6-x2")) is None


@pytest.mark.parametrize("changed", [{"cpu": "another"}, {"gpu": "another"}, {"threads": 77}])
def test_it_does_not_hold_for_another_machine(changed: dict[str, Any]) -> None:
    keep(replace(tuned_with(), machine=replace(this_machine(), **changed)), "srn-s-b4-x4-photo")
    assert find(resolve()) is None


def test_it_holds_for_a_number_of_threads() -> None:
    with cpu_threads(3):
        keep(tuned_with(), "srn-s-b4-x4-photo")
        assert find(resolve()) is not None
    with cpu_threads(2):
        assert find(resolve()) is None


def test_it_holds_for_the_corrections_of_a_checkpoint() -> None:
    keep(replace(tuned_with(), corrections=Corrections(value_range=255.0)), "srn-s-b4-x4-photo")
    assert find(resolve()) is None
    assert find(replace(resolve(), corrections=Corrections(value_range=255.0))) is not None


def test_what_is_outdated_is_ignored_and_named(caplog: pytest.LogCaptureFixture) -> None:
    versions = installed_versions(LIBRARIES)
    keep(replace(tuned_with(), versions={**versions, "onnxruntime": "1.0"}), "srn-s-b4-x4-photo")
    assert find(resolve()) is None
    assert caplog.messages == [(
        "What was tuned is ignored, because it is outdated: onnxruntime was 1.0 and is "
        f"{versions['onnxruntime']}. Tune it again: srn-deploy tune srn-s-b4-x4-photo")]


DAMAGES = ("", "{}", "truncated", "another", "no way")


def damage(path: Path, kind: str) -> None:
    whole = path.read_text()
    path.write_text({"truncated": whole[:-20], "another": whole.replace(resolve().sha256, "0" * 64),
                     "no way": whole[:whole.index('"ways": [')] + '"ways": []}'}.get(kind, kind))


@pytest.mark.parametrize("kind", DAMAGES)
def test_what_is_damaged_is_ignored_with_a_sentence_and_the_defaults_hold(
        kind: str, caplog: pytest.LogCaptureFixture, opened: Sequence[WayToRun]) -> None:
    damage(path := keep(tuned_with(), "srn-s-b4-x4-photo"), kind)
    with srn_deploy.load() as upscaler:
        assert upscaler.spec.architecture == "srn"
    (message,) = caplog.messages
    assert message.startswith(f"What was tuned is ignored: {path} is damaged (")
    assert not opened


def test_load_and_upscale_take_the_fastest_way_and_say_so(opened: list[WayToRun],
                                                          caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "srn_deploy")
    keep(tuned_with(), "srn-s-b4-x4-photo")
    with srn_deploy.load() as upscaler:
        assert (upscaler._setup.tiles.tile, upscaler._setup.tiles.tiles_per_batch) == (192, 2)
    assert opened == [FAST.way]
    assert caplog.messages == [(
        "openvino in BF16 (tuned here on 2026-01-31: 0.50 s for a megapixel; tiles of 192 px, 2 at once).")]


def test_images_that_run_faster_together_are_run_so_whatever_tiles_are_asked_for(
        opened: list[WayToRun], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "srn_deploy")
    keep(tuned_with(replace(PLAIN, way=replace(PLAIN.way, images_per_batch=4, batched_px=3072))), "srn-s-b4-x4-photo")
    with srn_deploy.load(tiles=TileOptions(halo=20)) as upscaler:
        assert upscaler._setup.batching == ImageBatching(images=4, largest_px=3072)
    assert caplog.messages[0].endswith("2.00 s for a megapixel; images of up to 3,072 px by 4).")
    assert len(opened) == 1


def test_without_a_measured_gain_images_are_run_one_by_one() -> None:
    for way in (PLAIN.way, replace(PLAIN.way, images_per_batch=4)):  # the latter from a file that was edited
        assert way.batching == ImageBatching()


@pytest.mark.parametrize("tiles", [TileOptions(tile=64), TileOptions(tile=None), TileOptions(tiles_per_batch=3)])
@pytest.mark.usefixtures("opened")
def test_tiles_that_were_asked_for_stay(tiles: TileOptions) -> None:
    keep(tuned_with(), "srn-s-b4-x4-photo")
    with srn_deploy.load(tiles=tiles) as upscaler:
        assert upscaler._setup.tiles == tiles


@pytest.mark.usefixtures("opened")
def test_a_halo_that_was_asked_for_is_kept_in_tuned_tiles() -> None:
    keep(tuned_with(), "srn-s-b4-x4-photo")
    with srn_deploy.load(tiles=TileOptions(halo=20)) as upscaler:
        assert upscaler._setup.tiles == TileOptions(halo=20, tile=192, tiles_per_batch=2)


@pytest.mark.parametrize("asked", [{"device": "cpu"}, {"precision": "fp32"}])
def test_a_device_or_precision_that_was_asked_for_holds(asked: dict[str, str], opened: list[WayToRun]) -> None:
    keep(tuned_with(), "srn-s-b4-x4-photo")
    with srn_deploy.load(**asked):  # type: ignore[arg-type]
        assert opened == ([] if "device" in asked else [PLAIN.way])


def test_for_little_work_the_way_that_starts_at_once_is_taken_and_it_is_said_why(
        opened: list[WayToRun], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "srn_deploy")
    keep(tuned_with(), "srn-s-b4-x4-photo")
    for pixels in [100], [ENOUGH]:
        load_as(None, OpenRequest(pixels=pixels)).close()
    assert opened == [PLAIN.way, FAST.way]
    assert "there is too little to do for openvino" in caplog.messages[0]


def test_a_tuned_way_that_cannot_be_opened_is_ignored_with_a_sentence(monkeypatch: pytest.MonkeyPatch,
                                                                      caplog: pytest.LogCaptureFixture) -> None:
    keep(tuned_with(measured("cuda", 0.1, Precision.FP16, engine="gone.engine")), "srn-s-b4-x4-photo")
    srn_deploy.load().close()
    (message,) = caplog.messages
    assert message.startswith("What was tuned is ignored: ")
    assert message.endswith("Tune it again: srn-deploy tune srn-s-b4-x4-photo")


def test_eval_and_open_model_stay_as_they_are(opened: list[WayToRun]) -> None:
    keep(tuned_with(), "srn-s-b4-x4-photo")
    open_model.open_model().close()
    assert opened == []


def test_a_way_opens_on_its_number_of_threads_unless_one_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    way = WayToRun(device="cpu", precision=Precision.FP32, threads=3)

    def threads_of() -> int:
        backend: Any = opening.open_way(resolve(), way)[0]
        return int(backend._session.get_session_options().intra_op_num_threads)

    assert threads_of() == 3
    with cpu_threads(2):
        assert threads_of() == 2


def test_bf16_is_not_opened_without_its_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "open_certified", lambda model: "it is not certified")
    with pytest.raises(srn_deploy.SrnDeployError, match="is not run in BF16: it is not certified"):
        opening.open_way(resolve(), FAST.way)


def test_a_checkpoint_that_is_not_known_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(resolve().path.read_bytes() + b"\x00")
    with pytest.raises(DeviceUnavailable, match=r"The checkpoint of x.onnx is not known"):
        opening.open_way(resolve(tmp_path / "x.onnx"), replace(PLAIN.way, of_checkpoint=True))


def test_forget_removes_what_was_tuned_for_a_model_or_for_all() -> None:
    keep(tuned_with(), "srn-s-b4-x4-photo")
    keep(tuned_with(model="srn-s-b6-x2"), "srn-s-b6-x2")
    damage(keep(tuned_with(model="srn-s-b6-x4"), "srn-s-b6-x4"), "{}")
    assert [path.name.rpartition("-")[0] for path in forget(resolve())] == ["srn-s-b4-x4-photo"]
    ended = CliRunner().invoke(main, ["tune", "--forget"])
    assert ended.stdout.count("Removed ") == 2
    assert CliRunner().invoke(main, ["tune", "--forget"]).stderr == "Nothing was tuned.\n"


def test_without_a_cache_to_write_to_nothing_is_claimed_to_be_kept(monkeypatch: pytest.MonkeyPatch,
                                                                  tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SRN_CACHE", str(tmp_path / "file"))
    with pytest.raises(srn_deploy.SrnDeployError, match="so nothing is kept"):
        keep(tuned_with(), "x")


def test_a_cache_that_cannot_be_written_to_is_refused_before_the_work(monkeypatch: pytest.MonkeyPatch,
                                                                      tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SRN_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr("srn_deploy.benchmark.tuning.tune", lambda *given, **named: pytest.fail("measured"))
    ended = CliRunner().invoke(main, ["tune"])
    assert ended.exit_code == 1
    assert f"What is tuned cannot be kept: {tmp_path / 'file'} is not a folder." in ended.stderr


def finding() -> Finding:
    (only,) = tuned_findings()
    return only


def test_the_doctor_says_what_is_tuned_and_whether_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert finding().detail.startswith("no model; ")
    path = keep(tuned_with(), "srn-s-b4-x4-photo")
    assert finding().detail == "srn-s-b4-x4-photo: openvino, tiles of 192 px, 2 at once, 2026-01-31"
    with cpu_threads(55):
        assert "is not this machine as it is now" in finding().detail
    monkeypatch.setattr(choice, "installed_versions", lambda libraries: {})
    assert finding().state is Status.WARNING
    assert "outdated and not used: srn-deploy was " in finding().detail
    assert finding().fix == "srn-deploy tune srn-s-b4-x4-photo"
    damage(path, "{}")
    assert (finding().state, finding().fix) == (Status.WARNING, "srn-deploy tune --forget")
