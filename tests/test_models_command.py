"""`srn-deploy models`: list, pull from a server on this machine, and use what was pulled by its name."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from srn_deploy.architectures.checkpoint import load_checkpoint
from srn_deploy.benchmark.environment import Ceilings
from srn_deploy.cli import main
from srn_deploy.engine.store import EngineStore
from srn_deploy.image import Image, read_image, write_image
from srn_deploy.open_model import engines_of
from srn_deploy.registry import download, published
from srn_deploy.registry.published import published_models
from srn_deploy.registry.resolve import resolve
from srn_deploy.registry.shipped import default_model, shipped_models
from srn_deploy.spec import Corrections, Form, PixelType
from tests.fake_machine import stored
from tests.networks import large_picture, seeded_network
from tests.optional import TENSORRT_RTX
from tests.rude_server import Manner, Server, serving

pytestmark = pytest.mark.usefixtures("no_proxy", "one_thread")

NAME = "tiny-x3"
SCALE = 3
KNOWN = Corrections(options={"scale": str(SCALE)}, value_range=1.0)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file that does not tell its scale."""
    path = tmp_path_factory.mktemp("weights") / "net.pth"
    network = seeded_network("carn", scale=SCALE, channels=8, mobile=True, groups=2, multi_scale=True).network
    torch.save(network.state_dict(), path)
    return path.read_bytes()


