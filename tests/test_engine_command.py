"""`srn-deploy build-engine` and `srn-deploy engines`, as a user types them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
from click.testing import CliRunner

from srn_deploy.cli import main
from srn_deploy.engine.manifest import CertificateRecord
from srn_deploy.engine.store import EngineStore
from srn_deploy.registry.resolve import ResolvedModel
from tests.optional import TENSORRT_RTX

SHAPES = ["--runtime", "tensorrt-rtx", "--shapes", "48x48"]

BLOCKED = """
import sys
for name in sys.argv[1:]:
    sys.modules[name] = None
from srn_deploy.cli import main
from srn_deploy.engine.store import EngineStore
main(["build-engine", "--fp16", "--runtime", "tensorrt-rtx", "--shapes", "48x48"], prog_name="srn-deploy")
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The engines of each test are in a folder of its own."""
    pytest.importorskip("tensorrt_rtx", reason=TENSORRT_RTX)
    monkeypatch.setenv("SRN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_an_engine_is_built_once_listed_and_removed(cache: Path) -> None:
    first, again = (CliRunner().invoke(main, ["build-engine", "--fp16", *SHAPES]) for _ in range(2))
    assert (first.exit_code, again.exit_code) == (0, 0)
    path = Path(first.stdout.strip())
    assert first.stdout == again.stdout
    assert path.parent == cache
    assert "Building: there is no engine of this model." in first.stderr
    assert "26 HALF; not yet certified." in first.stderr
    assert f"{path} is already built." in again.stderr
    listed = CliRunner().invoke(main, ["engines", "list"])
    assert listed.stdout.startswith(f"{path.name}  tensorrt-rtx ")
    (entry,) = json.loads(CliRunner().invoke(main, ["engines", "list", "--json"]).stdout)
    assert (entry["file"], entry["convolutions"]) == (str(path), {"HALF": 26})
    pruned = CliRunner().invoke(main, ["engines", "prune", "--all"])
    assert pruned.stdout == f"Removed {path}\n"
    assert not path.exists()


@pytest.mark.parametrize(("arguments", "code", "message"), [
    (["--shapes", "64x64..32x32"], 2, "are inconsistent"), (["--shapes", "wide"], 2, "cannot be read"),
    (["--opt-level", "9"], 2, "0<=x<=5"), (["absent.onnx"], 1, "no model"),
    (["--runtime", "tensorrt-rtx", "--hardware-compat", "ampere-plus"], 1, "no hardware compatibility"),
    (["--shapes", "48x48", "--fit", "."], 2, "give one of them")])
def test_what_cannot_be_built_ends_in_its_exit_code_and_leaves_nothing(
        cache: Path, arguments: list[str], code: int, message: str) -> None:
    ended = CliRunner().invoke(main, ["build-engine", *arguments])
    assert ended.exit_code == code
    assert message in ended.stderr
    assert not list(cache.glob("*"))


@pytest.mark.parametrize(("missing", "code", "message"), [
    (("torch", "onnxscript", "safetensors"), 0, "HALF"), (("onnx",), 1, "pip install '.[tensorrt-rtx]'")], ids=str)
def test_a_shipped_graph_is_built_without_pytorch_and_missing_packages_are_named(
        missing: tuple[str, ...], code: int, message: str) -> None:
    ended = subprocess.run([sys.executable, "-c", BLOCKED, *missing], capture_output=True, text=True, check=False,
                           env=dict(os.environ))
    assert ended.returncode == code, ended.stderr
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr


class Closed:
    """A backend that can only be closed."""

    closed = 0

    def close(self) -> None:
        Closed.closed += 1


def test_where_the_engine_can_run_it_is_certified_at_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def certified(backend: Closed, model: ResolvedModel, title: str, *, against: ResolvedModel) -> None:
        seen.extend([title, against.path.suffix])
        store = EngineStore(model.path.parent)
        store.certified(store.open(model.path), CertificateRecord(artefact_sha256="", gpu="", passed=True, failures=()))

    monkeypatch.setattr("srn_deploy.engine_request.open_on", lambda model, device: (Closed(), "a GPU"))
    monkeypatch.setattr("srn_deploy.engine_request.ensure_certified", certified)
    ended = CliRunner().invoke(main, ["build-engine", *SHAPES])
    assert ended.stderr.endswith("26 FLOAT; certified.\n")
    assert seen == ["a GPU", ".safetensors"]
    assert Closed.closed == 1


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_ctrl_c_and_sigterm_during_a_build_end_it_and_leave_no_engine(
        cache: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: int) -> None:
    """The signal arrives while the library is at work, in the middle of one of its callbacks."""
    def interrupting(phase: object) -> None:
        os.kill(os.getpid(), signal.Signals[name])

    monkeypatch.setattr("srn_deploy.cli.build_engine._progress", lambda: nullcontext(interrupting))
    ended = CliRunner().invoke(main, ["build-engine", "--fp16", *SHAPES])
    assert ended.exit_code == code
    assert "Interrupted; every file that exists is complete." in ended.stderr
    assert not list(cache.glob("*.engine"))


def test_pruning_does_not_touch_other_files(cache: Path) -> None:
    cache.mkdir()
    others = [cache / name for name in ("package.json", "a.cache", "mine.engine")]
    for path in others:
        path.write_text("{}")
    assert CliRunner().invoke(main, ["engines", "prune", "--all"]).stdout == ""
    assert all(path.exists() for path in others)


def test_an_engine_cannot_be_built_from_an_engine(cache: Path) -> None:
    built = CliRunner().invoke(main, ["build-engine", *SHAPES]).stdout.strip()
    ended = CliRunner().invoke(main, ["build-engine", built])
    assert (ended.exit_code, "is an engine already" in ended.stderr) == (1, True)
