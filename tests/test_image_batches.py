"""Images of one size run together where the network gains by it: the same files by fewer calls, and nobody waits."""

from __future__ import annotations

import importlib.util
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from srn_deploy.backends import open_on
from srn_deploy.backends.protocol import Backend
from srn_deploy.errors import OptionError, OutOfMemory
from srn_deploy.image import Image, write_image
from srn_deploy.image.output_size import OutputSize
from srn_deploy.inference import jobs
from srn_deploy.inference.file_options import FileOptions
from srn_deploy.inference.guard import Guard
from srn_deploy.inference.jobs import run_jobs
from srn_deploy.inference.memory_budget import MemoryBudget
from srn_deploy.inference.pipeline import Pipeline
from srn_deploy.inference.plan import plan_jobs
from srn_deploy.inference.result_options import ResultOptions
from srn_deploy.inference.setup import Setup
from srn_deploy.inference.stages import Computed, Finished, Group, Grouping
from srn_deploy.inference.upscale import images_at_once, upscale_alike, upscale_rgb
from srn_deploy.registry.resolve import ModelKind, resolve
from srn_deploy.tiling.interpolation import Geometry
from srn_deploy.tiling.shapes import Limits, ShapeRange
from srn_deploy.tiling.windows import ImageBatching, TileOptions
from tests.fakes import NearestBackend
from tests.optional import needs_openvino
from tests.test_overlap import LIMIT_S, Fake

FOUR = ImageBatching(images=4)
COUNT = 9
AHEAD = 6
"""Images that one worker decodes while the first is computed, four at once: that one, four, and one more."""


# The pipeline

@dataclass
class GroupedFake(Fake):
    """Stages that compute tasks of equal `kind` together, and note which."""

    kind: Callable[[int], object] = lambda task: "all" if task else None
    broken: int | None = None
    """The task that fails beside others."""
    together: list[list[int]] = field(default_factory=list)

    def run(self, tasks: int, *, most_bytes: int | None = None, workers: int = 1) -> list[Finished[int]]:
        grouping = Grouping[int, int, int](most=4, group_of=self._group_of, compute=self._compute_together)
        stages = replace(self.stages(), grouping=grouping)
        return list(Pipeline(range(tasks), stages, workers=workers, memory=MemoryBudget(most_bytes)).run())

    def _group_of(self, task: int, decoded: int) -> Group | None:
        kind = self.kind(task)
        return None if kind is None else Group(kind, 4)

    def _compute(self, task: int, decoded: int) -> Computed[int]:
        self.together.append([task])
        return super()._compute(task, decoded)

    def _compute_together(self, work: Sequence[tuple[int, int]]) -> list[Computed[int] | Exception]:
        self.together.append([task for task, _ in work])
        return [ValueError("broken") if task == self.broken else Computed(large=decoded, large_bytes=self.needed(task))
                for task, decoded in work]


def test_what_is_decoded_is_computed_together_and_results_come_in_order() -> None:
    ahead = threading.Event()
    fake = GroupedFake(decode=lambda task: ahead.set() if task == AHEAD - 1 else None,
                       compute=lambda task: void(ahead.wait(LIMIT_S)), broken=3)
    found = fake.run(COUNT)
    assert [each.task for each in found] == list(range(COUNT))
    assert [each.task for each in found if each.error] == [3]
    assert fake.together[:2] == [[0], [1, 2, 3, 4]]
    assert sorted(task for some in fake.together for task in some) == list(range(COUNT))
    assert {len(some) for some in fake.together} <= {1, 2, 4}


def void(value: object) -> None:
    """Forget a result."""


def test_the_network_never_waits_for_an_image_that_is_not_decoded() -> None:
    """Of two the second is decoded when the first is computed, and not before."""
    first_is_computed = threading.Event()
    fake = GroupedFake(decode=lambda task: void(task and first_is_computed.wait(LIMIT_S)),
                       compute=lambda task: first_is_computed.set(), kind=lambda task: "all")
    assert [each.error for each in fake.run(2)] == [None, None]
    assert fake.together == [[0], [1]]


def test_only_tasks_of_one_group_are_computed_together() -> None:
    ahead = threading.Event()
    fake = GroupedFake(decode=lambda task: ahead.set() if task == AHEAD - 1 else None,
                       compute=lambda task: void(ahead.wait(LIMIT_S)), kind=lambda task: (None, "a", "b")[task % 3])
    fake.run(COUNT)
    assert fake.together[:2] == [[0], [1, 4]]
    assert all(len({task % 3 for task in some}) == 1 for some in fake.together)


