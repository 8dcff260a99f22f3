"""The one room that reaches for the network: a pinned file over https, resumed where it was cut, whole or absent."""

from __future__ import annotations

import http.client
import os
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from srn_deploy.errors import DownloadError
from srn_deploy.system.atomic import TEMPORARY_MARK
from srn_deploy.system.hashing import sha256_of_file
from srn_deploy.system.locks import lock_path, locked

CHUNK_BYTES = 1 << 16

PASSING_STATUSES = {408, 429, 500, 502, 503, 504}
"""Of a server that may answer better in a moment. 416 says that it knows no such part: the next try asks for the
whole. Every other error stands."""

OnBytes = Callable[[int], None]
Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Pinned:
    """A file on the network, and what it must be."""

    url: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long to wait, and how often to try."""

    timeout_s: float = 30.0
    """For a connection, and for every read from it."""
    tries: int = 5
    first_pause_s: float = 1.0
    """Before the second try; each later one is twice as long."""
    longest_pause_s: float = 60.0
    """A server that asks for more is not waited for."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirect only to an address that may be opened."""

    def __init__(self, is_allowed: Callable[[str], bool]) -> None:
        self._is_allowed = is_allowed

    def redirect_request(self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str,
                         headers: http.client.HTTPMessage, newurl: str) -> urllib.request.Request | None:
        """As the base class; raises DownloadError."""
        if not self._is_allowed(newurl):
            fp.close()
            raise _not_allowed(newurl, f"{req.host} redirects to it")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class Opener:
    """Opens addresses of one kind, after redirects too; proxies of the environment are honoured."""

    def __init__(self, transport: urllib.request.BaseHandler, is_allowed: Callable[[str], bool]) -> None:
        self._is_allowed = is_allowed
        self._director = urllib.request.OpenerDirector()
        for handler in (urllib.request.ProxyHandler(), transport, _Redirects(is_allowed),
                        urllib.request.HTTPErrorProcessor(), urllib.request.HTTPDefaultErrorHandler(),
                        urllib.request.UnknownHandler()):
            self._director.add_handler(handler)

    def open(self, url: str, headers: Mapping[str, str], timeout_s: float) -> http.client.HTTPResponse:
        """The answer, its body not yet read. Raises DownloadError for another kind of address, and as urllib does."""
        if not self._is_allowed(url):
            raise _not_allowed(url, "the catalogue names it")
        request = urllib.request.Request(url, headers={"User-Agent": "srn-deploy", **headers})
        answer: http.client.HTTPResponse = self._director.open(request, timeout=timeout_s)
        return answer


def https() -> Opener:
    """What production code opens addresses with: certificates are checked, nothing but https is spoken."""
    return Opener(urllib.request.HTTPSHandler(context=ssl.create_default_context()),
                  lambda url: urlsplit(url).scheme == "https")


def _not_allowed(url: str, why: str) -> DownloadError:
    return DownloadError(f"{url} is not opened: it is not https ({why}).",
                         remedy="Look whether a proxy or the network you are in redirects, and use another one.")


def fetch(source: Pinned, target: Path, *, patience: Patience | None = None, opener: Opener | None = None,
          on_bytes: OnBytes = lambda done: None, tell: Tell = lambda line: None) -> None:
    """Put the pinned file at target, whole or not at all; what has come of it before is gone on from.

    One process at a time fetches a target; another waits and finds it there. on_bytes: called with the bytes that
    are there. tell: sentences on waiting and trying again. Ctrl-C leaves what has come for the next time. Raises
    DownloadError.
    """
    job = _Fetch(source, target, patience or Patience(), opener or https(), on_bytes, tell)
    lock = lock_path(target.parent, target.name)
    with _folder_errors(target), locked(lock, busy=f"Another process is fetching {target.name}; waiting for it"):
        if not (target.is_file() and sha256_of_file(target) == source.sha256):
            job.run()


def partial_path(source: Pinned, target: Path) -> Path:
    """Where the part that has come waits: beside the target, named after it and after what it must become."""
    return target.with_name(f"{TEMPORARY_MARK}{target.name}-{source.sha256[:12]}")


