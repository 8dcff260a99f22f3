"""The way to a file: redirects, https, proxies, other processes, and what the file system refuses."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest

from srn_deploy.errors import DownloadError
from srn_deploy.registry.download import Opener, Pinned, fetch, https, partial_path
from tests.rude_server import BODY, CUT, QUICK, SIZE, Manner, Server, bring, pinned, serving

pytestmark = pytest.mark.usefixtures("no_proxy")

EXAMPLE = Pinned(url="https://example.org/a.pt", sha256="0" * 64, size_bytes=1)


def test_a_redirect_within_what_is_allowed_is_followed(tmp_path: Path) -> None:
    with serving() as goal, serving(Manner(status=302, headers=(("Location", goal.url),))) as server:
        opener = Opener(urllib.request.HTTPHandler(), lambda url: "127.0.0.1" in url)
        fetch(pinned(server), tmp_path / "net.pt", patience=QUICK, opener=opener)
    assert (tmp_path / "net.pt").read_bytes() == BODY


def test_a_redirect_to_what_is_not_allowed_is_refused(tmp_path: Path) -> None:
    with serving() as goal, serving(Manner(status=302, headers=(("Location", goal.url),))) as server, \
            pytest.raises(DownloadError, match="redirects to it"):
        bring(server, tmp_path)
    assert goal.ranges == []


def test_redirects_in_a_circle_end_in_an_error(tmp_path: Path) -> None:
    with serving() as server:
        server.manners = [Manner(status=302, headers=(("Location", server.url),))]
        with pytest.raises(DownloadError, match="redirects without end"):
            bring(server, tmp_path)
    assert len(server.ranges) < 20


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/a.pt", "file:///etc/hostname", "ftp://127.0.0.1/a.pt", "a.pt"])
def test_production_code_opens_nothing_but_https(tmp_path: Path, url: str) -> None:
    with pytest.raises(DownloadError, match="it is not https"):
        fetch(Pinned(url=url, sha256="0" * 64, size_bytes=1), tmp_path / "a.pt", patience=QUICK)


def test_a_port_where_nobody_listens_is_reported_at_once_and_how_to_do_without(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Server([], url=f"http://127.0.0.1:{listener.getsockname()[1]}/weights.pt")
    with pytest.raises(DownloadError, match=f"cannot be reached: {os.strerror(errno.ECONNREFUSED)}") as caught:
        bring(server, tmp_path)
    assert "https_proxy" in caught.value.remedy
    assert str(tmp_path / "net.pt") in caught.value.remedy


def test_a_name_that_nobody_knows_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(DownloadError, match=r"example\.org cannot be reached: Name or service not known"):
        fetch(EXAMPLE, tmp_path / "a.pt", patience=QUICK)


def test_a_folder_that_cannot_be_made_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with serving() as server, pytest.raises(DownloadError, match="cannot be written") as caught:
        bring(server, tmp_path / "file")
    assert "SRN_CACHE" in caught.value.remedy
    assert server.ranges == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full, a disk that is always full")
def test_a_full_disk_is_reported(tmp_path: Path) -> None:
    with serving() as server:
        partial_path(pinned(server), tmp_path / "net.pt").symlink_to("/dev/full")
        with pytest.raises(DownloadError, match=f"cannot be written: {os.strerror(errno.ENOSPC)}"):
            bring(server, tmp_path)


def test_ctrl_c_leaves_what_came_for_the_next_time(tmp_path: Path) -> None:
    def interrupt(done: int) -> None:
        if done >= CUT:
            raise KeyboardInterrupt

    with serving() as server:
        with pytest.raises(KeyboardInterrupt):
            fetch(pinned(server), tmp_path / "net.pt", patience=QUICK, opener=server.opener(), on_bytes=interrupt)
        kept = partial_path(pinned(server), tmp_path / "net.pt").stat().st_size
        assert CUT <= kept < SIZE
        path, _ = bring(server, tmp_path)
    assert path.read_bytes() == BODY
    assert server.ranges == [None, f"bytes={kept}-"]


FETCH_IN_ANOTHER_PROCESS = """
import logging, sys, urllib.request
from pathlib import Path
from srn_deploy.registry.download import Opener, Pinned, fetch
logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(message)s")
url, sha256, size, target = sys.argv[1:]
fetch(Pinned(url=url, sha256=sha256, size_bytes=int(size)), Path(target),
      opener=Opener(urllib.request.HTTPHandler(), lambda url: True))
