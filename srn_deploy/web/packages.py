"""Whether what the page needs is installed, without importing it."""

from __future__ import annotations

from srn_deploy.system.installed import need_packages

EXTRA = "web"


def need_page_packages() -> None:
    """Raise MissingPackage, before anything is imported, where Gradio is not installed."""
    need_packages(("gradio",), "The local page", extra=EXTRA)
