"""OpenVINO and NNCF report every import over the network, unless a package of their makers cannot be imported."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_TELEMETRY = "openvino_telemetry"


@contextmanager
def without_telemetry() -> Iterator[None]:
    """While a library is imported inside, that package is missing."""
    modules: dict[str, Any] = sys.modules
    if _TELEMETRY in modules:
        yield
        return
    modules[_TELEMETRY] = None
    try:
        yield
    finally:
        del modules[_TELEMETRY]
