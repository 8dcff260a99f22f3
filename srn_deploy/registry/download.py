"""Downloads a pinned file over https, resumes it where it was interrupted, and leaves it complete or not at all.

No other module uses the network.
"""

from __future__ import annotations

import http.client
import logging
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
"""HTTP statuses after which the same request may succeed in a moment. After 416, which says that there is no such part,
the next try asks for the whole file. Every other error status is final."""

OnBytes = Callable[[int], None]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Pinned:
    """A file on the network, with the hash and the size that it must have."""

    url: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long to wait, and how often to try."""

    timeout_s: float = 30.0
    """To connect, and for every read."""
    tries: int = 5
    first_pause_s: float = 1.0
    """Before the second try; each later one is twice as long."""
    longest_pause_s: float = 60.0
    """If a server asks for a longer pause, the download fails."""


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects only to addresses that may be opened."""

    def __init__(self, is_allowed: Callable[[str], bool]) -> None:
        self._is_allowed = is_allowed

    def redirect_request(self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str,
                         headers: http.client.HTTPMessage, newurl: str) -> urllib.request.Request | None:
        """Redirect as the base class does; raises DownloadError for an address that may not be opened."""
        if not self._is_allowed(newurl):
            fp.close()
            raise _not_allowed(newurl, f"{req.host} redirects to it")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class Opener:
    """Opens only allowed addresses, after redirects too; uses the proxies that the environment names."""

    def __init__(self, transport: urllib.request.BaseHandler, is_allowed: Callable[[str], bool]) -> None:
        self._is_allowed = is_allowed
        self._director = urllib.request.OpenerDirector()
        for handler in (urllib.request.ProxyHandler(), transport, _Redirects(is_allowed),
                        urllib.request.HTTPErrorProcessor(), urllib.request.HTTPDefaultErrorHandler(),
                        urllib.request.UnknownHandler()):
            self._director.add_handler(handler)

    def open(self, url: str, headers: Mapping[str, str], timeout_s: float) -> http.client.HTTPResponse:
        """Send a GET request; the body of the answer is not yet read.

        Raises DownloadError for an address that is not allowed, and what urllib raises.
        """
        if not self._is_allowed(url):
            raise _not_allowed(url, "the catalogue names it")
        request = urllib.request.Request(url, headers={"User-Agent": "srn-deploy", **headers})
        answer: http.client.HTTPResponse = self._director.open(request, timeout=timeout_s)
        return answer


def https() -> Opener:
    """The opener of production code: https only, with certificates checked."""
    return Opener(urllib.request.HTTPSHandler(context=ssl.create_default_context()),
                  lambda url: urlsplit(url).scheme == "https")


def _not_allowed(url: str, why: str) -> DownloadError:
    return DownloadError(f"{url} was not opened: it is not https ({why}).",
                         remedy="Check whether a proxy or your network redirects, and use another one.")


def fetch(source: Pinned, target: Path, *, patience: Patience | None = None, opener: Opener | None = None,
          on_bytes: OnBytes = lambda done: None) -> None:
    """Download the pinned file to `target`, complete or not at all, and resume an interrupted download.

    One process at a time downloads a target; others wait and find it complete. on_bytes: called with the number of
    bytes received so far. Waiting and retrying are logged. Ctrl-C keeps what was received for the next time. Raises
    DownloadError.
    """
    job = _Download(source, target, patience or Patience(), opener or https(), on_bytes)
    lock = lock_path(target.parent, target.name)
    with _folder_errors(target), locked(lock, busy=f"Another process is fetching {target.name}; waiting for it"):
        if not (target.is_file() and sha256_of_file(target) == source.sha256):
            job.run()


def partial_path(source: Pinned, target: Path) -> Path:
    """Where received bytes are kept until the file is complete: next to the target, named after it and its hash."""
    return target.with_name(f"{TEMPORARY_MARK}{target.name}-{source.sha256[:12]}")


class PassingFault(Exception):
    """A failure that may not happen again on the next try; it never leaves this module."""

    def __init__(self, reason: str, *, wait_s: float = 0.0) -> None:
        super().__init__(reason)
        self.reason, self.wait_s = reason, wait_s


