"""The local page in a process of its own: `python -m tests.page_server OPTIONS`, with models that tests make up.

OPTIONS: fields of PageOptions as JSON, and `most_shown_pixels`, for which there is no option. Models named `slow` take
their time, `broken` paints over a corner.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import replace
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from srn_deploy.inference.setup import Fp32Fallback
from srn_deploy.open_model import Opened, OpenRequest, open_with_fallback
from srn_deploy.tiling.interpolation import Geometry
from srn_deploy.tiling.shapes import Limits, ShapeRange
from srn_deploy.web import views
from srn_deploy.web.options import PageOptions, is_loopback
from srn_deploy.web.server import serve
from tests.fakes import NEAREST, NearestBackend

STRANGER = "asked for another machine: "

TILE_S = 0.1
"""How long `slow` takes for a window: a run can be stopped, and be seen to wait."""


class SlowBackend(NearestBackend):
    """Takes windows of 32 px, one at a time, each for a while."""

    def run(self, batch: NDArray[Any], geometry: Geometry | None = None) -> NDArray[Any]:
        time.sleep(TILE_S)
        return super().run(batch, geometry)


class BrokenBackend(NearestBackend):
    """Gives noise where the picture is red."""

    def run(self, batch: NDArray[Any], geometry: Geometry | None = None) -> NDArray[Any]:
        large = super().run(batch, geometry)
        red = (large[..., 0] > 200) & (large[..., 1] < 50)
        large[red] = np.random.default_rng(0).integers(0, 256, (int(red.sum()), 3))
        large[red, 1] = 255
        return large


def made_up(name: str, request: OpenRequest) -> Opened:
    """The models of tests; others are opened as they are. What is opened is counted on stderr."""
    say(sys.stderr, f"opened {name}")
    if name == "slow":
        limits = Limits(shapes=(ShapeRange.parse("32x32"),))
        return Opened(backend=SlowBackend(spec=replace(NEAREST, halo_px=4), limits=limits), fallback=Fp32Fallback(),
                      tuned=None)
    if name == "broken":
        return Opened(backend=BrokenBackend(), fallback=Fp32Fallback(), tuned=None)
    return open_with_fallback(name, request)


def say(stream: TextIO, text: str) -> None:
    """Write a line that is read at once."""
    stream.write(f"{text}\n")
    stream.flush()


def tell_of_strangers() -> None:
    """Say on stderr which other machine this process asks for, and refuse it."""
    def watch(event: str, given: tuple[Any, ...]) -> None:
        if event == "socket.connect":
            host = given[1][0] if isinstance(given[1], tuple) else "localhost"  # a path: a socket of this machine
        elif event == "socket.getaddrinfo":
            host = given[0] or "localhost"
        else:
            return
        host = host.decode() if isinstance(host, bytes) else str(host)
        if not is_loopback(host):
            say(sys.stderr, f"{STRANGER}{host}")
            raise OSError(f"no way to {host}")

    sys.addaudithook(watch)


def main() -> None:
    """Serve until the process is told to end."""
    tell_of_strangers()
    given = json.loads(sys.argv[1])
    views.MOST_SHOWN_PIXELS = given.pop("most_shown_pixels", views.MOST_SHOWN_PIXELS)
    options = PageOptions(**{**given, "models": tuple(given.get("models", ()))})
    serve(options, lambda address: say(sys.stdout, address), open_model=made_up)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
