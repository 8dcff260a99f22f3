"""The command line, as a user types it."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srn_deploy.architectures.checkpoint import save_checkpoint
from srn_deploy.image import Image, read_image, write_image
from srn_deploy.verification.export_proof import export_and_prove
from tests.commands import srn_deploy as run
from tests.networks import large_picture, seeded_network

OPTIONS: dict[str, Any] = {"scale": 2, "channels": 8, "esa_channels": 4, "blocks": 1}
COMMAND = (sys.executable, "-m", "srn_deploy")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small seeded checkpoint."""
    path = tmp_path_factory.mktemp("model") / "net.safetensors"
    save_checkpoint(path, seeded_network(**OPTIONS).network, architecture="srn", options=OPTIONS, value_range=1.0)
    return path


@pytest.fixture(scope="module")
def graph(checkpoint: Path) -> Path:
    """Its deploy graph."""
    return export_and_prove(checkpoint, checkpoint.with_suffix(".onnx")).path


def picture(path: Path, height: int = 30, width: int = 41, alpha: bool = False) -> Path:
    """A picture file."""
    pixels = (large_picture(height, width) * 255).astype(np.uint8)
    write_image(path, Image(pixels=pixels, alpha=pixels[..., :1] if alpha else None))
    return path


def test_upscale_writes_the_image_and_says_where_and_on_what(tmp_path: Path, graph: Path) -> None:
    done = run("upscale", picture(tmp_path / "in.png"), tmp_path / "out.png", "--model", graph)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{tmp_path / 'out.png'}\n"
    assert done.stderr.startswith("ONNX Runtime on the ")
    assert read_image(tmp_path / "out.png").pixels.shape == (60, 82, 3)


def test_the_default_model_upscales_four_times(tmp_path: Path) -> None:
    done = run("upscale", picture(tmp_path / "in.png"), tmp_path / "out.webp")
    assert done.returncode == 0, done.stderr
    assert read_image(tmp_path / "out.webp").pixels.shape == (120, 164, 3)


def test_tiles_give_the_same_image(tmp_path: Path, graph: Path) -> None:
    picture(tmp_path / "in.png", 150, 163)
    for name, chosen in (("whole.png", "none"), ("out.png", "32")):
        done = run("upscale", tmp_path / "in.png", tmp_path / name, "--model", graph, "--tile", chosen)
        assert done.returncode == 0, done.stderr
    whole, tiled = (read_image(tmp_path / name).pixels.astype(int) for name in ("whole.png", "out.png"))
    assert np.abs(tiled - whole).max() <= 1


def test_alpha_and_grey_survive(tmp_path: Path, graph: Path) -> None:
    picture(tmp_path / "in/a.png", alpha=True)
    write_image(tmp_path / "in/g.png", Image(pixels=np.full((20, 21, 1), 90, np.uint8)))
    done = run("upscale", tmp_path / "in", tmp_path / "out", "--model", graph)
    assert done.returncode == 0, done.stderr
    alpha = read_image(tmp_path / "out/a.png").alpha
    assert alpha is not None
    assert alpha.shape == (60, 82, 1)
    assert read_image(tmp_path / "out/g.png").pixels.shape == (40, 42, 1)


def test_a_folder_with_a_bad_file_ends_with_a_summary_and_code_1(tmp_path: Path, graph: Path) -> None:
    picture(tmp_path / "in/a.png")
    (tmp_path / "in/b.png").write_bytes(b"no picture")
    picture(tmp_path / "in/c/d.jpg")
    done = run("upscale", tmp_path / "in", tmp_path / "out", "--model", graph)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [str(tmp_path / "out/a.png"), str(tmp_path / "out/c/d.jpg")]
    assert "b.png" in done.stderr
    assert "2 written, 1 failed, 0 skipped" in done.stderr
    assert re.search(r"^The network (ran|waited) \d+ % of the time", done.stderr, flags=re.MULTILINE)


def test_a_run_as_json_has_what_became_of_each_image_and_the_seconds_of_each_stage(tmp_path: Path, graph: Path) -> None:
    picture(tmp_path / "in/a.png")
    (tmp_path / "in/b.png").write_bytes(b"no picture")
    done = run("upscale", tmp_path / "in", tmp_path / "out", "--model", graph, "--json", "--jobs", "3")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert [(Path(image["target"]).name, image["error"] is None) for image in found["files"]] == [
        ("a.png", True), ("b.png", False)]
    assert "b.png" in found["files"][1]["error"]["message"]
    assert found["jobs"] == 2  # there are no more images
    assert set(found["stages_s"]) == {"decode", "network", "encode", "store"}
    assert 0 < found["stages_s"]["network"] <= found["elapsed_s"]
    assert set(found["network_waited_s"]) == {"decoders", "encoders", "disk", "memory"}


