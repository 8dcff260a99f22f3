"""The pipeline: every worker has work, nobody waits for nothing, memory is bounded, an error ends one task alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from srn_deploy.inference.memory_budget import MemoryBudget
from srn_deploy.inference.pipeline import Pipeline
from srn_deploy.inference.stage_times import Bottleneck, PipelineStage, StageTimes, Wait
from srn_deploy.inference.stages import Computed, Finished, Reserve, Stages

LIMIT_S = 20.0
"""A run that takes longer is stuck: each of these would end in a second."""


def nothing(task: int) -> None:
    """What a stage does unless a test says otherwise."""


@dataclass
class Fake:
    """Stages that count who is where. Each task takes `needed(task)` bytes."""

    decode: Callable[[int], None] = nothing
    compute: Callable[[int], None] = nothing
    encode: Callable[[int], None] = nothing
    store: Callable[[int], None] = nothing
    needed: Callable[[int], int] = lambda task: 1
    lock: threading.Lock = field(default_factory=threading.Lock)
    inside: set[int] = field(default_factory=set)
    most_inside: int = 0
    computed: list[int] = field(default_factory=list)

    def stages(self) -> Stages[int, int, int, int]:
        return Stages(decode=self._decode, compute=self._compute, encode=self._encode, encoded_bytes=lambda _: 0,
                      store=self._store, is_error=lambda error: isinstance(error, ValueError),
                      ends_run=lambda error: isinstance(error, OSError))

    def _decode(self, task: int, reserve: Reserve) -> int | None:
        if not reserve(self.needed(task)):
            return None
        with self.lock:
            self.inside.add(task)
            self.most_inside = max(self.most_inside, len(self.inside))
        self.decode(task)
        return task

    def _compute(self, task: int, decoded: int) -> Computed[int]:
        self.computed.append(task)
        self.compute(task)
        return Computed(large=decoded, large_bytes=self.needed(task), losses=("read",), findings=("found",))

    def _encode(self, task: int, large: int) -> int:
        self.encode(task)
        with self.lock:
            self.inside.discard(task)
        return large

    def _store(self, task: int, encoded: int) -> tuple[str, ...]:
        self.store(task)
        return ("written",)


def run(fake: Fake, tasks: int, *, workers: int = 2, most_bytes: int | None = None) -> list[Finished[int]]:
    """All results; fails the test where the run is stuck."""
    return run_timed(fake, tasks, workers=workers, most_bytes=most_bytes)[0]


def run_timed(fake: Fake, tasks: int, *, workers: int = 2,
              most_bytes: int | None = None) -> tuple[list[Finished[int]], StageTimes]:
    pipeline = Pipeline(range(tasks), fake.stages(), workers=workers, memory=MemoryBudget(most_bytes))
    found: list[Finished[int]] = []
    runner = threading.Thread(target=lambda: found.extend(pipeline.run()), daemon=True)
    runner.start()
    runner.join(LIMIT_S)
    assert not runner.is_alive(), "the pipeline is stuck"
    return found, pipeline.times


def fake_with(stage: str, does: Callable[[int], None]) -> Fake:
    fake = Fake()
    setattr(fake, stage, does)
    return fake


def fails(wrong: set[int], error: Exception) -> Callable[[int], None]:
    def stage(task: int) -> None:
        if task in wrong:
            raise error
    return stage


@pytest.mark.parametrize("workers", [1, 2, 7, 32])
def test_results_come_in_order_whatever_takes_how_long(workers: int) -> None:
    fake = Fake(decode=lambda task: time.sleep(0.01 * (task % 3)),
                encode=lambda task: time.sleep(0.01 * (task % 4 == 0)))
    found = run(fake, 25, workers=workers)
    assert [each.task for each in found] == list(range(25))
    assert {(each.losses, each.findings) for each in found} == {(("read", "written"), ("found",))}


def test_the_network_takes_what_is_decoded_while_an_earlier_image_takes_long() -> None:
    others_are_computed = threading.Event()
    fake = Fake(decode=lambda task: void(task or others_are_computed.wait(LIMIT_S)),
                compute=lambda task: others_are_computed.set() if task == 5 else None)
    assert [each.task for each in run(fake, 6)] == list(range(6))
    assert fake.computed == [1, 2, 3, 4, 5, 0]


def void(value: object) -> None:
    """Forget a result."""


def test_every_worker_encodes_at_once() -> None:
    everyone = threading.Barrier(6)
    run(Fake(encode=lambda task: void(everyone.wait(LIMIT_S))), 6, workers=6)
    assert not everyone.broken


def test_a_disk_that_syncs_slowly_does_not_hold_up_an_encoder() -> None:
    """The first file is synced until the third is encoded, on a single worker."""
    third_is_encoded = threading.Event()
    fake = Fake(encode=lambda task: third_is_encoded.set() if task == 2 else None,
                store=lambda task: void(task or third_is_encoded.wait(LIMIT_S)))
    assert len(run(fake, 3, workers=1)) == 3
    assert third_is_encoded.is_set()


@pytest.mark.parametrize("stage", ["decode", "compute", "encode", "store"])
def test_an_error_of_any_stage_ends_one_task_alone(stage: str) -> None:
    error = ValueError("broken")
    fake = fake_with(stage, fails({1, 4}, error))
    assert [each.task for each in run(fake, 6) if each.error is error] == [1, 4]


def test_after_an_error_that_ends_the_run_nothing_is_started_and_what_was_started_has_its_result() -> None:
    fake = Fake(store=fails({3}, OSError("full")))
    found = run(fake, 200)
    assert [each.task for each in found if each.error] == [3]
    assert len(found) < 40
    assert sorted(fake.computed) == [each.task for each in found]


@pytest.mark.parametrize(("most_bytes", "together"), [(10, 1), (25, 2), (49, 4)])
def test_images_hold_no_more_memory_than_they_may(most_bytes: int, together: int) -> None:
    fake = Fake(needed=lambda task: 10, encode=lambda task: time.sleep(0.002))
    assert len(run(fake, 30, workers=8, most_bytes=most_bytes)) == 30
    assert fake.most_inside <= together


def test_an_image_that_is_larger_than_the_memory_runs_alone_and_others_wait_for_it() -> None:
    alone: list[set[int]] = []
    fake = Fake(needed=lambda task: 1000 if task in (3, 4) else 1, decode=lambda task: time.sleep(0.002))
    fake.compute = lambda task: alone.append(set(fake.inside)) if task in (3, 4) else None
    assert len(run(fake, 40, workers=8, most_bytes=10)) == 40
    assert alone == [{3}, {4}]


def test_every_image_larger_than_the_memory_is_no_deadlock() -> None:
    assert len(run(Fake(needed=lambda task: 1000), 20, workers=8, most_bytes=1)) == 20


def test_an_image_that_fails_gives_its_memory_back() -> None:
    fake = Fake(needed=lambda task: 10, compute=fails({0, 1, 2}, ValueError()), encode=fails({3, 4}, ValueError()))
    fake.decode = fails({5}, ValueError())
    assert len(run(fake, 10, workers=4, most_bytes=10)) == 10


@pytest.mark.parametrize(("stage", "wait"), [("decode", Wait.DECODERS), ("encode", Wait.ENCODERS),
                                             ("store", Wait.DISK), ("compute", None)])
def test_the_stage_that_takes_long_is_the_bottleneck(stage: str, wait: Wait | None) -> None:
    _, times = run_timed(fake_with(stage, lambda task: time.sleep(0.02)), 40)
    found = times.bottleneck()
    assert found is not None
    assert found.wait is wait
    assert found.share > 0.5
    assert max(times.spent_s, key=lambda each: times.spent_s[each]) is (
        PipelineStage.NETWORK if stage == "compute" else PipelineStage(stage))


def test_images_that_wait_for_memory_make_memory_the_bottleneck() -> None:
    fake = Fake(needed=lambda task: 10, encode=lambda task: time.sleep(0.02))
    _, times = run_timed(fake, 20, workers=4, most_bytes=10)
    found = times.bottleneck()
    assert found is not None
    assert found.wait is Wait.MEMORY


def test_without_any_time_there_is_no_bottleneck_and_shares_end_at_one() -> None:
    assert StageTimes(workers=1).bottleneck() is None
    times = StageTimes(workers=1, elapsed_s=1.0)
    times.spent_s[PipelineStage.NETWORK] = 2.0
    assert times.bottleneck() == Bottleneck(wait=None, share=1.0)


def test_a_stopped_run_ends_what_is_being_encoded_and_begins_nothing() -> None:
    stored: list[int] = []
    fake = Fake(encode=lambda task: time.sleep(0.05), store=stored.append)
    running = Pipeline(range(100), fake.stages(), workers=2, memory=MemoryBudget(None)).run()
    next(running)
    running.close()
    assert 1 <= len(stored) <= 6
    count = len(stored)
    time.sleep(0.1)
    assert len(stored) == count
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("codec")]