class PassingFault(Exception):
    """A fault that another try may not meet; never leaves this room."""

    def __init__(self, reason: str, *, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.reason, self.wait_s = reason, wait_s


@dataclass
class _Fetch:
    """One file on its way."""

    source: Pinned
    target: Path
    patience: Patience
    opener: Opener
    on_bytes: OnBytes
    tell: Tell
    partial: Path = field(init=False)
    host: str = field(init=False)

    def __post_init__(self) -> None:
        self.partial = partial_path(self.source, self.target)
        self.host = urlsplit(self.source.url).hostname or ""

    def run(self) -> None:
        """Try until it is whole, then rename it."""
        for number in range(1, self.patience.tries + 1):
            try:
                self._go_on()
            except PassingFault as fault:
                self._pause(number, fault)
            else:
                break
        if sha256_of_file(self.partial) != self.source.sha256:
            self.partial.unlink()
            raise DownloadError(f"What {self.host} sent is not {self.target.name}: its sha256 is another one. It was "
                                "removed.", remedy=f"Pull it again; if that does not help, {self._by_hand}.")
        os.replace(self.partial, self.target)

    def _pause(self, number: int, fault: PassingFault) -> None:
        """Wait before the next try; raises DownloadError after the last one, or where the server asks for long."""
        pause_s = max(self.patience.first_pause_s * 2 ** (number - 1), fault.wait_s)
        if pause_s > self.patience.longest_pause_s:
            raise DownloadError(f"{self.host}: {fault.reason}; it asks to be left alone for {fault.wait_s:.0f} s.",
                                remedy="Pull it again after that time: it goes on from where it was.") from fault
        if number == self.patience.tries:
            raise DownloadError(f"{self.host}: {fault.reason}, {number} times in a row.",
                                remedy=f"Pull it again later: it goes on from where it was. Or {self._by_hand}."
                                ) from fault
        self.tell(f"{self.host}: {fault.reason}; trying again in {pause_s:g} s")
        time.sleep(pause_s)

    def _go_on(self) -> None:
        """One try to complete the partial file; raises PassingFault where it stays short of the size."""
        have = self.partial.stat().st_size if self.partial.is_file() else 0
        if have > self.source.size_bytes:
            self.partial.unlink()
            have = 0
        if have == self.source.size_bytes:
            return
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
        with self._network_errors():
            answer = self.opener.open(self.source.url, headers, self.patience.timeout_s)
        with closing(answer):
            begin = have if answer.status == http.client.PARTIAL_CONTENT else 0
            self._check_promise(answer, begin)
            self._receive(answer, begin)

    def _check_promise(self, answer: http.client.HTTPResponse, begin: int) -> None:
        """Raise DownloadError for an answer that by its own head is not the wanted bytes."""
        size = self.source.size_bytes
        if answer.status not in (http.client.OK, http.client.PARTIAL_CONTENT):
            raise self._refused(f"answers {answer.status}, which is no file")
        span = answer.headers.get("Content-Range", "others")
        if answer.status == http.client.PARTIAL_CONTENT and span not in (
                f"bytes {begin}-{size - 1}/{size}", f"bytes {begin}-{size - 1}/*"):
            self.partial.unlink(missing_ok=True)
            raise DownloadError(f"{self.host} was asked for bytes {begin}-{size - 1} and sends {span}.",
                                remedy=f"Pull it again: it begins anew. Or {self._by_hand}.")
        length = answer.headers.get("Content-Length")
        if length is not None and length.strip() != str(size - begin):
            raise self._refused(f"announces {length} bytes instead of {size - begin}")
        if (packed := answer.headers.get("Content-Encoding", "identity")) != "identity":
            raise self._refused(f"sends it packed as {packed}, which was not asked for")

    def _receive(self, answer: http.client.HTTPResponse, begin: int) -> None:
        """Append the body, never beyond the size; every byte that came is kept."""
        done, size = begin, self.source.size_bytes
        with self.partial.open("ab" if begin else "wb") as file:
            self.on_bytes(done)
            while done < size:
                with self._network_errors():
                    chunk = answer.read1(min(CHUNK_BYTES, size - done))
                if not chunk:
                    raise PassingFault(f"the connection ended after {done} of {size} bytes")
                file.write(chunk)
                done += len(chunk)
                self.on_bytes(done)

    @contextmanager
    def _network_errors(self) -> Iterator[None]:
        """What urllib raises, as PassingFault or DownloadError."""
        try:
            yield
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
                self.partial.unlink(missing_ok=True)
            elif error.code not in PASSING_STATUSES:
                raise self._refused(_said(error)) from error
            raise PassingFault(_said(error), wait_s=_retry_after_s(error.headers.get("Retry-After"))) from error
        except urllib.error.URLError as error:
            raise self._unreachable(error.reason) from error
        except TimeoutError as error:
            raise PassingFault(f"no answer for {self.patience.timeout_s:g} s") from error
        except (OSError, http.client.HTTPException) as error:
            raise PassingFault(f"the connection was cut ({type(error).__name__})") from error

    def _unreachable(self, reason: Any) -> Exception:
        """Of a connection that did not come about."""
        if isinstance(reason, TimeoutError):
            return PassingFault(f"no answer for {self.patience.timeout_s:g} s")
        if isinstance(reason, ConnectionResetError | http.client.RemoteDisconnected):
            return PassingFault("the connection was cut")
        if isinstance(reason, ssl.SSLCertVerificationError):
            return DownloadError(
                f"{self.host} does not prove who it is: {reason.verify_message}.",
                remedy="Check the clock and the installed certificates. Where a proxy opens connections, name the file "
                       "with its certificate in the variable SSL_CERT_FILE.")
        return DownloadError(
            f"{self.host} cannot be reached: {getattr(reason, 'strerror', None) or reason}.",
            remedy=f"Check the connection and, behind a proxy, the variable https_proxy. Or {self._by_hand}.")

    def _refused(self, what: str) -> DownloadError:
        return DownloadError(f"{self.host} {what}: {self.source.url}",
                             remedy=f"A newer srn-deploy may know another address. Or {self._by_hand}.")

    @property
    def _by_hand(self) -> str:
        return f"copy the file from elsewhere to {self.target}: it is checked before use"


def _said(error: urllib.error.HTTPError) -> str:
    """A status in words; endless redirects are reported by urllib as the last redirect."""
    if 300 <= error.code < 400:
        return "redirects without end"
    return f"answers {error.code} {http.client.responses.get(error.code, '')}".rstrip()


def _retry_after_s(asked: str | None) -> float:
    """Seconds that the server asks to be left alone: given as such or as a date; 0 where it does not."""
    if asked is None or asked.strip().isdecimal():
        return float(asked or 0)
    with suppress(ValueError):
        return max(0.0, parsedate_to_datetime(asked).timestamp() - time.time())
    return 0.0


@contextmanager
def _folder_errors(target: Path) -> Iterator[None]:
    """What the file system raises, as DownloadError."""
    try:
        yield
    except OSError as error:
        raise DownloadError(f"{target} cannot be written: {error.strerror or error}.",
                            remedy="Check the folder, its permissions and the free space, or name another one in the "
                                   "variable SRN_CACHE.") from error
