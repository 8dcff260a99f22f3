"""A machine with too little memory gets smaller tiles and the same picture."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from srn_deploy.architectures.checkpoint import save_checkpoint
from srn_deploy.verification.export_proof import export_and_prove
from tests.networks import seeded_network
from tests.optional import needs_openvino

OPTIONS: dict[str, Any] = {"scale": 2, "channels": 64, "esa_channels": 16, "blocks": 1}

SCRIPT = """
import logging, re, resource, sys
from pathlib import Path
import numpy as np
from srn_deploy.backends import open_backend
from srn_deploy.inference.upscale import upscale_rgb
from srn_deploy.tiling.windows import TileOptions
from tests.networks import large_picture

logging.basicConfig(level=logging.WARNING, format="%(message)s")
side, spare_mib = int(sys.argv[3]), int(sys.argv[4])
picture = (large_picture(side, side + 20) * 255).astype(np.uint8)
backend = open_backend(Path(sys.argv[1]), sys.argv[2])
backend.run(picture[None, :32, :32])  # threads and libraries are in place before memory is cut
in_use = int(re.search(r"VmSize:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
hard = resource.getrlimit(resource.RLIMIT_AS)[1]  # once lowered it cannot be raised again
resource.setrlimit(resource.RLIMIT_AS, (in_use + spare_mib * 2**20, hard))
starved = upscale_rgb(picture, backend, TileOptions(tile=None))
resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
whole = upscale_rgb(picture, backend, TileOptions(tile=None))
print(np.abs(starved.astype(int) - whole).max())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs RLIMIT_AS and /proc")
@pytest.mark.parametrize(("kind", "run"), [
    ("graph", ("cpu", "700", "260")), ("checkpoint", ("cpu", "700", "260")),
    pytest.param("graph", ("openvino", "450", "80"), marks=needs_openvino)])
def test_too_little_memory_halves_the_tile_and_gives_the_same_image(
        tmp_path: Path, repository: Path, kind: str, run: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SRN_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "net.safetensors"
    save_checkpoint(path, seeded_network(**OPTIONS).network, architecture="srn", options=OPTIONS, value_range=1.0)
    if kind == "graph":
        path = export_and_prove(path, tmp_path / "net.onnx").path
    done = subprocess.run([sys.executable, "-c", SCRIPT, str(path), *run], cwd=repository, capture_output=True,
                          text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "Memory ran out: continuing with tiles of" in done.stderr
    assert int(done.stdout) <= 1