@pytest.mark.parametrize(("target", "others", "named"), [
    ("out.jpg", (), "JPEG"), ("out.webp", ("--quality", "80"), "WebP"), ("out.png", (), ""), ("out.webp", (), "")])
def test_effort_for_a_format_that_has_none_is_named(
        tmp_path: Path, graph: Path, target: str, others: tuple[str, ...], named: str) -> None:
    done = run("upscale", picture(tmp_path / "in.png"), tmp_path / target, "--model", graph, "--effort", "small",
               *others)
    assert done.returncode == 0, done.stderr
    assert (f"--effort does nothing to {named}." in done.stderr) is bool(named)
    assert ("--effort" in done.stderr) is bool(named)


def test_less_memory_than_an_image_takes_is_said_once_and_each_runs_alone(tmp_path: Path, graph: Path) -> None:
    for name in "abc":
        picture(tmp_path / f"in/{name}.png")
    done = run("upscale", tmp_path / "in", tmp_path / "out", "--model", graph, "--memory", "1K")
    assert done.returncode == 0, done.stderr
    assert "3 written" in done.stderr
    assert done.stderr.count("it is upscaled while there is no other") == 1


def test_skip_existing_resumes(tmp_path: Path, graph: Path) -> None:
    for name in "ab":
        picture(tmp_path / f"in/{name}.png")
    run("upscale", tmp_path / "in", tmp_path / "out", "--model", graph)
    (tmp_path / "out/b.png").unlink()
    kept = (tmp_path / "out/a.png").stat().st_mtime_ns
    done = run("upscale", tmp_path / "in", tmp_path / "out", "--model", graph, "--skip-existing")
    assert done.stdout == f"{tmp_path / 'out/b.png'}\n"
    assert "1 written, 0 failed, 1 skipped" in done.stderr
    assert (tmp_path / "out/a.png").stat().st_mtime_ns == kept


