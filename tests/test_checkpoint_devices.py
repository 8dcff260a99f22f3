"""Weights that were saved on a GPU load on a machine without one."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import torch

from srn_deploy.architectures.checkpoint import load_checkpoint
from tests.networks import seeded_network

OPTIONS: dict[str, Any] = {"scale": 2, "channels": 8, "esa_channels": 4, "blocks": 1}


def pickled(text: str) -> bytes:
    """A short string as pickle protocol 2 writes it."""
    return b"X" + len(text).to_bytes(4, "little") + text.encode()


def test_weights_saved_on_any_gpu_load_on_the_cpu(tmp_path: Path) -> None:
    here, there = tmp_path / "cpu.pt", tmp_path / "gpu.pt"
    state = seeded_network(**OPTIONS).network.state_dict()
    torch.save(state, here)
    with zipfile.ZipFile(here) as source, zipfile.ZipFile(there, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name.endswith("data.pkl"):
                assert pickled("cpu") in data
                data = data.replace(pickled("cpu"), pickled("cuda:7"))
            target.writestr(name, data)
    loaded = load_checkpoint(there).network.state_dict()
    assert all(torch.equal(loaded[key], value) for key, value in state.items())
