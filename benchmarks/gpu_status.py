"""What the program and its documents say of the GPU: written from the records, so that nobody has to remember it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from srn_deploy.benchmark.records import Record
from srn_deploy.system.atomic import replacing

NEVER = "TensorRT runner: built and checked against the API, never executed on hardware."

_README_NEVER = """\
Everything is tested on CPUs. On a GPU nothing has been run yet: the runner of engines is built and checked against the
API, never executed on hardware, and `srn-deploy --version` says so until a record of a GPU exists (`python -m
benchmarks.gpu_report` makes one)."""

_ENGINES = ("TensorRT", "TensorRT-RTX")

PLACES = {
    "srn_deploy/cli/__init__.py": re.compile(r'(?<=^RUNNER_STATUS = ").*?(?="$)', re.MULTILINE),
    "docs/tutorial.md": re.compile(r"^TensorRT runner: .*$", re.MULTILINE),
    "README.md": re.compile(r"(?<=<!-- gpu: begin -->\n).*?(?=\n<!-- gpu: end -->)", re.DOTALL),
}
"""File to where it speaks of the GPU."""


def executed_on(records: Sequence[Record]) -> dict[str, list[str]]:
    """GPU to the libraries whose engines ran there: such a one shows as a row with its tiles."""
    found = {}
    for record in records:
        if record.kind != "gpu-report" or record.results["reduced"]:
            continue
        ran = [name for name in _ENGINES if any(
            "tiles" in row["what"] for row in record.results["sections"].get(name, {"rows": []})["rows"])]
        if ran:
            found[str(record.results["device"])] = ran
    return found


def runner_status(records: Sequence[Record]) -> str:
    """The second line of `--version`."""
    places = "; ".join(f"{' and '.join(ran)} on {device}" for device, ran in executed_on(records).items())
    return f"TensorRT runner: executed with {places}." if places else NEVER


def readme_status(records: Sequence[Record]) -> str:
    """The sentences of README.md."""
    if not (places := executed_on(records)):
        return _README_NEVER
    told = "; ".join(f"{' and '.join(ran)} on {device}" for device, ran in places.items())
    return (f"Everything is tested on CPUs. Engines were executed with {told}:\n"
            "[what was measured there](benchmarks/README.md#what-works-on-a-gpu).")


def status_texts(root: Path, records: Sequence[Record]) -> dict[str, str]:
    """The files that speak of the GPU, by their path in the project, as the records have it."""
    found = {}
    for path, place in PLACES.items():
        told = readme_status(records) if path == "README.md" else runner_status(records)
        text = (root / path).read_text(encoding="utf-8")
        matched = place.search(text)
        assert matched is not None, path
        found[path] = text[:matched.start()] + told + text[matched.end():]
    return found


def write_status(root: Path, records: Sequence[Record]) -> None:
    """Bring the files up to date."""
    for path, text in status_texts(root, records).items():
        if (root / path).read_text(encoding="utf-8") != text:
            with replacing(root / path) as temporary:
                temporary.write_text(text, encoding="utf-8")
