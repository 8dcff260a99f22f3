"""Whether what the page needs is installed, without importing it."""

from __future__ import annotations

import importlib.util

from srn_deploy.errors import missing_package

EXTRA = "web"


def need_page_packages() -> None:
    """Raise MissingPackage, before anything is imported, where Gradio is not installed."""
    if importlib.util.find_spec("gradio") is None:
        raise missing_package("gradio", "The local page", extra=EXTRA)