@pytest.mark.parametrize(("arguments", "code", "words"), [
    (("nothing.png", "out.png"), 1, "does not exist"),
    (("in.png", "in.png"), 1, "overwritten"),
    (("in.png", "out.gif"), 1, ".png, .jpg"),
    (("in.png", "out.png", "--model", "unheard-of"), 1, "Shipped are: "),
    (("in.png", "out.png", "--tile", "some"), 2, "auto, none"),
    (("in.png", "out.png", "--tile", "8"), 2, "at least 32"),
    (("in.png",), 2, "OUT"),
    (("in.png", "out.png", "--quality", "101"), 2, "1<=x<=100"),
])
def test_a_wrong_call_says_what_to_do(tmp_path: Path, arguments: tuple[str, ...], code: int, words: str) -> None:
    picture(tmp_path / "in.png")
    done = run("upscale", *arguments, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.png"]


def test_sixteen_bits_are_refused_with_the_remedy(tmp_path: Path, graph: Path) -> None:
    write_image(tmp_path / "in.png", Image(pixels=np.full((20, 20, 3), 40000, np.uint16)))
    done = run("upscale", tmp_path / "in.png", tmp_path / "out.png", "--model", graph)
    assert done.returncode == 1
    assert "--io float32" in done.stderr
    assert str(tmp_path / "in.png") in done.stderr


def test_a_float_graph_keeps_sixteen_bits(tmp_path: Path, checkpoint: Path) -> None:
    ramp = np.linspace(20000, 21000, 40 * 40 * 3).reshape(40, 40, 3).astype(np.uint16)
    write_image(tmp_path / "in.png", Image(pixels=ramp))
    assert run("export", checkpoint, "-o", tmp_path / "f.onnx", "--io", "float32").returncode == 0
    done = run("upscale", tmp_path / "in.png", tmp_path / "out.png", "--model", tmp_path / "f.onnx")
    assert done.returncode == 0, done.stderr
    result = read_image(tmp_path / "out.png").pixels
    assert result.dtype == np.uint16
    assert len(np.unique(result)) > 256  # more than 8 bits could tell apart


def test_nothing_to_do_is_said(tmp_path: Path, graph: Path) -> None:
    picture(tmp_path / "in.png")
    picture(tmp_path / "out.png")
    done = run("upscale", tmp_path / "in.png", tmp_path / "out.png", "--model", graph, "--skip-existing")
    assert done.returncode == 0
    assert "1 of 1 outputs exist" in done.stderr


@pytest.mark.parametrize(("output", "words"), [("here.onnx", "here.onnx is a folder"),
                                               ("net.bin", "does not end in .onnx")])
def test_an_export_that_cannot_be_written_is_refused_before_the_work(
        tmp_path: Path, checkpoint: Path, output: str, words: str) -> None:
    (tmp_path / "here.onnx").mkdir()
    done = run("export", checkpoint, "-o", output, cwd=tmp_path)
    assert done.returncode == 2
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_a_graph_is_not_exported_again_and_not_corrected(graph: Path) -> None:
    for arguments, told in ((("export", graph, "-o", "x.onnx"), "is a graph"),
                            (("info", graph, "--value-range", "7"), "cannot be corrected")):
        done = run(*arguments)
        assert done.returncode == 1
        assert told in done.stderr


def test_export_reports_its_proof_and_prints_the_file(tmp_path: Path, checkpoint: Path) -> None:
    done = run("export", checkpoint, "--fp16", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "net-fp16.onnx\n"
    assert "Against PyTorch: worst difference" in done.stderr
    assert " dB on 5 images" in done.stderr


def test_export_without_arguments_takes_the_default_model(tmp_path: Path) -> None:
    done = run("export", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / done.stdout.strip()).is_file()


def test_export_corrects_what_keys_cannot_tell(tmp_path: Path, checkpoint: Path) -> None:
    done = run("export", checkpoint, "-o", tmp_path / "r.onnx", "--set", "residual=true", "--value-range", "255")
    assert done.returncode == 0, done.stderr
    rows = json.loads(run("info", tmp_path / "r.onnx", "--json").stdout)
    assert rows["options"]["residual"] is True
    assert rows["value_range"] == 255.0


@pytest.mark.parametrize(("wrong", "code"), [("residual", 2), ("residual=perhaps", 1), ("unheard=1", 1),
                                             ("blocks=7", 1)])
def test_a_wrong_correction_is_an_error(checkpoint: Path, wrong: str, code: int) -> None:
    done = run("info", checkpoint, "--set", wrong)
    assert done.returncode == code
    assert "Traceback" not in done.stderr


def test_info_tells_the_cost_of_a_checkpoint(checkpoint: Path) -> None:
    rows = json.loads(run("info", checkpoint, "--json").stdout)
    assert rows["architecture"] == "srn"
    assert min(rows[name] for name in ("parameters", "flops", "activations", "convolutions")) > 0
    assert "parameters" in run("info", checkpoint).stdout


def test_info_tells_the_same_cost_of_its_graph(checkpoint: Path, graph: Path) -> None:
    of_checkpoint, of_graph = (json.loads(run("info", path, "--json").stdout) for path in (checkpoint, graph))
    for name in ("parameters", "flops", "activations", "convolutions", "source_sha256"):
        assert of_graph[name] == of_checkpoint[name]


def test_models_marks_the_default() -> None:
    listed = json.loads(run("models", "--json").stdout)
    assert listed["default"] in {model["name"] for model in listed["models"]}
    assert f"* {listed['default']}" in run("models").stdout


def test_ctrl_c_leaves_only_whole_files_and_says_how_to_go_on(tmp_path: Path, graph: Path) -> None:
    for index in range(60):
        picture(tmp_path / f"in/{index:02}.png", 120, 130)
    call = [*COMMAND, "upscale", str(tmp_path / "in"), str(tmp_path / "out"), "--model", str(graph)]
    process = subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()  # the first picture is written
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    written = sorted((tmp_path / "out").iterdir())
    assert process.returncode == 130
    assert "Continue with --skip-existing" in errors
    assert "Traceback" not in errors
    assert 1 <= len(written) < 60
    assert all(read_image(path).pixels.shape == (240, 260, 3) for path in written)


def test_a_terminal_gets_a_bar_with_rate_and_time(tmp_path: Path, graph: Path) -> None:
    for index in range(8):
        picture(tmp_path / f"in/{index}.png", 150, 160)
    ours, theirs = pty.openpty()
    call = [*COMMAND, "upscale", str(tmp_path / "in"), str(tmp_path / "out"), "--model", str(graph)]
    process = subprocess.Popen(call, stdout=subprocess.DEVNULL, stderr=theirs, env={**os.environ, "TERM": "xterm"})
    os.close(theirs)
    seen = b""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            seen += os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
    assert process.wait(timeout=60) == 0
    os.close(ours)
    assert b"8/8" in seen
    assert b"/s" in seen
    assert b"0:00:0" in seen
