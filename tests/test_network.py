"""No command but `models pull` reaches for the network: each is run where Python's sockets are a trap.

What a library does in compiled code without Python's sockets does not fall into it. ONNX Runtime is known to do so;
that it was switched off is seen by the identifier that it would leave in the home folder.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srn_deploy.architectures.checkpoint import save_checkpoint
from srn_deploy.image import Image, write_image
from tests.networks import large_picture, seeded_network

TRAP = """
import os, socket
def sprung(*args, **kwargs):
    with open(os.environ["TRAP"], "a") as file:
        file.write(f"{args}\\\\n")
    raise OSError("the network is a trap")
socket.getaddrinfo = socket.create_connection = sprung
socket.socket.connect = socket.socket.connect_ex = socket.socket.sendto = sprung
"""

ALL_IN_ONE_PROCESS = """
import contextlib, io, json, os, sys
from pathlib import Path
from srn_deploy.cli import main
sprung, ends = Path(os.environ["TRAP"]), []
for arguments in json.loads(sys.argv[1]):
    errors, before = io.StringIO(), len(sprung.read_text()) if sprung.exists() else 0
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        try:
            code = main(arguments, prog_name="srn-deploy")
        except SystemExit as ended:
            code = ended.code
    ends.append([code or 0, errors.getvalue(), sprung.read_text()[before:] if sprung.exists() else ""])
print(json.dumps(ends))
"""

OPTIONS: dict[str, Any] = {"scale": 2, "channels": 8, "esa_channels": 4, "blocks": 1}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a trap, a small checkpoint and pictures."""
    folder = tmp_path_factory.mktemp("trapped")
    (folder / "trap").mkdir()
    (folder / "trap" / "sitecustomize.py").write_text(TRAP, encoding="utf-8")
    save_checkpoint(folder / "net.safetensors", seeded_network(**OPTIONS).network, architecture="srn", options=OPTIONS,
                    value_range=1.0)
    for name, side in (("in.png", 30), ("hr/a.png", 48), ("train/a.png", 260)):
        write_image(folder / name, Image(pixels=(large_picture(side, side) * 255).astype(np.uint8)))
    return folder


def trapped(place: Path, repository: Path, *program: str) -> subprocess.CompletedProcess[str]:
    """A Python program in the trap."""
    environment = {**os.environ, "PYTHONPATH": f"{place / 'trap'}{os.pathsep}{repository}",
                   "TRAP": str(place / "sprung"), "SRN_CACHE": str(place / "cache"), "HOME": str(place / "home"),
                   "XDG_CACHE_HOME": str(place / "home" / ".cache")}
    # It is quiet by itself where it takes the machine for one that runs tests.
    for variable in ("CI", "GITHUB_ACTIONS", "ORT_DISABLE_TELEMETRY", "ORT_RUNNING_UNIT_TESTS"):
        environment.pop(variable, None)
    return subprocess.run([sys.executable, *program], cwd=place, env=environment, capture_output=True, text=True,
                          timeout=300, check=False)


QUIET = (
    ("upscale", "in.png", "out.png"), ("upscale", "in.png", "torch.png", "--model", "net.safetensors"),
    ("info",), ("export", "net.safetensors"), ("models",), ("models", "list", "--json"),
    ("eval", "net.safetensors", "--hr", "hr"), ("verify", "net.safetensors", "--against", "net.safetensors"),
    ("recipes",), ("engines", "list"), ("--version",),
    ("train", "compact-x4", "--data", "train", "--out", "run", "--steps", "1", "--device", "cpu"))
"""Commands that do without the network."""

NOT_PULLED, PULL = ("info", "srn-official"), ("models", "pull", "srn-official")

End = tuple[int, str, str]
"""Exit code of a command, its stderr and what fell into the trap meanwhile."""


@pytest.fixture(scope="module")
def ends(place: Path, repository: Path) -> dict[tuple[str, ...], End]:
    """All the commands in one process, which imports every library in the trap."""
    every = (*QUIET, NOT_PULLED, PULL)
    done = trapped(place, repository, "-c", ALL_IN_ONE_PROCESS, json.dumps(every))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    return {arguments: (code, errors, sprung) for arguments, (code, errors, sprung) in zip(every, found, strict=True)}


def test_onnx_runtime_leaves_no_identifier_of_the_machine(place: Path, repository: Path) -> None:
    (place / "home" / ".cache").mkdir(parents=True, exist_ok=True)
    done = trapped(place, repository, "-m", "srn_deploy", "upscale", "in.png", "quiet.png")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (place / "home").rglob("*") if path.is_file()] == []


def test_whoever_wants_onnx_runtime_to_report_keeps_their_choice() -> None:
    told = subprocess.run([sys.executable, "-c", "import os, srn_deploy; print(os.environ['ORT_DISABLE_TELEMETRY'])"],
                          env={**os.environ, "ORT_DISABLE_TELEMETRY": "0"}, capture_output=True, text=True, check=True)
    assert told.stdout == "0\n"


@pytest.mark.parametrize("arguments", QUIET, ids=" ".join)
def test_a_command_does_without_the_network(ends: dict[tuple[str, ...], End], arguments: tuple[str, ...]) -> None:
    code, errors, sprung = ends[arguments]
    assert code == 0, errors
    assert sprung == ""


def test_a_model_that_was_not_pulled_is_not_looked_for_on_the_network(ends: dict[tuple[str, ...], End]) -> None:
    code, errors, sprung = ends[NOT_PULLED]
    assert (code, sprung) == (1, "")
    assert "srn-deploy models pull srn-official" in errors


def test_pulling_falls_into_the_trap(ends: dict[tuple[str, ...], End]) -> None:
    code, errors, sprung = ends[PULL]
    assert code == 1
    assert "cannot be reached: the network is a trap" in errors
    assert "raw.githubusercontent.com" in sprung or os.environ.get("https_proxy")
