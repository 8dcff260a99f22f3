"""What works on this machine, what is missing, and the commands that fix it.

Large libraries are loaded only in subprocesses (`probe`), so that one that crashes or hangs becomes a finding too.
Importing this package loads nothing: every one of those subprocesses does it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from srn_deploy.doctor.examination import examine
    from srn_deploy.doctor.findings import DoctorReport, Finding, Status

__all__ = ["DoctorReport", "Finding", "Status", "examine"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "examination" if name == "examine" else "findings"
    return getattr(importlib.import_module(f"{__name__}.{home}"), name)