def test_images_that_run_together_hold_no_more_memory_than_they_may() -> None:
    fake = GroupedFake(needed=lambda task: 10)
    assert len(fake.run(30, most_bytes=25, workers=8)) == 30
    assert fake.most_inside <= 2
    assert max(map(len, fake.together)) <= 2


def test_an_error_in_grouping_ends_one_task_alone() -> None:
    def broken(task: int) -> object:
        if task == 1:
            raise ValueError("no group")
        return task

    assert [each.task for each in GroupedFake(kind=broken).run(3) if each.error] == [1]


# Files

@dataclass
class Batching(NearestBackend):
    """A backend whose first call lasts until others are decoded; notes the images of each call."""

    others_are_decoded: threading.Event = field(default_factory=threading.Event)
    most: int = 8
    """More in one call are too many for its memory."""

    @property
    def calls(self) -> list[int]:
        return [shape[0] for shape in self.shapes]

    def run(self, batch: NDArray[Any], geometry: Geometry | None = None) -> NDArray[Any]:
        self.others_are_decoded.wait(LIMIT_S)
        if len(batch) > self.most:
            self.shapes.append((0,))
            raise OutOfMemory("There is no memory for this batch.", remedy="None.")
        return super().run(batch)


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> Batching:
    batching, decode, begun = Batching(), jobs.decode_checked, list[object]()

    def counted(*given: Any) -> Image:
        begun.append(given)
        if len(begun) == AHEAD:
            batching.others_are_decoded.set()
        return decode(*given)

    monkeypatch.setattr(jobs, "decode_checked", counted)
    return batching


def pictures(folder: Path, count: int = COUNT, *, channels: int = 3, alpha: bool = False,
             dtype: type[np.uint8 | np.uint16] = np.uint8, size: tuple[int, int] = (12, 17)) -> Path:
    """The first is of a size of its own, so that it is computed alone."""
    for number in range(count):
        shape = (size[0] + (number == 0), size[1], 4)
        drawn: Any = np.random.default_rng(number).integers(0, np.iinfo(dtype).max, shape).astype(dtype)
        write_image(folder / f"in/{number}.png", Image(pixels=drawn[..., :channels],
                                                       alpha=drawn[..., 3:] if alpha else None))
    return folder


def upscaled_files(folder: Path, backend: Backend, batching: ImageBatching, *, guard: Guard = Guard.WARN,
                   tiles: TileOptions | None = None, size: OutputSize | None = None) -> dict[str, bytes]:
    out = folder / f"out{batching.images}"
    planned = plan_jobs(folder / "in", out, wanted=ResultOptions(size=size or OutputSize()))
    setup = Setup(backend, batching=batching, guard=guard, tiles=tiles or TileOptions())
    outcomes = list(run_jobs(planned, setup, FileOptions(jobs=1)))
    assert [outcome.error for outcome in outcomes] == [None] * len(planned)
    return {path.name: path.read_bytes() for path in sorted(out.iterdir())}


@pytest.mark.parametrize("guard", Guard)
@pytest.mark.parametrize("channels", [1, 3])
def test_several_images_at_once_give_the_same_files_by_fewer_calls(
        tmp_path: Path, backend: Batching, guard: Guard, channels: int) -> None:
    folder = pictures(tmp_path, channels=channels)
    together = upscaled_files(folder, backend, FOUR, guard=guard)
    assert backend.calls[:2] == [1, 4]
    assert sum(backend.calls) == COUNT
    assert len(backend.calls) <= COUNT - 3
    assert together == upscaled_files(folder, alone := NearestBackend(), ImageBatching(), guard=guard)
    assert len(alone.shapes) == COUNT


def test_results_of_a_size_that_is_asked_for_are_the_same_too(tmp_path: Path, backend: Batching) -> None:
    folder, size = pictures(tmp_path), OutputSize(scale=1.5)
    together = upscaled_files(folder, backend, FOUR, size=size)
    assert max(backend.calls) == 4
    assert together == upscaled_files(folder, NearestBackend(), ImageBatching(), size=size)


@pytest.mark.parametrize("why", ["alpha", "tiles", "largest_px", "limit", "no network"])
def test_images_that_cannot_share_a_call_run_one_by_one(tmp_path: Path, backend: Batching, why: str) -> None:
    folder = pictures(tmp_path, alpha=why == "alpha", size=(40, 40))
    backend.limits = Limits(largest_batch=1) if why == "limit" else Limits()
    batching = ImageBatching(images=4, largest_px=40 * 40 - 1) if why == "largest_px" else FOUR
    upscaled_files(folder, backend, batching, tiles=TileOptions(tile=32) if why == "tiles" else None,
                   size=OutputSize(scale=0.5) if why == "no network" else None)
    assert set(backend.calls) == ({1} if why != "no network" else set())


