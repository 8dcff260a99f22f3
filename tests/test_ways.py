"""Ways to run a model in a benchmark: what a way that fails has opened is closed at once."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from srn_deploy.benchmark import ways
from srn_deploy.benchmark.ways import Task, Way, candidates_of
from srn_deploy.errors import BackendError
from tests.fakes import NearestBackend

TASK = Task(device="cpu", size=(16, 16), batches=(1,), every_way=False)


def opened_by(backend: NearestBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ways, "ways_of", lambda *given: [Way("fake", lambda: (backend, "Fake"))])
    monkeypatch.setattr(ways, "_cost", lambda *given: None)


def test_the_backend_of_a_way_that_fails_is_closed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(NearestBackend):
        def run(self, *given: object, **named: object) -> None:  # type: ignore[override]
            raise BackendError("It broke.", remedy="None.")

    backend = Failing()
    opened_by(backend, monkeypatch)
    with ExitStack() as opened:
        assert list(candidates_of(None, TASK, opened)) == []
        assert backend.closed


def test_the_backend_of_a_way_that_runs_stays_open_until_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = NearestBackend()
    opened_by(backend, monkeypatch)
    with ExitStack() as opened:
        assert list(candidates_of(None, TASK, opened))
        assert not backend.closed
    assert backend.closed
