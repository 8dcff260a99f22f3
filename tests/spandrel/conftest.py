"""These tests need spandrel; without it they are skipped, and the reason is given."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = importlib.util.find_spec("spandrel") is None
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.spandrel)
            if missing:
                item.add_marker(pytest.mark.skip(reason="needs spandrel: make test-spandrel"))