"""


def test_two_processes_that_want_the_same_file_fetch_it_once(tmp_path: Path) -> None:
    with serving() as server:
        wanted = pinned(server)
        other: list[subprocess.Popen[str]] = []

        def start_another(done: int) -> None:
            if done and not other:
                other.append(subprocess.Popen(
                    [sys.executable, "-c", FETCH_IN_ANOTHER_PROCESS, server.url, wanted.sha256, str(SIZE),
                     str(tmp_path / "net.pt")], stdout=subprocess.PIPE, text=True))
                assert other[0].stdout is not None
                assert "Another process is fetching net.pt" in other[0].stdout.readline()

        fetch(wanted, tmp_path / "net.pt", patience=QUICK, opener=server.opener(), on_bytes=start_another)
        other[0].communicate(timeout=60)
        assert other[0].returncode == 0
    assert (tmp_path / "net.pt").read_bytes() == BODY
    assert len(server.ranges) == 1


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for localhost that nobody vouches for."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not there to make a certificate with")
    path = tmp_path_factory.mktemp("tls") / "localhost.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost", "-keyout", path, "-out", path.with_suffix(".crt")],
                   check=True, capture_output=True)
    with path.open("ab") as file:
        file.write(path.with_suffix(".crt").read_bytes())
    return path


def tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def test_https_is_fetched_from_a_server_that_is_vouched_for(
        tmp_path: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.with_suffix(".crt")))
    with serving(Manner(cut_after=CUT), Manner(), tls=tls(certificate)) as server:
        fetch(pinned(server), tmp_path / "net.pt", patience=replace(QUICK, timeout_s=5))
    assert (tmp_path / "net.pt").read_bytes() == BODY
    assert server.ranges == [None, f"bytes={CUT}-"]


def test_a_server_that_nobody_vouches_for_is_refused(tmp_path: Path, certificate: Path) -> None:
    with serving(tls=tls(certificate)) as server, pytest.raises(DownloadError, match="no valid certificate") as caught:
        fetch(pinned(server), tmp_path / "net.pt", patience=replace(QUICK, timeout_s=5))
    assert "SSL_CERT_FILE" in caught.value.remedy
    assert server.ranges == []


def test_a_redirect_from_https_to_http_is_refused(
        tmp_path: Path, certificate: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate.with_suffix(".crt")))
    with serving() as goal, serving(Manner(status=301, headers=(("Location", goal.url),)),
                                    tls=tls(certificate)) as server, \
            pytest.raises(DownloadError, match=f"{goal.url} was not opened: it is not https"):
        fetch(pinned(server), tmp_path / "net.pt", patience=replace(QUICK, timeout_s=5), opener=https())
    assert goal.ranges == []


def test_a_proxy_of_the_environment_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("no_proxy")
    monkeypatch.delenv("NO_PROXY", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{listener.getsockname()[1]}")
        heard: list[bytes] = []

        def refuse() -> None:
            connection, _ = listener.accept()
            with connection:
                heard.append(connection.recv(4096))
                connection.sendall(b"HTTP/1.0 403 Forbidden\r\n\r\n")

        thread = threading.Thread(target=refuse)
        thread.start()
        with pytest.raises(DownloadError, match="Tunnel connection failed: 403 Forbidden") as caught:
            fetch(EXAMPLE, tmp_path / "a.pt",
                  patience=replace(QUICK, timeout_s=5))
        thread.join()
    assert heard[0].startswith(b"CONNECT example.org:443 ")
    assert "https_proxy" in caught.value.remedy
