"""A real Ray cluster: what it leaves is what one process leaves, whatever ends on the way."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from srn_deploy.image import Image, write_image
from srn_deploy.inference.pipeline import KEPT_READY, LEAST_WRITERS
from tests.commands import srn_deploy
from tests.networks import large_picture
from tests.ray_workers import KILL_AFTER, POISON
from tests.test_shards import tree

pytestmark = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs Ray: pip install '.[ray]'")

PICTURES = 200
LIMIT_S = 280
IN_FLIGHT = (KEPT_READY + 1) + 1 + (1 + KEPT_READY) + 1 + LEAST_WRITERS
"""Of a worker with one thread: decoded ahead, in the network, to be encoded, being encoded, being stored."""


def draw(folder: Path, count: int) -> None:
    """Tiny pictures in three folders."""
    pixels = (large_picture(40, 36) * 255).astype(np.uint8)
    for number in range(count):
        write_image(folder / f"{number % 3}/{number:03}.png", Image(pixels=np.roll(pixels, number, 1)))


def test_a_killed_node_and_a_picture_that_kills_cost_what_was_in_flight_and_nothing_else(tmp_path: Path) -> None:
    draw(tmp_path / "in", PICTURES)
    (tmp_path / "in/bad.png").write_bytes(b"nothing")
    alone = srn_deploy("upscale", tmp_path / "in", tmp_path / "alone", "--device", "cpu")
    assert f"{PICTURES} written, 1 failed" in alone.stderr
    shutil.copy(tmp_path / "in/0/000.png", tmp_path / "in" / POISON)
    ended = subprocess.run([sys.executable, "-m", "tests.ray_workers", tmp_path / "in", tmp_path / "out"],
                           capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert ended.returncode == 0, ended.stderr
    (line,) = [line for line in ended.stdout.splitlines() if line.startswith('{"outcomes"')]  # Ray prints there, too
    told = json.loads(line)
    assert len(told["killed"]) == 1
    assert KILL_AFTER <= told["killed"][0] < PICTURES
    errors = {each["name"]: each["error"] for each in told["outcomes"] if each["error"]}
    assert set(errors) == {"bad.png", POISON}
    assert errors["bad.png"].startswith("UnreadableImage")
    assert re.search(r"^WorkerFailed .*poison\.png: the process that worked on it ended 3 times", errors[POISON])
    assert sorted(each["name"] for each in told["outcomes"]) == sorted({*tree(tmp_path / "alone"), *errors})
    assert tree(tmp_path / "out") == tree(tmp_path / "alone")
    begun_again = [path for path in (tmp_path / "out/.srn-ledger/claims").rglob("*") if path.suffix not in ("", ".1")]
    assert len(begun_again) <= 2 * IN_FLIGHT + 2  # of the node; of the picture, which ends two more alone


def test_the_command_starts_ray_for_a_run_and_says_no_more_than_without(tmp_path: Path) -> None:
    draw(tmp_path / "in", 9)
    alone = srn_deploy("upscale", tmp_path / "in", tmp_path / "alone", "--device", "cpu")
    ended = srn_deploy("upscale", tmp_path / "in", tmp_path / "out", "--ray", "local", "--device", "cpu", timeout=240)
    assert ended.returncode == 0, ended.stderr
    assert sorted(ended.stdout.splitlines()) == sorted(alone.stdout.replace("alone", "out").splitlines())
    assert tree(tmp_path / "out") == tree(tmp_path / "alone")
    first, summary = ended.stderr.splitlines()
    assert re.fullmatch(r"1 worker on Ray, each with \d CPU threads?\.", first)
    assert summary.startswith("9 written, 0 failed, 0 skipped")
