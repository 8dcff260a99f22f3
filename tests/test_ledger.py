"""The ledger of an output that several runs share: one of them has a file, and what a dead one leaves is free."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from srn_deploy.inference.ledger import Ledger, Standing, UnitState
from srn_deploy.inference.ledger_identity import LedgerIdentity
from srn_deploy.inference.plan import Job
from srn_deploy.inference.run_presence import LeaseTimes, Life, this_machine
from tests.fakes import NEAREST

IDENTITY = LedgerIdentity(version="1", model=NEAREST.to_json(), options={"quality": "None"})
SHORT = LeaseTimes(renew_s=0.05, expire_s=0.4)
LIMIT_S = 20.0

HOLDER = """
import sys, time
from pathlib import Path
from tests.test_ledger import IDENTITY, job, Ledger
with Ledger(Path(sys.argv[1]), IDENTITY) as ledger:
    ledger.claim(job(Path(sys.argv[1])))
    print("claimed", flush=True)
    time.sleep(60)
"""


def job(out: Path, name: str = "a.png") -> Job:
    """A job whose source is there, and whose result is not."""
    source = out.parent / "in" / name
    if not source.exists():
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_bytes(b"a picture")
    return Job(source=source, target=out / name)


def done(ledger: Ledger, one: Job) -> None:
    """Do a file that is claimed."""
    one.target.write_bytes(b"a large picture")
    ledger.finish(one, ("lost",), ("found",))


def run_of_other_machine(ledger: Ledger, name: str = "elsewhere") -> Path:
    """The file of a run on a machine that this one knows nothing of."""
    path = ledger.folder / "runs" / name
    path.write_text(json.dumps({"host": "afar", "machine": "another", "process": 1, "renewals": 0}))
    return path


def claim_of(ledger: Ledger, run: str, out: Path) -> Path:
    """Let a run have a file: the claim of this run, in its name."""
    ledger.claim(job(out))
    (path,) = (ledger.folder / "claims").rglob("*.1")
    path.write_text(path.read_text().replace(ledger.run, run))
    return path


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_file_belongs_to_one_run_of_two(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with Ledger(out, IDENTITY) as first, Ledger(out, IDENTITY) as second:
        assert first.claim(job(out)).standing is Standing.OURS
        assert first.claim(job(out)) == UnitState(standing=Standing.OURS)
        taken = second.claim(job(out))
        assert (taken.standing, taken.run) == (Standing.ELSEWHERE, first.run)
        assert second.who(taken) == f"process {os.getpid()} on {os.uname().nodename}"
        assert second.claim(job(out, "b.png")).standing is Standing.OURS


def test_a_file_that_is_finished_is_not_done_again_by_any_run(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with Ledger(out, IDENTITY) as first, Ledger(out, IDENTITY) as second:
        first.claim(job(out))
        done(first, job(out))
        found = second.claim(job(out))
        assert found.standing is Standing.FINISHED
        assert found.finished is not None
        assert (found.finished.losses, found.finished.findings) == (("lost",), ("found",))
    with Ledger(out, IDENTITY) as later:
        assert later.claim(job(out)).standing is Standing.FINISHED


@pytest.mark.parametrize("change", [lambda one: one.target.unlink(), lambda one: one.target.write_bytes(b""),
                                    lambda one: one.source.write_bytes(b"another"),
                                    lambda one: os.utime(one.source, ns=(1, 1))],
                         ids=["gone", "empty", "another source", "another time"])
def test_a_file_is_done_again_where_its_source_changed_or_its_result_is_gone(
        tmp_path: Path, change: Callable[[Job], object]) -> None:
    out = tmp_path / "out"
    with Ledger(out, IDENTITY) as ledger:
        ledger.claim(job(out))
        done(ledger, job(out))
        change(job(out))
        assert ledger.claim(job(out)).standing is Standing.OURS
        done(ledger, job(out))
        assert ledger.claim(job(out)).standing is Standing.FINISHED


def test_a_source_that_changes_while_it_is_done_is_done_again(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with Ledger(out, IDENTITY) as ledger:
        ledger.claim(job(out))
        job(out).source.write_bytes(b"another picture")
        done(ledger, job(out))
        assert ledger.claim(job(out)).standing is Standing.OURS


def test_what_a_run_leaves_that_ends_is_free_at_once(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with Ledger(out, IDENTITY) as second:
        with Ledger(out, IDENTITY) as first:
            first.claim(job(out))
            assert not second.is_alone()
        assert second.is_alone()
        assert second.claim(job(out)) == UnitState(standing=Standing.OURS)


@pytest.mark.skipif(not this_machine(), reason="needs /proc: elsewhere a killed run is found dead by its file alone")
def test_what_a_killed_run_of_this_machine_leaves_is_free_at_once(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with subprocess.Popen([sys.executable, "-c", HOLDER, out], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"claimed\n"
        with Ledger(out, IDENTITY) as ledger:
            assert ledger.claim(job(out)).standing is Standing.ELSEWHERE
            holder.send_signal(signal.SIGKILL)
            holder.wait()
            assert ledger.claim(job(out)).standing is Standing.OURS


@pytest.mark.parametrize("skew_s", [-10**6, 0, 10**6])
def test_a_run_of_another_machine_is_dead_when_its_file_stays_the_same_whatever_its_clock_says(
        tmp_path: Path, skew_s: int) -> None:
    out = tmp_path / "out"
    with Ledger(out, IDENTITY, times=SHORT) as ledger:
        path = run_of_other_machine(ledger)
        os.utime(path, (time.time() + skew_s,) * 2)
        claim_of(ledger, "elsewhere", out)
        began = time.monotonic()
        state = ledger.claim(job(out))
        assert state.standing is Standing.ELSEWHERE
        assert ledger.life_of(state) is Life.UNKNOWN
        until(lambda: ledger.claim(job(out)).standing is Standing.OURS)
        assert time.monotonic() - began >= SHORT.expire_s
        assert not path.exists()


def test_a_run_of_another_machine_is_alive_while_its_file_changes(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with Ledger(out, IDENTITY, times=SHORT) as ledger:
        path = run_of_other_machine(ledger)
        claim_of(ledger, "elsewhere", out)
        state = ledger.claim(job(out))
        for renewal in range(20):  # longer than a lease
            path.write_text(path.read_text().replace(f'"renewals": {renewal}', f'"renewals": {renewal + 1}'))
            time.sleep(SHORT.renew_s)
            assert ledger.claim(job(out)).standing is Standing.ELSEWHERE
        assert ledger.life_of(state) is Life.ALIVE


def test_an_open_ledger_renews_its_lease_also_after_others_took_it_for_dead(tmp_path: Path) -> None:
    with Ledger(tmp_path / "out", IDENTITY, times=SHORT) as ledger:
        path = ledger.folder / "runs" / ledger.run
        before = path.read_bytes()
        until(lambda: path.read_bytes() not in (before, b""))
        path.unlink()
        until(path.exists)
    assert not path.exists()


def test_one_of_many_runs_takes_what_a_dead_one_left(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with ExitStack() as stack:
        ledgers = [stack.enter_context(Ledger(out, IDENTITY)) for _ in range(8)]
        threads = stack.enter_context(ThreadPoolExecutor(len(ledgers)))
        ready = threading.Barrier(len(ledgers))

        def ask(ledger: Ledger, one: Job) -> Standing:
            ready.wait()
            return ledger.claim(one).standing

        for turn in range(20):
            one = job(out, f"{turn}.png")
            with Ledger(out, IDENTITY) as dead:
                dead.claim(one)
            assert list(threads.map(ask, ledgers, [one] * len(ledgers))).count(Standing.OURS) == 1


@pytest.mark.parametrize("content", [b"", b"{", b"\0" * 100, b"[]\n", b'{"target": 3}\n'],
                         ids=["empty", "cut off", "zeros", "list", "number"])
def test_a_claim_that_cannot_be_read_is_respected_for_the_time_of_a_lease(tmp_path: Path, content: bytes) -> None:
    out = tmp_path / "out"
    with Ledger(out, IDENTITY, times=SHORT) as ledger:
        claim_of(ledger, "elsewhere", out).write_bytes(content)
        state = ledger.claim(job(out))
        assert (state.standing, state.run) == (Standing.ELSEWHERE, "")
        until(lambda: ledger.life_of(state) is Life.DEAD or ledger.claim(job(out)).standing is Standing.OURS)


def test_a_note_of_the_end_that_was_cut_off_is_none(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with Ledger(out, IDENTITY) as ledger:
        ledger.claim(job(out))
        done(ledger, job(out))
        (claim,) = (ledger.folder / "claims").rglob("*.1")
        claim.write_bytes(claim.read_bytes()[:-9])
    with Ledger(out, IDENTITY) as later:
        assert later.claim(job(out)).standing is Standing.OURS


def test_processes_of_one_run_go_on_with_what_one_of_them_left_and_count_the_attempts(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with Ledger(out, None) as run:
        workers = [Ledger(out, IDENTITY, member_of=run.run) for _ in range(3)]
        for attempts, worker in enumerate(workers):
            with worker:
                assert worker.attempts(job(out)) == attempts
                assert worker.claim(job(out)) == UnitState(standing=Standing.OURS)
        with Ledger(out, IDENTITY) as other:
            assert other.claim(job(out)).standing is Standing.ELSEWHERE


def test_a_result_that_is_to_be_made_again_is_not_finished_any_more(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with Ledger(out, IDENTITY) as first:
        first.claim(job(out))
        done(first, job(out))
    Ledger(out, None).forget([job(out), job(out, "b.png")])  # of which the other was never begun
    with Ledger(out, IDENTITY) as later:
        assert later.attempts(job(out)) == 0
        assert later.claim(job(out)).standing is Standing.OURS
        done(later, job(out))
        assert later.claim(job(out)).standing is Standing.FINISHED


def test_names_that_are_not_text_have_their_place(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    one = job(out, os.fsdecode(b"b\xff.png"))
    with Ledger(out, IDENTITY) as ledger:
        ledger.claim(one)
        one.target.write_bytes(b"large")
        ledger.finish(one, (f"{one.source} lost something",))
        assert ledger.claim(one).standing is Standing.FINISHED


def test_the_ledger_of_a_single_result_lies_beside_it(tmp_path: Path) -> None:
    out = tmp_path / "large.png"
    with Ledger(out, IDENTITY, is_single=True) as ledger:
        assert ledger.folder == tmp_path / ".large.png.ledger"
        one = Job(source=job(tmp_path / "x").source, target=out)
        assert ledger.claim(one).standing is Standing.OURS
        done(ledger, one)
        assert ledger.claim(one).standing is Standing.FINISHED
