"""How decoding, the network, encoding and writing overlap, for any kind of work in these four stages.

The network runs on the thread that consumes the results, one image at a time, or with others of its group that are
decoded already. `workers` threads decode and encode, whichever is needed more; a few others write, because a disk is
waited for and needs no processor.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from enum import Enum
from typing import Generic

from srn_deploy.inference.memory_budget import MemoryBudget
from srn_deploy.inference.stage_times import PipelineStage, StageTimes, Wait
from srn_deploy.inference.stages import (
    AnyDecoded,
    AnyTask,
    Computed,
    Encoded,
    Finished,
    Group,
    Large,
    Sentences,
    Stages,
)

KEPT_READY = 2
"""Images that are decoded before anything is encoded, so that the network has work."""

LEAST_WRITERS = 4
"""Threads that write and sync files, at least: syncs that wait for one another's disk are joined by the system."""

class _Work(Enum):
    DECODE_PARKED = "decode what had to wait for memory"
    DECODE = "decode the next"
    ENCODE = "encode"


class Pipeline(Generic[AnyTask, AnyDecoded, Large, Encoded]):
    """Runs tasks once; results come in the order of the tasks, whatever the order in which they are done."""

    def __init__(self, tasks: Sequence[AnyTask], stages: Stages[AnyTask, AnyDecoded, Large, Encoded], *, workers: int,
                 memory: MemoryBudget) -> None:
        self.times = StageTimes(workers=max(1, min(workers, len(tasks))))
        self._tasks, self._stages, self._memory = tasks, stages, memory
        self._lock = threading.Lock()
        self._for_workers, self._for_network = threading.Condition(self._lock), threading.Condition(self._lock)
        self._most_storing = max(LEAST_WRITERS, self.times.workers)
        self._writers = ThreadPoolExecutor(max_workers=self._most_storing, thread_name_prefix="codec-writer")
        self._next_to_decode = self._next_to_yield = 0
        self._decoding = self._encoding = self._storing = 0
        self._parked: dict[int, int] = {}
        self._decoded: dict[int, tuple[AnyDecoded, Group | None]] = {}
        self._kept_ready = max(KEPT_READY, stages.most_ahead, 0 if stages.grouping is None else stages.grouping.most)
        self._large: dict[int, Large] = {}
        self._being_encoded: dict[int, Large] = {}
        self._said: dict[int, tuple[Sentences, Sentences]] = {}
        self._started = set[int]()
        self._finished: dict[int, Finished[AnyTask]] = {}
        self._starts_no_more = self._is_stopped = False

    def run(self) -> Generator[Finished[AnyTask], None, None]:
        """Yield each task when it is finished. When the consumer stops, what is being encoded is finished and written,
        and nothing else is begun. After an error that `ends_run` tasks that were not started have no result."""
        began = time.monotonic()
        workers = ThreadPoolExecutor(max_workers=self.times.workers, thread_name_prefix="codec")
        with self._writers, workers:
            try:
                for _ in range(self.times.workers):
                    workers.submit(self._work)
                while (number := self._next_step()) is not None:
                    if number in self._finished:
                        self._next_to_yield += 1
                        self.times.images += 1
                        self.times.elapsed_s = time.monotonic() - began
                        yield self._finished.pop(number)
                    else:
                        self._compute(number)
            finally:
                self._stop()
        self.times.elapsed_s = time.monotonic() - began

    def _stop(self) -> None:
        with self._lock:
            self._is_stopped = True
            self._for_workers.notify_all()

    # The network's thread

    def _next_step(self) -> int | None:
        """The number of a task that is finished and due, or decoded; None when there is nothing left to do."""
        with self._lock:
            while True:
                while self._starts_no_more and self._is_left_out(self._next_to_yield):
                    self._next_to_yield += 1
                if self._next_to_yield >= len(self._tasks):
                    return None
                if self._next_to_yield in self._finished:
                    return self._next_to_yield
                if self._decoded and self._may_compute():
                    return min(self._decoded)
                reason, began = self._reason_to_wait(), time.monotonic()
                self._for_network.wait()
                self.times.waited_s[reason] += time.monotonic() - began

    def _is_left_out(self, number: int) -> bool:
        return number < len(self._tasks) and number not in self._started and number not in self._finished

    def _may_compute(self) -> bool:
        return not self._starts_no_more and len(self._large) < self.times.workers + self._kept_ready

    def _reason_to_wait(self) -> Wait:
        if self._encoding + len(self._large) == 0 and self._storing and not self._decoding:
            return Wait.DISK
        if self._large and self._storing >= self._most_storing and not self._encoding:
            return Wait.DISK
        if self._parked and self._decoding + self._encoding < self.times.workers:
            return Wait.MEMORY
        return Wait.ENCODERS if self._decoded or self._encoding > self._decoding else Wait.DECODERS

    def _compute(self, number: int) -> None:
        with self._lock:
            numbers = self._alike(number)
            work = [(self._tasks[each], self._decoded.pop(each)[0]) for each in numbers]
            self._started.update(numbers)
            self._for_workers.notify(len(numbers))
        with self._timed(PipelineStage.NETWORK):
            if self._stages.grouping is None or len(work) == 1:
                results = [self._computed(*work[0])]
            else:
                results = list(self._stages.grouping.compute(work))
        for each, result in zip(numbers, results, strict=True):
            self._take(each, result)

    def _alike(self, first: int) -> list[int]:
        """The first that is decoded and others of its group: 1, 2, 4 or another power of two, because libraries prepare
        themselves for every number that comes."""
        group = self._decoded[first][1]
        if group is None:
            return [first]
        alike = [each for each in sorted(self._decoded) if self._decoded[each][1] == group][:group.most]
        return alike[:2 ** (len(alike).bit_length() - 1)]

    def _computed(self, task: AnyTask, decoded: AnyDecoded) -> Computed[Large] | Exception:
        try:
            return self._stages.compute(task, decoded)
        except Exception as error:
            if not self._stages.is_error(error):
                raise
            return error

    def _take(self, number: int, computed: Computed[Large] | Exception) -> None:
        if isinstance(computed, Exception):
            self._finish(number, error=computed)
            return
        if computed.large is None:
            self._finish(number, losses=computed.losses, findings=computed.findings)
            return
        with self._lock:
            self._large[number], self._said[number] = computed.large, (computed.losses, computed.findings)
            self._memory.hold(number, computed.large_bytes)
            self._for_workers.notify()

    # The workers

    def _work(self) -> None:
        while (chosen := self._next_work()) is not None:
            work, number = chosen
            if work is _Work.ENCODE:
                self._encode(number)
            else:
                self._decode(number)

    def _next_work(self) -> tuple[_Work, int] | None:
        with self._lock:
            while not self._is_stopped:
                if (work := self._choice()) is not None:
                    number = self._taken(work)
                    if self._choice() is not None:
                        self._for_workers.notify()
                    return work, number
                self._for_workers.wait()
        return None

    def _choice(self) -> _Work | None:
        """What a worker that is free should do."""
        ahead = len(self._decoded) + self._decoding
        decode = self._decode_choice()
        can_encode = bool(self._large) and self._storing < self._most_storing
        wanted_ahead = self._kept_ready + (0 if can_encode else self.times.workers)
        if decode is not None and ahead < wanted_ahead:
            return decode
        return _Work.ENCODE if can_encode else None

    def _decode_choice(self) -> _Work | None:
        if self._starts_no_more:
            return None
        if self._parked:  # nothing overtakes it, or it would wait for ever
            number = min(self._parked)
            return _Work.DECODE_PARKED if self._memory.fits(number, self._parked[number]) else None
        return _Work.DECODE if self._next_to_decode < len(self._tasks) else None

    def _taken(self, work: _Work) -> int:
        if work is _Work.ENCODE:
            self._encoding += 1
            number = min(self._large)
            self._being_encoded[number] = self._large.pop(number)
            self._for_network.notify()
            return number
        self._decoding += 1
        if work is _Work.DECODE_PARKED:
            number = min(self._parked)
            self._memory.hold(number, self._parked.pop(number))
            return number
        self._next_to_decode += 1
        return self._next_to_decode - 1

    def _decode(self, number: int) -> None:
        decoded, group, failure = None, None, None
        with self._timed(PipelineStage.DECODE):
            try:
                decoded = self._stages.decode(self._tasks[number], lambda needed: self._reserve(number, needed))
                if self._stages.grouping is not None and decoded is not None:
                    group = self._stages.grouping.group_of(self._tasks[number], decoded)
            except Exception as error:  # noqa: BLE001  # the end of this task alone
                failure = error
        with self._lock:
            self._decoding -= 1
            if decoded is not None and failure is None:
                self._decoded[number] = decoded, group
                self._for_network.notify()
        if failure is not None:
            self._finish(number, error=failure)

    def _reserve(self, number: int, needed_bytes: int) -> bool:
        with self._lock:
            if self._memory.fits(number, needed_bytes):
                self._memory.hold(number, needed_bytes)
                return True
            self._parked[number] = needed_bytes
            return False

    def _encode(self, number: int) -> None:
        encoded, failure = None, None
        with self._timed(PipelineStage.ENCODE):
            try:
                encoded = self._stages.encode(self._tasks[number], self._being_encoded.pop(number))
            except Exception as error:  # noqa: BLE001  # the end of this task alone
                failure = error
        with self._lock:
            self._encoding -= 1
            if encoded is not None:
                self._storing += 1
                self._memory.hold(number, self._stages.encoded_bytes(encoded))
        if encoded is not None:
            self._writers.submit(self._store, number, encoded)
        elif failure is not None:
            self._finish(number, error=failure)

    def _store(self, number: int, encoded: Encoded) -> None:
        losses: Sentences = ()
        failure = None
        with self._timed(PipelineStage.STORE):
            try:
                losses = self._stages.store(self._tasks[number], encoded)
            except Exception as error:  # noqa: BLE001  # the end of this task alone
                failure = error
        with self._lock:
            self._storing -= 1
        self._finish(number, error=failure, losses=losses)

    def _finish(self, number: int, *, error: Exception | None = None, losses: Sentences = (),
                findings: Sentences = ()) -> None:
        with self._lock:
            said = self._said.pop(number, ((), findings))
            self._memory.release(number)
            self._starts_no_more |= error is not None and self._stages.ends_run(error)
            self._finished[number] = Finished(task=self._tasks[number], error=error, losses=said[0] + losses,
                                              findings=said[1])
            self._for_network.notify()
            self._for_workers.notify()

    @contextmanager
    def _timed(self, stage: PipelineStage) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                self.times.spent_s[stage] += time.monotonic() - began
