"""Serves the page until Ctrl-C: one process, one model, and nothing left behind."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import uvicorn
from fastapi import FastAPI
from fastapi.responses import FileResponse, PlainTextResponse, Response
from starlette.background import BackgroundTask

from srn_deploy.errors import PageError
from srn_deploy.open_model import OpenRequest, open_with_fallback
from srn_deploy.web.access import PARAMETER, Guarded
from srn_deploy.web.folders import private_folder
from srn_deploy.web.line import Line
from srn_deploy.web.one_model import OneModel, OpenModel, offered_models
from srn_deploy.web.options import PageOptions
from srn_deploy.web.uploads import Uploads
from srn_deploy.web.visitors import ZIP_NAME, Visitors
from srn_deploy.web.wording import RESULTS

TEMPORARY_VARIABLE = "GRADIO_TEMP_DIR"
"""Where Gradio keeps what is sent to it and what it shows."""

ANALYTICS_VARIABLE = "GRADIO_ANALYTICS_ENABLED"
"""Gradio tells its makers what is used unless this is "False"."""

END_WITHIN_S = 2
"""Connections that browsers hold open are cut after this."""

_log = logging.getLogger(__name__)


def serve(options: PageOptions, on_ready: Callable[[str], None], *, open_model: OpenModel = open_with_fallback) -> None:
    """Serve the page until Ctrl-C or SIGTERM, and remove its files.

    on_ready: called with its address when it is served. open_model: how models are opened. Raises PageError
    where the address cannot be listened on, KeyboardInterrupt after Ctrl-C, and the errors of `offered_models`.
    """
    options = options.with_token()
    model = OneModel(offered_models(options.models), OpenRequest(device=options.device, precision=options.precision),
                     open_model)
    with ExitStack() as stack:
        listening = stack.enter_context(_listening(options))
        folder = stack.enter_context(private_folder())
        stack.enter_context(_kept_in(folder))
        line = stack.enter_context(Line(model, max_waiting=options.max_waiting))
        visitors = Visitors(folder, Uploads(folder))
        application = Guarded(visitors.uploads.watched(_application(options, line, visitors)), token=options.token)
        server = _Server(uvicorn.Config(application, log_config=None, access_log=False, lifespan="on", ws="none",
                                        server_header=False, proxy_headers=False,
                                        timeout_graceful_shutdown=END_WITHIN_S))
        server.told = lambda: on_ready(_address(options, listening))
        _quiet_server()
        server.run(sockets=[listening])


class _Server(uvicorn.Server):
    """Says when it is ready."""

    told: Callable[[], None]

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then say so."""
        await super().startup(sockets=sockets)
        if self.started:
            self.told()


def _application(options: PageOptions, line: Line, visitors: Visitors) -> FastAPI:
    """The page, and the files of its results as they lie on the disk."""
    import gradio as gr  # here, because it makes the folder for its files as soon as it is imported

    from srn_deploy.web.page import Page, look

    application = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)

    @application.get("/alive")
    def alive() -> dict[str, bool]:
        return {"alive": True}

    @application.get(f"{RESULTS}/{{key}}/all/{{name}}", response_model=None)
    def every(key: str, name: str) -> Response:
        visitor = visitors.with_key(key)
        path = None if visitor is None else visitor.zipped()
        if path is None:
            return _gone()
        return FileResponse(path, filename=ZIP_NAME, media_type="application/zip", headers=_NOT_KEPT,
                            background=BackgroundTask(path.unlink, missing_ok=True))

    @application.get(f"{RESULTS}/{{key}}/{{number}}/{{name}}", response_model=None)
    def one(key: str, number: int, name: str) -> Response:
        visitor = visitors.with_key(key)
        names = {} if visitor is None else visitor.file_names()
        target = visitor.results[number].target if visitor is not None and number in names else None
        if target is None or not target.is_file():
            return _gone()
        return FileResponse(target, filename=names[number], headers=_NOT_KEPT)

    page = Page(options, line, visitors)
    page.blocks.queue(max_size=None, default_concurrency_limit=None, api_open=False)
    gr.mount_gradio_app(application, page.blocks, path="/", server_name=options.host, server_port=options.port,
                               footer_links=[], run_history=False, ssr_mode=False, enable_monitoring=False, pwa=False,
                               mcp_server=False, max_file_size=options.max_file_bytes, show_error=False,
                               app_kwargs={"docs_url": None, "redoc_url": None, "openapi_url": None}, **look())
    return application


def _gone() -> Response:
    return PlainTextResponse("This file was removed: the tab was closed, or a new run began.\n", 404, _NOT_KEPT)


_NOT_KEPT = {"cache-control": "no-store"}


@contextmanager
def _listening(options: PageOptions) -> Iterator[socket.socket]:
    """Yield a socket that listens at the address, or raise PageError."""
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listening:
        if os.name != "nt":  # there it would share the port with another program
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((options.host, options.port))
            listening.listen(64)
        except OSError as error:
            raise PageError(f"Nothing can be served at {options.host}, port {options.port}: "
                            f"{(error.strerror or str(error)).rstrip('.')}.",
                            remedy="Give another --port, as in --port 0, which takes a free one, and a --host of this "
                                   "machine.") from error
        yield listening


@contextmanager
def _kept_in(folder: Path) -> Iterator[None]:
    """Let Gradio keep its files in a folder, and tell nobody, while the block runs."""
    wanted = {TEMPORARY_VARIABLE: str(folder), ANALYTICS_VARIABLE: "False"}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def _address(options: PageOptions, listening: socket.socket) -> str:
    host = f"[{options.host}]" if ":" in options.host else options.host
    query = f"/?{PARAMETER}={options.token}" if options.token else "/"
    return f"http://{host}:{listening.getsockname()[1]}{query}"


def _quiet_server() -> None:
    """What is worth being told, the page tells: the server's own messages are about connections that browsers cut."""
    for name in ("uvicorn.error", "uvicorn.access", "httpx"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
