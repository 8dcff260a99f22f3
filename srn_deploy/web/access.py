"""Who may use the page: this machine, or who knows the token. Nothing of it comes from another host, or goes there."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit

from srn_deploy.web.options import is_loopback

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

COOKIE = "srn-deploy-token"
PARAMETER = "token"

_PLACES = {"default": "'self'", "script": "'self' 'unsafe-inline' 'unsafe-eval' blob:",
           "style": "'self' 'unsafe-inline'", "img": "'self' data: blob:", "font": "'self' data:",
           "connect": "'self' blob: data:", "worker": "'self' blob:", "object": "'none'"}

POLICY = "; ".join([*(f"{kind}-src {places}" for kind, places in _PLACES.items()), "base-uri 'self'",
                    "form-action 'self'", "frame-ancestors 'none'"])
"""What a browser may load: Gradio's scripts are inline and make functions of text, and all of it is of this server."""

_HEADERS = [(b"content-security-policy", POLICY.encode()), (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"), (b"cross-origin-resource-policy", b"same-origin")]

_NO_TOKEN = "Open the address that srn-deploy printed: it ends in the token of this page.\n"
_NOT_OURS = "This page answers only its own address.\n"


class Guarded:
    """An application that is reached only by those who may, and answers with headers that keep browsers here."""

    def __init__(self, application: Application, *, token: str) -> None:
        self._application, self._token = application, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._application(scope, receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})  # the page has none
        elif not self._is_of_this_page(scope):
            await _answer(send, 403, _NOT_OURS)
        elif self._token and not _same(_cookie(scope), self._token):
            await self._let_in(scope, send)
        else:
            await self._application(scope, receive, _with_headers(send))

    def _is_of_this_page(self, scope: Scope) -> bool:
        """Whether the address is ours, so that no other site speaks through a visitor's browser."""
        host, origin = _header(scope, b"host"), _header(scope, b"origin")
        if origin and _split(origin).netloc != host:
            return False
        return bool(self._token) or is_loopback(_split(f"//{host}").hostname or "")

    async def _let_in(self, scope: Scope, send: Send) -> None:
        given = parse_qs(scope.get("query_string", b"").decode("latin-1")).get(PARAMETER, [""])[0]
        if scope["method"] != "GET" or not _same(given, self._token):
            await _answer(send, 401, _NO_TOKEN)
            return
        cookie = f"{COOKIE}={self._token}; HttpOnly; SameSite=Strict; Path=/"
        await _answer(send, 303, "", (b"location", b"/"), (b"set-cookie", cookie.encode()))


def _split(address: str) -> SplitResult:
    """The parts of an address; all empty where it is none."""
    try:
        return urlsplit(address)
    except ValueError:  # as of a bracket that is not closed
        return SplitResult("", "", "", "", "")


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), token.encode())


def _header(scope: Scope, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


def _cookie(scope: Scope) -> str:
    pairs = (pair.strip().partition("=") for pair in _header(scope, b"cookie").split(";"))
    return next((value for name, _, value in pairs if name == COOKIE), "")


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            own = {name for name, _ in _HEADERS}
            kept = [(name, value) for name, value in message.get("headers", []) if name.lower() not in own]
            message["headers"] = [*kept, *_HEADERS]
        await send(message)

    return sending


async def _answer(send: Send, status: int, text: str, *headers: tuple[bytes, bytes]) -> None:
    await send({"type": "http.response.start", "status": status,
                "headers": [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store"),
                            *_HEADERS, *headers]})
    await send({"type": "http.response.body", "body": text.encode()})
