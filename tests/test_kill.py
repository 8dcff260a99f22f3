"""A folder run that is killed, again and again, and resumed: every file whole or absent, and the same tree."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from srn_deploy.image import Image, write_image
from srn_deploy.system.atomic import TEMPORARY_MARK
from tests.networks import large_picture

pytest.importorskip("fcntl", reason="without locks leftovers are not swept")

KILLS, SOAK_KILLS = 10, 30
ATTEMPTS = 6
"""To meet a moment before the run ends, each time from the beginning and sooner."""
FOLDERS = ("", "one", "one/deep", "two words")
NAMES = ("grey.png", "colour.png", "alpha.png", "photo.jpg", "sketch.webp", "veil.webp")

COMMAND = ("-m", "srn_deploy")
# The same command, but every file lies half a blink written and not yet renamed.
SLOW = ("-c", """
import os, time
stored = os.fsync
os.fsync = lambda file: (time.sleep(0.1), stored(file))
from srn_deploy.cli import main
main(prog_name="srn-deploy")
""")


def draw(folder: Path) -> None:
    """Small pictures of several kinds in several folders."""
    chance = random.Random(0)
    for place in FOLDERS:
        for name in NAMES:
            height, width = chance.randrange(16, 40), chance.randrange(16, 40)
            pixels = (np.roll(large_picture(height, width), chance.randrange(9), 1) * 255).astype(np.uint8)
            has_alpha = name.startswith(("alpha", "veil"))
            write_image(folder / place / name, Image(pixels=pixels[..., :1] if name.startswith("grey") else pixels,
                                                     alpha=pixels[..., 1:2].copy() if has_alpha else None))


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every path under a folder; None for a folder."""
    return {str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes()
            for path in sorted(folder.rglob("*"))}


def start(source: Path, target: Path, command: tuple[str, ...] = COMMAND) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, *command, "upscale", source, target, "--skip-existing", "--device", "cpu"],
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finished(source: Path, target: Path) -> None:
    with start(source, target) as process:
        told = process.communicate(timeout=120)[1]
    assert process.returncode == 0, told


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kill") / "in"
    draw(folder)
    return folder


@pytest.fixture(scope="module")
def undisturbed(source: Path) -> dict[str, bytes | None]:
    """What a run leaves that nobody disturbs."""
    finished(source, source.parent / "undisturbed")
    return contents(source.parent / "undisturbed")


def files(folder: Path) -> list[str]:
    return [name for _, _, names in os.walk(folder) for name in names]


@dataclass(frozen=True)
class Moment:
    """When to kill, told by progress, so that it means the same on slow machines."""

    files: int
    """New whole files that must have appeared."""
    in_writing: bool
    """Wait then until a file is being written."""
    delay_s: float

    def has_come(self, target: Path, before: int) -> bool:
        there = files(target)
        parts = [name for name in there if name.startswith(TEMPORARY_MARK)]
        writing = any(".new" in name for name in parts) or not self.in_writing
        return writing and len(there) - len(parts) - before >= self.files


def moments(kills: int) -> list[Moment]:
    """A third before or at the first files, the others later; every other one while a file is being written."""
    chance = random.Random(6)
    return [Moment(files=chance.choice([0, chance.randrange(12)]), in_writing=index % 2 == 0,
                   delay_s=0.0 if index % 2 == 0 else chance.choice([0.02, 0.6]) * chance.random())
            for index in range(kills)]


def killed(process: subprocess.Popen[bytes], target: Path, moment: Moment) -> bool:
    """Kill a run at a moment; False where it ended before."""
    before = len([name for name in files(target) if not name.startswith(TEMPORARY_MARK)])
    with process:
        while process.poll() is None and not moment.has_come(target, before):
            time.sleep(0.002)
        time.sleep(moment.delay_s)
        process.kill()
    assert process.returncode in (0, -9)
    return process.returncode == -9


@pytest.mark.soak
def test_a_run_killed_at_many_moments_and_resumed_leaves_whole_files_and_ends_in_the_undisturbed_tree(
        source: Path, undisturbed: dict[str, bytes | None], is_soak: bool) -> None:
    target, torn, progress, kills = source.parent / "killed", 0, set(), SOAK_KILLS if is_soak else KILLS
    for moment in moments(kills):
        for sooner in range(ATTEMPTS):
            wanted = replace(moment, files=moment.files >> sooner, delay_s=moment.delay_s / 2**sooner)
            if killed(start(source, target, SLOW if moment.in_writing else COMMAND), target, wanted):
                break
            assert contents(target) == undisturbed  # the run ended first
            shutil.rmtree(target)
        else:
            pytest.fail(f"no run met {moment}")
        left = contents(target) if target.exists() else {}
        whole = {name: data for name, data in left.items() if TEMPORARY_MARK not in name}
        assert whole == {name: undisturbed[name] for name in whole}
        torn += len(whole) < len(left)
        progress.add(len(whole))
    finished(source, target)
    assert contents(target) == undisturbed
    # Half of the kills aim at a file that is being written, and a slow machine may miss a few.
    assert torn >= kills // 4
    assert len(progress) >= kills // 4


def test_two_runs_into_one_folder_at_once_do_not_disturb_each_other(
        source: Path, undisturbed: dict[str, bytes | None]) -> None:
    target = source.parent / "shared"
    with start(source, target, SLOW) as first:
        while first.poll() is None and not files(target):
            time.sleep(0.002)
        with start(source, target, SLOW) as second:
            told = [process.communicate(timeout=120)[1] for process in (first, second)]
    assert [process.returncode for process in (first, second)] == [0, 0], told
    assert contents(target) == undisturbed


def test_a_finished_folder_is_cleared_of_leftovers_too(source: Path, undisturbed: dict[str, bytes | None]) -> None:
    target = source.parent / "finished"
    shutil.copytree(source.parent / "undisturbed", target)
    for name in ("0123456789ab", "0123456789ab.new.png"):
        (target / "one" / f"{TEMPORARY_MARK}{name}").touch()
    finished(source, target)
    assert contents(target) == undisturbed
