"""Whether images of one size run faster several at once: measured, kept and said. Times are made up."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from srn_deploy.benchmark.tuning import tune
from srn_deploy.benchmark.tuning_images import black_images, run_at_once
from srn_deploy.benchmark.tuning_work import work_on
from srn_deploy.image import Image, write_image
from srn_deploy.inference.setup import Setup
from srn_deploy.registry.resolve import resolve
from tests.fakes import NearestBackend
from tests.test_tuning import by_device, machine_with, work


@pytest.mark.parametrize(("alone", "chosen"), [(False, 8), (True, 1)])
def test_as_many_images_at_once_as_gain_most_are_kept_and_said(
        monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, alone: bool, chosen: int) -> None:
    """As on a GPU, where a call costs as much as an image, and as on most CPUs, where it costs nothing."""
    caplog.set_level("INFO", "srn_deploy.benchmark")
    machine_with(monkeypatch, lambda way: by_device(way) * (1 if alone else 0.5 + 0.5 / way.images_per_batch))
    tuned = tune(resolve(), work(side=60)).ways[0]
    best = tuned.way
    assert (best.images_per_batch, best.batched_px) == (chosen, 0 if alone else 3600)
    assert tuned.seconds_per_megapixel == pytest.approx(0.15 * (1 if alone else 0.5 + 0.5 / 8) / 3600e-6)
    assert caplog.messages == [
        "Images of 60 x 60 px are run one by one, because several at once gain nothing: 2 at once take 1.00, 4 at once "
        "take 1.00, 8 at once take 1.00 of the time of one, each" if alone else
        "Images of 60 x 60 px and smaller ones are run 8 at once: each takes 0.56 of its time alone"]


def test_images_that_need_tiles_are_run_one_by_one_and_that_is_said(
        monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "srn_deploy.benchmark")
    machine = machine_with(monkeypatch, by_device)
    tune(resolve(), work(side=600))
    assert {way.images_per_batch for way in machine.passes} == {1}
    assert caplog.messages == ["Images are run one by one: these need tiles, or openvino runs it takes one at a time"]


def test_of_a_folder_the_largest_size_that_gains_is_the_bound(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for side in (30, 60, 90):
        write_image(tmp_path / f"in/{side}.png", Image(pixels=np.zeros((side, side, 3), np.uint8)))
    machine_with(monkeypatch, lambda way: by_device(way) / (way.images_per_batch if way.batched_px <= 3600 else 1))
    (tmp_path / "work").mkdir()
    best = tune(resolve(), work_on(tmp_path / "in", tmp_path / "work")).ways[0].way
    assert (best.images_per_batch, best.batched_px) == (8, 3600)


def test_without_time_for_several_images_at_once_that_is_said(
        monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "srn_deploy.benchmark")
    machine_with(monkeypatch, by_device)
    assert tune(resolve(), work(side=60), budget_s=1e-3).ways[0].way.images_per_batch == 1
    assert "no time to measure several at once" in caplog.messages[-1]


@pytest.mark.parametrize("count", [1, 4])
def test_what_is_timed_is_one_call_for_all_images(count: int) -> None:
    backend = NearestBackend()
    run_at_once(black_images((20, 30), count), Setup(backend))
    assert backend.shapes == [(count, 20, 30, 3)]