@pytest.fixture
def server(weights: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """Serves the one model of a catalogue of its own; the cache is empty."""
    with serving(Manner(body=weights)) as told:
        (tmp_path / "catalogue.json").write_text(json.dumps({"models": [
            {"name": NAME, "title": "A tiny CARN-M", "architecture": "carn", "scale": SCALE, "url": f"{told.url}h",
             "sha256": hashlib.sha256(weights).hexdigest(), "size_bytes": len(weights), "licence": "none stated",
             "source": "https://example.org", "value_range": 1.0, "settings": [f"scale={SCALE}"],
             "note": "It is a test."}]}))
        monkeypatch.setattr(published, "CATALOGUE", tmp_path / "catalogue.json")
        monkeypatch.setattr(download, "https", told.opener)
        monkeypatch.setenv("SRN_CACHE", str(tmp_path / "cache"))
        monkeypatch.chdir(tmp_path)
        yield told


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def place() -> Path:
    return published_models()[NAME].path


def test_pull_prints_the_path_and_says_what_it_is(server: Server, weights: bytes) -> None:
    done = run("models", "pull", NAME)
    assert (done.exit_code, done.stdout) == (0, f"{place()}\n")
    assert "A tiny CARN-M, x3 (no licence stated). It is a test." in done.stderr
    assert f"from {server.url}" in done.stderr
    assert place().read_bytes() == weights


def test_what_is_there_and_whole_is_not_fetched_again(server: Server) -> None:
    first, second = run("models", "pull", NAME), run("models", "pull", NAME, NAME)
    assert (second.exit_code, second.stdout) == (0, first.stdout)
    assert second.stderr == f"{NAME} is there already and whole.\n"
    assert len(server.ranges) == 1


def test_a_damaged_file_is_fetched_again(server: Server, weights: bytes) -> None:
    place().parent.mkdir(parents=True)
    place().write_bytes(weights[:-1] + b"?")
    done = run("models", "pull", NAME)
    assert done.exit_code == 0
    assert "is not the file that the catalogue names; it is fetched again" in done.stderr
    assert place().read_bytes() == weights


def test_a_shipped_model_needs_no_pulling(server: Server) -> None:
    done = run("models", "pull", default_model())
    assert done.stdout == f"{shipped_models()[default_model()].checkpoint.checked_path()}\n"
    assert server.ranges == []


def test_an_unknown_name_ends_it_before_anything_is_fetched(server: Server) -> None:
    done = run("models", "pull", NAME, "unheard-of")
    assert done.exit_code == 1
    assert "no model 'unheard-of' to pull" in done.stderr
    assert NAME in done.stderr
    assert server.ranges == []


def test_what_cannot_be_fetched_ends_in_exit_code_1_with_a_remedy(server: Server) -> None:
    server.manners = [Manner(status=404)]
    done = run("models", "pull", NAME)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "answers 404 Not Found" in done.stderr
    assert f"copy the file from elsewhere to {place()}" in done.stderr


def test_what_came_before_a_failure_is_reported(server: Server) -> None:
    server.manners = [Manner(status=404)]
    done = run("models", "pull", default_model(), NAME)
    assert (done.exit_code, done.stdout.count("\n")) == (1, 1)
    assert done.stdout.endswith(f"{default_model()}.safetensors\n")


def test_the_list_has_shipped_models_first_and_marks_the_default(server: Server) -> None:
    done = run("models", "list")
    lines = done.stdout.splitlines()
    assert [line[2:].split()[0] for line in lines] == [*shipped_models(), NAME]
    assert [line.split()[1] for line in lines if line.startswith("*")] == [default_model()]
    assert done.stdout == run("models").stdout


def test_the_list_says_whether_a_model_is_here_and_where(server: Server) -> None:
    assert run("models").stdout.splitlines()[-1].endswith("(no licence stated)  0.1 MB")
    run("models", "pull", NAME)
    assert run("models").stdout.splitlines()[-1].endswith(f"  {place()}")
    place().write_bytes(b"")
    assert run("models").stdout.splitlines()[-1].endswith("is damaged: pull it again")


def test_the_list_for_programs_has_the_state_of_each(server: Server) -> None:
    for state in ("absent", "pulled"):
        told = json.loads(run("models", "list", "--json").stdout)
        assert told == json.loads(run("models", "--json").stdout)
        assert (told["default"], len(told["models"])) == (default_model(), len(shipped_models()))
        (one,) = told["published"]
        assert (one["name"], one["state"], one["file"]) == (NAME, state, str(place()))
        run("models", "pull", NAME)


def test_json_before_another_command_is_wrong_usage(server: Server) -> None:
    assert run("models", "--json", "pull", NAME).exit_code == 2


def picture(path: Path, height: int = 24, width: int = 30) -> Path:
    write_image(path, Image(pixels=(large_picture(height, width) * 255).astype(np.uint8)))
    return path


USES = {
    "upscale": ("upscale", "in.png", "out.png", "--model", NAME, "--device", "cpu"),
    "info": ("info", NAME),
    "export": ("export", NAME),
    "verify": ("verify", NAME, "--device", "cpu"),
    "eval": ("eval", NAME, "--hr", "hr", "--device", "cpu"),
    "build-engine": ("build-engine", NAME, "--runtime", "tensorrt-rtx", "--shapes", "24x24"),
    "bench": ("bench", NAME, "--size", "16x16", "--rounds", "1", "--all", "--device", "cpu"),
}


@pytest.mark.parametrize("command", USES)
def test_a_pulled_model_is_used_by_its_name_without_further_options(
        server: Server, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Corrections] = []
    if command == "bench":  # four exports take too long: what they are told is looked at instead
        monkeypatch.setattr("srn_deploy.verification.export_proof.export_and_prove",
                            lambda model, *_: told.append(model.corrections))
        monkeypatch.setattr("srn_deploy.benchmark.steady_state.ceilings", lambda device, precisions: Ceilings())
        monkeypatch.setattr("srn_deploy.benchmark.candidates.MOST_WARM_UPS", 1)
        monkeypatch.setattr("srn_deploy.benchmark.ways._in_pytorch", lambda *given: ())  # compiling takes longer still
    if command == "build-engine":
        pytest.importorskip("tensorrt_rtx", reason=TENSORRT_RTX)
    picture(Path("in.png"))
    picture(Path("hr/a.png"), 48, 60)
    run("models", "pull", NAME)
    done = run(*USES[command])
    assert done.exit_code == 0, done.stderr
    assert bool(told) == (command == "bench")
    assert all(corrections == KNOWN for corrections in told)


@pytest.mark.parametrize("command", USES)
def test_a_model_that_is_not_here_is_not_fetched_without_being_asked_for(server: Server, command: str) -> None:
    picture(Path("in.png"))
    picture(Path("hr/a.png"), 48, 60)
    done = run(*USES[command])
    assert done.exit_code == 1
    assert done.stderr.endswith(f"Fetch it with `srn-deploy models pull {NAME}`.\n")
    assert server.ranges == []


def test_the_catalogue_tells_the_scale_and_the_user_may_tell_another(server: Server) -> None:
    picture(Path("in.png"), 24, 30)
    run("models", "pull", NAME)
    for options, scale in (((), SCALE), (("--set", "scale=2"), 2)):
        run("upscale", "in.png", "out.png", "--model", NAME, "--device", "cpu", *options)
        assert read_image(Path("out.png")).pixels.shape == (24 * scale, 30 * scale, 3)


def test_a_graph_of_a_pulled_model_finds_its_reference(server: Server) -> None:
    run("models", "pull", NAME)
    assert run("export", NAME, "-o", "net.onnx").exit_code == 0
    done = run("verify", "net.onnx", "--device", "cpu")
    assert done.exit_code == 0, done.stderr
    assert f"FP32 on the CPU, {place().name}" in done.stdout
    place().unlink()
    done = run("verify", "net.onnx", "--device", "cpu")
    assert (done.exit_code, f"srn-deploy models pull {NAME}" in done.stderr) == (1, True)


def test_an_engine_counts_as_the_models_by_what_the_catalogue_tells(server: Server) -> None:
    run("models", "pull", NAME)
    spec = replace(load_checkpoint(place(), KNOWN).spec, form=Form.DEPLOY, pixel_type=PixelType.UINT8)
    store = EngineStore()
    engine = stored(store, place(), spec)
    assert engines_of(resolve(NAME), store) == [engine]
    assert engines_of(resolve(NAME, Corrections.parse(("scale=2",))), store) == []


PULL_HERE = """
import sys
from pathlib import Path
from srn_deploy.registry import published
from srn_deploy.registry import download
from srn_deploy.cli import main
from tests.rude_server import Server
published.CATALOGUE = Path(sys.argv[1])
download.https = Server([], url=sys.argv[2]).opener
main(["models", "pull", sys.argv[3]], prog_name="srn-deploy")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of this kind are those of POSIX")
def test_ctrl_c_exits_130_and_the_next_pull_goes_on(server: Server, weights: bytes, repository: Path) -> None:
    begun = len(weights) // 2
    server.manners = [Manner(body=weights, stall_after=begun), Manner(body=weights)]
    # A suite that runs in the background of a shell hands down that Ctrl-C is ignored.
    with subprocess.Popen([sys.executable, "-c", PULL_HERE, str(published.CATALOGUE), server.url, NAME],
                          preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL), cwd=repository,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while not (parts := list(place().parent.glob(".srn-part-*"))) or not parts[0].stat().st_size:
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, told = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert told.endswith("what was received is kept, and the same command continues from there.\n")
    assert run("models", "pull", NAME).exit_code == 0
    assert place().read_bytes() == weights
    assert server.ranges[0] is None
    assert str(server.ranges[1]).startswith("bytes=")
