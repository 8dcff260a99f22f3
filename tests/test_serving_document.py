"""docs/serving.md: what it tells people to type works, with the address of a server that runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import PIL.Image
import pytest

from tests.documents import blocks_of, run_block
from tests.triton_server import needs_server, shared_server

DOCUMENT = "docs/serving.md"

SHOWN = "localhost:8001"
"""The address in the document, which is Triton's default."""


def test_every_block_runs_in_order_against_a_server(repository: Path, tmp_path: Path) -> None:
    needs_server()
    (pictures := tmp_path / "benchmarks/pictures").mkdir(parents=True)
    with PIL.Image.open(repository / "benchmarks/pictures/demo.png") as image:
        image.crop((0, 0, 60, 48)).save(pictures / "demo.png")
    pytest.importorskip("onnx", reason="needs onnx: pip install '.[torch]'")
    address = shared_server().host_and_port
    for block in blocks_of(repository / DOCUMENT):
        if block.is_run:
            run_block(replace(block, text=block.text.replace(SHOWN, address)), tmp_path)
    for written in ("models/srn-s-b6-x2/1/model.py", "models/srn-s-b6-x2-graph/1/model.onnx", "large.png",
                    "large/demo.png", "from_python/demo.png"):
        assert (tmp_path / written).is_file()
