"""What the benchmarks read and where they write."""

from __future__ import annotations

import os
from pathlib import Path

from srn_deploy.errors import UnreadableImage

BENCHMARKS = Path(__file__).resolve().parent
RECORDS = BENCHMARKS / "records"
PLOTS = BENCHMARKS / "plots"

EXAMPLE_PICTURE = "images/0853x4.png"
"""A DIV2K validation input of 510 x 339 px: the size of most pictures of the paper's timing set."""


def data_path(name: str) -> Path:
    """A file of the real data, which is not part of the project; raises UnreadableImage where it is absent."""
    path = Path(os.environ.get("SRN_DATA") or BENCHMARKS.parent.parent / "shared" / "data") / name
    if not path.exists():
        raise UnreadableImage(f"{path} is not there.",
                              remedy="Point SRN_DATA at the folder of the real data, or give pictures of your own.")
    return path
