"""A file server on this machine that can be told to misbehave: one manner for each request, the last for all others."""

from __future__ import annotations

import hashlib
import logging
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from ssl import SSLContext

import numpy as np

from srn_deploy.registry.download import Opener, Patience, Pinned, fetch

BODY = np.random.default_rng(0).bytes(300_000)
"""Several chunks."""
SIZE = len(BODY)
CUT = 100_000
"""Where answers are cut."""

QUICK = Patience(timeout_s=0.3, tries=3, first_pause_s=0.001, longest_pause_s=2)


@dataclass(frozen=True, kw_only=True)
class Manner:
    """How one request is answered; without any of it, well."""

    status: int = 0
    """0: 200, or 206 to a Range."""
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = BODY
    cut_after: int | None = None
    """Bytes of the answer's body after which the connection is closed."""
    stall_after: int | None = None
    """Bytes after which nothing more comes, until the server is closed."""
    ignores_range: bool = False
    tells_length: bool = True
    announced: int | None = None
    """A length that is not so."""
    content_range: str | None = None


@dataclass
class Server:
    """What it is told to do, and what it saw."""

    manners: list[Manner]
    url: str = ""
    ranges: list[str | None] = field(default_factory=list)
    """The Range header of each request."""
    sent_bytes: list[int] = field(default_factory=list)
    """Of each body, as far as they were handed over."""
    closed: threading.Event = field(default_factory=threading.Event)

    def opener(self) -> Opener:
        """Opens this server's addresses and no others."""
        return Opener(urllib.request.HTTPHandler(), lambda url: url.startswith(self.url.rpartition("/")[0]))


class _Handler(BaseHTTPRequestHandler):
    """One request, answered in the manner whose turn it is."""

    told: Server

    def do_GET(self) -> None:
        asked = self.headers["Range"]
        self.told.ranges.append(asked)
        manner = self.told.manners[min(len(self.told.ranges), len(self.told.manners)) - 1]
        begin = 0 if asked is None or manner.ignores_range else int(asked.removeprefix("bytes=").rstrip("-"))
        status = manner.status or (206 if begin else 200)
        body = manner.body[begin:] if status < 300 else b""
        self.send_response(status)
        for name, value in manner.headers:
            self.send_header(name, value)
        if status == 206:
            size = len(manner.body)
            self.send_header("Content-Range", manner.content_range or f"bytes {begin}-{size - 1}/{size}")
        if manner.tells_length:
            self.send_header("Content-Length", str(len(body) if manner.announced is None else manner.announced))
        self.end_headers()
        self._send(body, manner)

    def _send(self, body: bytes, manner: Manner) -> None:
        stops = [stop for stop in (manner.cut_after, manner.stall_after) if stop is not None]
        part = body[:min(stops, default=len(body))]
        self.told.sent_bytes.append(len(part))
        try:
            self.wfile.write(part)
            self.wfile.flush()
        except ConnectionError:
            return  # who asked has gone
        if manner.stall_after is not None:
            self.told.closed.wait()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def serving(*manners: Manner, tls: SSLContext | None = None) -> Iterator[Server]:
    """A server on a free port of this machine."""
    told = Server(list(manners) or [Manner()])
    handler: Callable[..., _Handler] = type("Handler", (_Handler,), {"told": told})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    host = "127.0.0.1" if tls is None else "localhost"
    told.url = f"http{'s' if tls else ''}://{host}:{server.server_address[1]}/weights.pt"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield told
    finally:
        told.closed.set()
        server.shutdown()
        server.server_close()
        thread.join()


def pinned(server: Server, body: bytes = BODY) -> Pinned:
    return Pinned(url=server.url, sha256=hashlib.sha256(body).hexdigest(), size_bytes=len(body))


def bring(server: Server, folder: Path, patience: Patience = QUICK) -> tuple[Path, list[str]]:
    """The target after fetching, and what was logged."""
    with logged("srn_deploy.registry.download") as messages:
        fetch(pinned(server), folder / "net.pt", patience=patience, opener=server.opener())
    return folder / "net.pt", messages


@contextmanager
def logged(name: str) -> Iterator[list[str]]:
    """The messages of a logger, INFO and above, as they come."""
    messages: list[str] = []
    handler, logger = logging.Handler(), logging.getLogger(name)
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign]
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield messages
    finally:
        logger.setLevel(before)
        logger.removeHandler(handler)


def left_in(folder: Path) -> set[str]:
    """Files but the lock."""
    return {path.name for path in folder.iterdir() if path.is_file()}