def test_images_without_memory_for_a_batch_run_one_by_one_from_then_on_with_a_warning(
        tmp_path: Path, backend: Batching, caplog: pytest.LogCaptureFixture) -> None:
    folder, backend.most = pictures(tmp_path), 1
    together = upscaled_files(folder, backend, FOUR)
    assert backend.calls.count(0) == 1
    assert backend.calls.count(1) == COUNT
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "images of 17 x 12 px could not be run at once (There is no memory for this batch)" in warning
    assert together == upscaled_files(folder, NearestBackend(), ImageBatching())


def test_16_bits_that_only_the_fallback_keeps_do_not_share_a_call(tmp_path: Path, backend: Batching) -> None:
    folder = pictures(tmp_path, count=2, dtype=np.uint16)
    setup = Setup(backend, batching=FOUR)
    outcomes = list(run_jobs(plan_jobs(folder / "in", folder / "out"), setup, FileOptions(jobs=1)))
    assert ["takes 8 bits" in str(outcome.error) for outcome in outcomes] == [True, True]
    assert backend.calls == []


@pytest.mark.parametrize(("limits", "options", "wanted", "expected"), [
    (Limits(), TileOptions(), 8, 8), (Limits(largest_batch=3), TileOptions(), 8, 3), (Limits(), TileOptions(), 1, 1),
    (Limits(activation_bytes=100 * 60 * 80 * 5), TileOptions(), 8, 5),
    (Limits(), TileOptions(activation_bytes=100 * 60 * 80 * 2), 8, 2),
    (Limits(), TileOptions(tile=None), 8, 8), (Limits(), TileOptions(tile=32), 8, 1),
    (Limits(shapes=(ShapeRange.of_one((64, 96)),)), TileOptions(), 8, 8)])
def test_as_many_images_share_a_call_as_the_backend_and_its_memory_take(
        limits: Limits, options: TileOptions, wanted: int, expected: int) -> None:
    backend = NearestBackend(limits=limits)
    assert images_at_once(60, 80, backend, options, ImageBatching(images=wanted)) == expected


@pytest.mark.parametrize("wrong", [{"images": 0}, {"images": 2.0}, {"largest_px": 0}, {"largest_px": "9"}])
def test_numbers_of_images_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        ImageBatching(**wrong)


# Real networks

CPU = [pytest.param("cpu", None, id="onnxruntime"), pytest.param("cpu", ModelKind.CHECKPOINT, id="pytorch"),
       pytest.param("openvino", None, id="openvino", marks=needs_openvino)]


@pytest.mark.parametrize(("device", "kind"), CPU)
@pytest.mark.parametrize("size", [(31, 45), (48, 64)])
@pytest.mark.parametrize("count", [2, 4, 8])
def test_in_fp32_on_a_cpu_a_batch_gives_every_image_the_same_bytes(
        device: str, kind: ModelKind | None, size: tuple[int, int], count: int) -> None:
    """The network has ESA, so that each image has its interpolation matrices."""
    model = resolve("srn-s-b4-x4-photo") if kind is None else resolve("srn-s-b4-x4", wanted=kind)
    images = list(np.random.default_rng(0).integers(0, 256, (count, *size, 3), np.uint8))
    opened, _ = open_on(model, device)
    try:
        for image, large in zip(images, upscale_alike(images, opened), strict=True):
            np.testing.assert_array_equal(large, upscale_rgb(image, opened))
    finally:
        opened.close()


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs PyTorch: pip install '.[torch]'")
def test_images_of_16_bits_are_the_same_in_a_batch() -> None:
    images = list(np.random.default_rng(0).integers(0, 65536, (4, 31, 45, 3), np.uint16))
    opened, _ = open_on(resolve("srn-s-b4-x4", wanted=ModelKind.CHECKPOINT), "cpu")
    for image, large in zip(images, upscale_alike(images, opened), strict=True):
        np.testing.assert_array_equal(large, upscale_rgb(image, opened))
    opened.close()


def test_files_of_a_real_network_are_the_same(tmp_path: Path, backend: Batching) -> None:
    opened, _ = open_on(resolve(), "cpu")

    class Waiting(Batching):
        def run(self, batch: NDArray[Any], geometry: Geometry | None = None) -> NDArray[Any]:
            self.others_are_decoded.wait(LIMIT_S)
            self.shapes.append(batch.shape)
            return opened.run(batch, geometry)

    waiting = Waiting(spec=opened.spec, others_are_decoded=backend.others_are_decoded)
    folder = pictures(tmp_path)
    together = upscaled_files(folder, waiting, FOUR)
    assert waiting.calls[:2] == [1, 4]
    assert together == upscaled_files(folder, opened, ImageBatching())
    opened.close()
