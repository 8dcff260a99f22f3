"""No library keeps real-time priority, with which nothing else on the machine would run."""

from __future__ import annotations

import io
import os
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srn_deploy.system.scheduling import ordinary_scheduling

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems schedule in other ways")


def real_time_threads() -> set[int]:
    """Those of this process."""
    return {int(path.name) for path in Path("/proc/self/task").iterdir()
            if os.sched_getscheduler(int(path.name)) in (os.SCHED_FIFO, os.SCHED_RR)}


def in_a_thread(work: Any) -> Any:
    """What it returns, so that the test's own thread is never changed; skips where real-time priority is forbidden."""
    results: list[Any] = []

    def run() -> None:
        try:
            results.append(work())
        except PermissionError as error:
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if isinstance(results[0], PermissionError):
        pytest.skip("only root may give real-time priority")
    return results[0]


def take_priority() -> None:
    """As SVT-AV1 does."""
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(99))


def test_priority_that_is_taken_inside_is_gone_afterwards() -> None:
    def work() -> tuple[bool, bool, set[int]]:
        ended = threading.Event()
        with ordinary_scheduling():
            take_priority()
            taken = os.sched_getscheduler(0) == os.SCHED_FIFO
            started = threading.Thread(target=ended.wait)  # it inherits the policy
            started.start()
            inherited = os.sched_getscheduler(started.native_id or 0) == os.SCHED_FIFO
        left = real_time_threads()
        ended.set()
        started.join()
        return taken, inherited, left

    assert in_a_thread(work) == (True, True, set())


def test_priority_that_was_there_before_stays() -> None:
    def work() -> tuple[int, int]:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
        with ordinary_scheduling():
            take_priority()
        return os.sched_getscheduler(0), os.sched_getparam(0).sched_priority

    assert in_a_thread(work) == (os.SCHED_RR, 1)


def test_an_opened_encoder_of_av1_leaves_the_machine_to_others() -> None:
    av = pytest.importorskip("av", reason="needs PyAV: pip install srn-deploy[video]")
    if "libsvtav1" not in av.codecs_available:
        pytest.skip("this PyAV has no SVT-AV1")

    def opened() -> set[int]:
        with ordinary_scheduling(), av.open(io.BytesIO(), "w", format="matroska") as container:
            stream = container.add_stream("libsvtav1", rate=25)
            stream.width = stream.height = 64
            stream.pix_fmt = "yuv420p"
            stream.codec_context.open()
            inside = real_time_threads()
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8))))
            container.mux(stream.encode(None))
        assert not real_time_threads() & {threading.get_native_id()}
        return inside

    if not in_a_thread(opened):
        pytest.skip("SVT-AV1 takes no priority here, as it does for root")
    assert real_time_threads() == set()
