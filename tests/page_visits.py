"""The local page in a process of its own, and tabs of a real browser that visit it and reach this machine alone."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image as Pillow

from tests.chromium import needs_chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

REPOSITORY = Path(__file__).resolve().parent.parent

START_LIMIT_S = 60

needs_gradio = pytest.mark.skipif(importlib.util.find_spec("gradio") is None,
                                  reason="needs Gradio: pip install '.[web]'")

needs_page = [needs_gradio, needs_chromium]
"""Marks for tests that open a page."""

_OWN = {"127.0.0.1", "localhost", ""}


def picture(path: Path, side: int = 40) -> Path:
    """Write a plain grey image there; the path."""
    Pillow.fromarray(np.full((side, side, 3), 90, np.uint8)).save(path)
    return path


@dataclass(eq=False)
class Served:
    """A page that is served by a process of its own."""

    address: str
    process: subprocess.Popen[str]
    temporary: Path
    """Where its files lie."""
    log: Path

    def said(self) -> str:
        """What it wrote on stderr."""
        return self.log.read_text(encoding="utf-8")

    def files(self) -> list[Path]:
        """All that lies in its folder now, but for its lock."""
        return [path for path in self.temporary.rglob("*") if path.is_file() and path.name not in ("page.lock",)]

    def end(self) -> int:
        """Press Ctrl-C; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=START_LIMIT_S)


@contextmanager
def served(folder: Path, **options: Any) -> Iterator[Served]:
    """Serve the page of `tests.page_server` on a free port while the block runs. options: of that module."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "log.txt"
    temporary = folder / "temporary"
    temporary.mkdir()
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.page_server", json.dumps({"port": 0, "device": "cpu", **options})],
            cwd=REPOSITORY, env={**os.environ, "TMPDIR": str(temporary)}, text=True, stdout=subprocess.PIPE,
            stderr=errors)
    assert process.stdout is not None
    try:
        address = process.stdout.readline().strip()
        assert address, log.read_text(encoding="utf-8")
        yield Served(address, process, temporary, log)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@dataclass(eq=False)
class Visit:
    """An open tab."""

    page: Page
    others: list[str] = field(default_factory=list)
    """Addresses of other hosts that it asked for; all are refused."""

    def drop(self, *paths: Path) -> None:
        """Give it files, and wait until they are there."""
        self.page.set_input_files("#pictures input[type=file]", [str(path) for path in paths])
        for path in paths:
            self.page.locator("#pictures .file-preview", has_text=path.stem).wait_for()  # not the list of uploads

    def choose(self, dropdown: str, option: str) -> None:
        """Choose by mouse in one of the lists."""
        self.page.click(f"#{dropdown} input")
        self.page.locator(f"#{dropdown} [role=option]", has_text=option).first.click()

    def start(self) -> None:
        """Press Upscale."""
        self.page.click("#start")

    def says(self, words: str) -> str:
        """Wait until the status says this; the whole sentence."""
        self.page.locator("#status", has_text=words).wait_for()
        return self.page.inner_text("#status p")

    def fetched(self, name: str, folder: Path) -> Path:
        """Press a link of the results; the file that comes."""
        with self.page.expect_download() as coming:
            self.page.locator("#results a", has_text=name).click()
        target = folder / coming.value.suggested_filename
        coming.value.save_as(target)
        return target


@contextmanager
def visit(browser: Browser, address: str, *, width: int = 1600, height: int = 1000) -> Iterator[Visit]:
    """A tab of its own, with its own cookies, in which every other host is blocked and logged."""
    context = browser.new_context(viewport={"width": width, "height": height}, accept_downloads=True)
    context.set_default_timeout(30_000)
    opened = Visit(context.new_page())

    def guard(route: Route) -> None:
        if urlsplit(route.request.url).hostname in _OWN:
            route.continue_()
        else:
            opened.others.append(route.request.url)
            route.abort()

    context.route("**/*", guard)
    try:
        opened.page.goto(address)
        opened.page.wait_for_selector("#start")
        opened.page.wait_for_selector("#pictures button[aria-label^='Pictures']")  # the page's own script has run
        yield opened
    finally:
        context.close()
