"""These tests need an NVIDIA GPU; without one they are skipped, and the reason is given."""

from __future__ import annotations

from pathlib import Path

import pytest

from srn_deploy.system.cuda_driver import why_no_gpu

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reason = why_no_gpu()
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.gpu)
            if reason:
                item.add_marker(pytest.mark.skip(reason=reason))
