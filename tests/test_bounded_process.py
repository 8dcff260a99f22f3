"""Work in a process of its own may crash, hang or take all memory; whoever asked for it goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from srn_deploy.system.bounded_process import Ended, ending, run_bounded

GIB = 2**30


def run(request: str, *, seconds: float = 60, memory_bytes: int = GIB) -> tuple[Ended, list[str]]:
    """How it ended, and the lines that came meanwhile."""
    lines: list[str] = []
    ended = run_bounded("tests.bounded_child", request.encode(), seconds=seconds, memory_bytes=memory_bytes,
                        on_line=lines.append)
    return ended, lines


def test_the_answer_comes_back_and_what_is_printed_does_not_disturb_it() -> None:
    ended, lines = run("print")
    assert (ended.output, ended.reason) == (b"tnirp", "")
    assert sorted(lines) == ["past Python", "to stderr", "to stdout"]


@pytest.mark.parametrize(("request_", "reason"), [
    ("exit", "it ends with exit code 3"), ("crash", "it ends in signal 8 (SIGFPE)")])
def test_a_process_that_ends_early_has_its_ending_as_the_reason(request_: str, reason: str) -> None:
    ended, _ = run(request_)
    assert (ended.output, ended.reason) == (b"", reason)


def test_a_process_that_takes_too_long_is_killed() -> None:
    ended, _ = run("sleep", seconds=0.5)
    assert ended.reason == "it does not end within 0.5 s"


def test_a_process_that_takes_too_much_memory_is_killed() -> None:
    ended, _ = run("memory", memory_bytes=GIB // 4)
    assert ended.reason == "it takes more than 0.2 GiB"


def test_what_a_process_has_started_is_killed_with_it() -> None:
    ended, [pid] = run("children", seconds=1.5)
    assert ended.reason == "it does not end within 1.5 s"
    assert ends_soon(int(pid))


def ends_soon(pid: int) -> bool:
    """Whether a process that was killed is gone within 10 s."""
    deadline = time.monotonic() + 10
    while _runs(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not _runs(pid)


def _runs(pid: int) -> bool:
    """Whether a process exists and is not only waiting to be collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_an_interruption_ends_the_process_and_is_passed_on() -> None:
    def interrupted(line: str) -> None:
        pids.append(int(line))
        raise KeyboardInterrupt

    pids: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        run_bounded("tests.bounded_child", b"children", seconds=60, memory_bytes=GIB, on_line=interrupted)
    assert ends_soon(pids[0])


def test_memory_is_counted_over_all_processes_of_the_group() -> None:
    ended, _ = run("memory of children", memory_bytes=GIB // 4)
    assert ended.reason == "it takes more than 0.2 GiB"


def test_a_pipe_that_is_held_open_from_outside_the_group_blocks_nothing() -> None:
    ended, _ = run("held")
    os.kill(int(ended.output), signal.SIGKILL)
    assert ended.reason == ""


def test_a_request_that_is_larger_than_a_pipe_comes_whole() -> None:
    request = "0123456789" * 50_000
    ended, _ = run(request)
    assert ended.output.decode() == request[::-1]


def test_a_module_that_is_not_there_is_a_reason() -> None:
    ended = run_bounded("tests.no_such_module", b"1" * 2**20, seconds=60, memory_bytes=GIB)
    assert ended.reason == "it ends with exit code 1"
    assert "No module named tests.no_such_module" in ended.last_line


def test_the_process_ends_with_the_one_that_waits_for_it() -> None:
    code = ("from srn_deploy.system.bounded_process import run_bounded\n"
            "run_bounded('tests.bounded_child', b'children', "
            "seconds=60, memory_bytes=2**30, on_line=lambda line: print(line, flush=True))")
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True,
                          env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}) as waiting:
        assert waiting.stdout is not None
        grandchild = int(waiting.stdout.readline())
        child = int(Path(f"/proc/{grandchild}/stat").read_text().rpartition(")")[2].split()[1])
        waiting.kill()
    os.kill(grandchild, signal.SIGKILL)
    assert ends_soon(child)


def test_a_signal_without_a_name_is_named_by_its_number() -> None:
    assert ending(-99) == "it ends in signal 99"
