"""The command line on the head of a real Ray cluster, and runs that go on with what others left."""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from srn_deploy.image import Image, write_image
from tests.commands import srn_deploy
from tests.networks import large_picture
from tests.test_shards import tree

pytestmark = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs Ray: pip install '.[ray]'")

LIMIT_S = 240
PICTURES = 60


@pytest.fixture(scope="module")
def head() -> Iterator[str]:
    """The address of a head."""
    with subprocess.Popen([sys.executable, "-m", "tests.ray_head"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        address = next((line.split()[1] for line in process.stdout if line.startswith("head ")), "")
        assert address
        yield address


def draw(folder: Path, count: int) -> None:
    """Tiny pictures."""
    pixels = (large_picture(40, 36) * 255).astype(np.uint8)
    for number in range(count):
        write_image(folder / f"{number:03}.png", Image(pixels=np.roll(pixels, number, 1)))


def upscaled(source: Path, out: Path, *options: str, address: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "RAY_ADDRESS": address} if address else None
    return srn_deploy("upscale", source, out, "--device", "cpu", *options, environment=environment, timeout=LIMIT_S)


def test_the_command_uses_the_head_that_is_named_by_its_address_or_by_ray_address(tmp_path: Path, head: str) -> None:
    draw(tmp_path / "in", 5)
    assert upscaled(tmp_path / "in", tmp_path / "alone").returncode == 0
    for out, options, address in ((tmp_path / "a", ("--ray", head), ""), (tmp_path / "b", ("--ray", "auto"), head)):
        ended = upscaled(tmp_path / "in", out, *options, address=address)
        assert ended.returncode == 0, ended.stderr
        assert "5 written, 0 failed" in ended.stderr
        assert "1 worker on Ray, each with 1 CPU thread." in ended.stderr
        assert tree(out) == tree(tmp_path / "alone")


def test_auto_takes_the_cluster_that_ray_noted_on_this_machine_and_says_so_where_that_has_ended(
        tmp_path: Path, head: str, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(tmp_path / "in", 3)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    note = tmp_path / "ray/ray_current_cluster"  # `ray start` writes it
    note.parent.mkdir()
    note.write_text(head)
    ended = upscaled(tmp_path / "in", tmp_path / "out", "--ray", "auto")
    assert ended.returncode == 0, ended.stderr
    assert "3 written, 0 failed" in ended.stderr
    assert "1 worker on Ray, each with 1 CPU thread." in ended.stderr
    assert len(tree(tmp_path / "out")) == 3
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        note.write_text(address := f"127.0.0.1:{nobody.getsockname()[1]}")
        ended = upscaled(tmp_path / "in", tmp_path / "again", "--ray", "auto")
    assert ended.returncode == 1
    assert f"No Ray cluster answers at {address}: the connection was refused" in ended.stderr


def test_a_run_after_a_killed_one_does_what_is_left(tmp_path: Path, head: str) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    draw(source, PICTURES)
    assert upscaled(source, tmp_path / "alone").returncode == 0
    process = subprocess.Popen([sys.executable, "-m", "srn_deploy", "upscale", source, out, "--device", "cpu", "--ray",
                                head], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + LIMIT_S
    while not list(out.glob("[0-9]*.png")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished = {path.name: path.stat().st_mtime_ns for path in out.glob("[0-9]*.png")}
    ended = upscaled(source, out, "--ray", head)
    assert ended.returncode == 0, ended.stderr
    assert tree(out) == tree(tmp_path / "alone")
    again = [name for name, written in finished.items() if (out / name).stat().st_mtime_ns != written]
    assert len(again) <= 1  # the one that was being stored: it was not noted yet


def test_existing_results_are_skipped_and_outdated_ones_replaced(tmp_path: Path, head: str) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    draw(source, 6)
    assert upscaled(source, out, "--ray", head).returncode == 0
    whole = tree(out)
    (out / "003.png").unlink()
    ended = upscaled(source, out, "--ray", head, "--skip-existing")
    assert "1 written, 0 failed, 5 skipped" in ended.stderr
    ended = upscaled(source, out, "--ray", head, "--skip-existing")
    assert "Nothing to do: 6 of 6 outputs exist." in ended.stderr
    assert tree(out) == whole
    write_image(source / "004.png", Image(pixels=np.zeros((40, 36, 3), np.uint8)))
    (out / "005.png").write_bytes(whole["005.png"][:-30])
    (out / "001.png").unlink()
    ended = upscaled(source, out, "--ray", head, "--update")
    assert ended.returncode == 0, ended.stderr
    assert "3 written, 0 failed, 3 skipped" in ended.stderr
    after = tree(out)
    assert {name for name in whole if after[name] != whole[name]} == {"004.png"}
