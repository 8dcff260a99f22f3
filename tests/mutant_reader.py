"""A process that opens mutated files one after the other, under a watch and within memory bounds.

`python -m tests.mutant_reader KIND FOLDER` prints a line of JSON before and after each file, so that whoever
started it knows on which one it died.
"""

from __future__ import annotations

import contextlib
import json
import resource
import signal
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from srn_deploy.errors import SrnDeployError

SECONDS = 20
"""For one file, on a machine that has other things to do; they take milliseconds."""

SMALL_PX = 2**14

MORE_BYTES = 2**30
"""That one file may ask for beside what the libraries themselves map."""


@dataclass(frozen=True)
class Reading:
    """What became of all files."""

    ends: dict[str, dict[str, Any]]
    """By name; a file that killed the reader has none."""
    last: str
    """The name of the file that was opened last."""
    stderr: str
    returncode: int


def read_all(kind: str, folder: Path, whole: bytes, suffix: str = "") -> Reading:
    """Let a new process open every file of a folder; a whole one, put before them, loads the libraries."""
    (folder / f" whole{suffix}").write_bytes(whole)
    done = subprocess.run([sys.executable, "-m", "tests.mutant_reader", kind, folder], capture_output=True, text=True,
                          cwd=Path(__file__).parents[1], timeout=600, check=False)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    return Reading(ends={one["name"]: one for one in told if "seconds" in one}, last=told[-1]["name"] if told else "",
                   stderr=done.stderr, returncode=done.returncode)


def picture(path: Path) -> Any:
    """Its height, width and a sum of its pixels that does not depend on their order.

    A small one is enlarged and written too, because that changes the metadata, which may be damaged.
    """
    from srn_deploy.errors import ImageError
    from srn_deploy.image import read_image, write_image

    image = read_image(path)
    assert image.alpha is None or image.alpha.shape[:2] == image.pixels.shape[:2]
    if image.height * image.width <= SMALL_PX:
        larger = image.enlarged(image.pixels.repeat(2, axis=0), None)
        with tempfile.TemporaryDirectory() as folder:
            for suffix in (".tif", ".jpg"):
                with contextlib.suppress(ImageError):  # 16 bits in a JPEG
                    write_image(Path(folder) / f"out{suffix}", larger)
    return [image.height, image.width, zlib.crc32(np.sort(image.pixels, axis=None).tobytes())]


def model(path: Path) -> Any:
    """Its rows in `info` and its spec as a backend."""
    from srn_deploy.backends import open_backend
    from srn_deploy.describe import described
    from srn_deploy.engine.store import EngineStore
    from srn_deploy.registry.resolve import resolve
    from srn_deploy.spec import AS_RECOGNISED, Corrections, is_graph

    if path.suffix == ".json":  # of an engine; its plan is never loaded here
        rows = described(str(path.with_suffix(".engine")))
        EngineStore(path.parent).open(path.with_suffix(".engine")).plan()
        return rows["architecture"]
    # An untrained network: with everything given and trusted, nothing is tried.
    known = AS_RECOGNISED if is_graph(path) else Corrections(
        options={"negative_slope": 0.1, "residual": False, "image_residual": "none"}, value_range=1.0, trust=True)
    rows = described(str(path), known)
    backend = open_backend(resolve(path, known), "cpu")
    backend.close()
    return rows["architecture"]


READERS: dict[str, Callable[[Path], Any]] = {"picture": picture, "model": model}


def limit_memory() -> None:
    """To what is mapped now and MORE_BYTES."""
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + MORE_BYTES, resource.RLIM_INFINITY))


def tell(**facts: Any) -> None:
    """One line of JSON."""
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


def main() -> None:
    kind, folder = sys.argv[1:]
    read = READERS[kind]
    first, *others = sorted(path for path in Path(folder).iterdir() if path.suffix != ".engine")
    read(first)  # whole: loads the libraries
    limit_memory()
    for path in others:
        tell(name=path.name)
        signal.alarm(SECONDS)  # unhandled, so that a loop in a library ends too
        began = time.monotonic()
        try:
            end = {"result": read(path)}
        except SrnDeployError as error:
            end = {"error": type(error).__name__, "message": error.message, "remedy": error.remedy}
        except BaseException as error:  # noqa: BLE001  # whatever else comes is a fault of ours
            end = {"stranger": repr(error)}
        signal.alarm(0)
        tell(name=path.name, seconds=round(time.monotonic() - began, 3), **end)


if __name__ == "__main__":
    main()