@dataclass
class _Download:
    """The download of one file."""

    source: Pinned
    target: Path
    patience: Patience
    opener: Opener
    on_bytes: OnBytes
    partial: Path = field(init=False)
    host: str = field(init=False)

    def __post_init__(self) -> None:
        self.partial = partial_path(self.source, self.target)
        self.host = urlsplit(self.source.url).hostname or ""

    def run(self) -> None:
        """Try until the file is complete, then rename it."""
        for number in range(1, self.patience.tries + 1):
            try:
                self._continue()
            except PassingFault as fault:
                self._pause(number, fault)
            else:
                break
        if sha256_of_file(self.partial) != self.source.sha256:
            self.partial.unlink()
            raise DownloadError(f"What {self.host} sent is not {self.target.name}: its sha256 is different. It was "
                                "removed.", remedy=f"Pull it again; if that does not help, {self._by_hand}.")
        os.replace(self.partial, self.target)

    def _pause(self, number: int, fault: PassingFault) -> None:
        """Wait before the next try; raises DownloadError after the last one, or if the server asks for a long pause."""
        pause_s = max(self.patience.first_pause_s * 2 ** (number - 1), fault.wait_s)
        if pause_s > self.patience.longest_pause_s:
            raise DownloadError(f"{self.host}: {fault.reason}; it asks for a pause of {fault.wait_s:.0f} s.",
                                remedy="Pull it again after that time: it continues where it stopped.") from fault
        if number == self.patience.tries:
            raise DownloadError(f"{self.host}: {fault.reason}, {number} times in a row.",
                                remedy=f"Pull it again later: it continues where it stopped. Or {self._by_hand}."
                                ) from fault
        _log.info("%s: %s; trying again in %g s.", self.host, fault.reason, pause_s)
        time.sleep(pause_s)

    def _continue(self) -> None:
        """Try once to complete the partial file; raises PassingFault if it stays too short."""
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
        """Raise DownloadError for an answer whose headers say that it is not the requested bytes."""
        size = self.source.size_bytes
        if answer.status not in (http.client.OK, http.client.PARTIAL_CONTENT):
            raise self._refused(f"answers {answer.status}, which is not a file")
        span = answer.headers.get("Content-Range", "others")
        if answer.status == http.client.PARTIAL_CONTENT and span not in (
                f"bytes {begin}-{size - 1}/{size}", f"bytes {begin}-{size - 1}/*"):
            self.partial.unlink(missing_ok=True)
            raise DownloadError(f"{self.host} was asked for bytes {begin}-{size - 1} and sends {span}.",
                                remedy=f"Pull it again: it starts from the beginning. Or {self._by_hand}.")
        length = answer.headers.get("Content-Length")
        if length is not None and length.strip() != str(size - begin):
            raise self._refused(f"announces {length} bytes instead of {size - begin}")
        if (packed := answer.headers.get("Content-Encoding", "identity")) != "identity":
            raise self._refused(f"sends it compressed as {packed}, which was not requested")

    def _receive(self, answer: http.client.HTTPResponse, begin: int) -> None:
        """Append the body, never beyond the size; every byte received is kept."""
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
        """Translate what urllib raises to PassingFault or DownloadError."""
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
        """The error for a connection that could not be made."""
        if isinstance(reason, TimeoutError):
            return PassingFault(f"no answer for {self.patience.timeout_s:g} s")
        if isinstance(reason, ConnectionResetError | http.client.RemoteDisconnected):
            return PassingFault("the connection was cut")
        if isinstance(reason, ssl.SSLCertVerificationError):
            return DownloadError(
                f"{self.host} has no valid certificate: {reason.verify_message}.",
                remedy="Check the clock and the installed certificates. Where a proxy intercepts connections, set "
                       "SSL_CERT_FILE to the file with its certificate.")
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
    """A status in words; urllib reports endless redirects as the last redirect."""
    if 300 <= error.code < 400:
        return "redirects without end"
    return f"answers {error.code} {http.client.responses.get(error.code, '')}".rstrip()


def _retry_after_s(asked: str | None) -> float:
    """Seconds that a Retry-After header asks for, given as a number or as a date; 0 without one."""
    if asked is None or asked.strip().isdecimal():
        return float(asked or 0)
    with suppress(ValueError):
        return max(0.0, parsedate_to_datetime(asked).timestamp() - time.time())
    return 0.0


@contextmanager
def _folder_errors(target: Path) -> Iterator[None]:
    """Translate what the file system raises to DownloadError."""
    try:
        yield
    except OSError as error:
        raise DownloadError(f"{target} cannot be written: {error.strerror or error}.",
                            remedy="Check the folder, its permissions and the free space, or set SRN_CACHE to another "
                                   "one.") from error
