"""A real Ray cluster: one video and one huge image are made by several workers, and workers that end have an end."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import srn_deploy
from srn_deploy import cpu_threads
from srn_deploy.image import Image, write_image
from srn_deploy.inference import large_results
from srn_deploy.tiling.windows import TileOptions
from srn_deploy.video.options import VideoOptions
from tests.clips import Clip, make_clip
from tests.networks import large_picture
from tests.ray_parts import ENDS_AT
from tests.test_shards import tree

pytestmark = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs Ray: pip install '.[ray]'")

LIMIT_S = 280


def on_cluster(what: str, source: Path, out: Path) -> dict[str, Any]:
    """What a run in a process of its own tells; see `ray_parts`."""
    ended = subprocess.run([sys.executable, "-m", "tests.ray_parts", what, source, out],
                           capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert ended.returncode == 0, ended.stderr
    (line,) = [line for line in ended.stdout.splitlines() if line.startswith('{"outcomes"')]  # Ray prints there, too
    told: dict[str, Any] = json.loads(line)
    return told


def workers_of(out: Path, name: str) -> set[str]:
    """Processes that began parts whose names hold a text, by the ledger."""
    found = set[str]()
    for path in (out / ".srn-ledger/claims").rglob("*.[0-9]"):
        claim = json.loads(path.read_text().splitlines()[0])
        if name in claim["target"]:
            found.add(claim["worker"])
    return found


def test_one_video_and_one_huge_image_are_made_by_two_workers_as_by_one_process_though_some_end(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    pixels = (large_picture(600, 300) * 255).astype(np.uint8)
    write_image(source / "huge.png", Image(pixels=pixels))
    write_image(source / "huge_too.tif", Image(pixels=pixels[::-1].copy()))
    write_image(source / "small.png", Image(pixels=pixels[:40, :36]))
    make_clip(source / "clip.mp4", Clip(encoder="libx264", times=range(0, 50 * 200, 50), options={"g": "50"},
                                        sound=True))
    monkeypatch.setattr(large_results, "LARGE_RESULT_BYTES", 0)
    video = VideoOptions(codec="libx264", encoder_options=(("preset", "ultrafast"),))
    with cpu_threads(1), srn_deploy.load(device="cpu", tiles=TileOptions(tile=64)) as upscaler:
        assert all(outcome.error is None for outcome in upscaler.upscale_files(source, tmp_path / "alone", video=video))
    told = on_cluster("parts", source, out)
    assert {each["name"]: each["error"] for each in told["outcomes"]} == dict.fromkeys(
        ("clip.mp4", "huge.png", "huge_too.tif", "small.png"))
    assert tree(out) == tree(tmp_path / "alone")
    for folder in (".huge.png.bands", ".huge_too.tif.bands", ".clip.mp4.segments"):
        assert len(workers_of(out, folder)) >= 2, folder
        assert not (out / folder).exists()
    assert all((tmp_path / name).exists() for name in ENDS_AT)  # two workers ended
    assert not (out / ".srn-ledger/openings").exists()


@pytest.mark.parametrize(("what", "said", "remedy"), [
    ("opening", r"^On .*: the process of a worker ended 3 times while it opened the model\.$", "without --ray"),
    ("starting", r"^The run on the Ray cluster ended: .*", "logs of Ray")])
def test_workers_that_end_each_time_they_are_started_are_an_error_and_not_started_without_end(
        tmp_path: Path, what: str, said: str, remedy: str) -> None:
    write_image(tmp_path / "in/small.png", Image(pixels=np.zeros((20, 16, 3), np.uint8)))
    told = on_cluster(what, tmp_path / "in", tmp_path / "out")
    assert told["outcomes"] == []
    assert told["error"]["name"] == "WorkerFailed"
    assert re.search(said, told["error"]["message"])
    assert remedy in told["error"]["remedy"]
    assert list((tmp_path / "out").glob("*.png")) == []
