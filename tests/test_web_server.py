"""The local page without a browser: who is answered, what is refused, how it begins and ends, what it leaves behind."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from srn_deploy.cli import main
from srn_deploy.errors import OptionError
from srn_deploy.web.folders import PREFIX, private_folder
from srn_deploy.web.options import PageOptions, is_loopback
from tests.page_visits import Served, needs_gradio, served

TOKEN = "0123456789abcdefTOKEN"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("local"), models=["slow"], max_file_bytes=1000) as found:
        yield found


@pytest.fixture(scope="module")
def open_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(tmp_path_factory.mktemp("open"), host="0.0.0.0", token=TOKEN) as found:
        yield found


def answer(page: Served, path: str = "/", *, method: str = "GET", body: bytes | None = None,
           **headers: str) -> http.client.HTTPResponse:
    place = urlsplit(page.address)
    reached = "127.0.0.1" if place.query else place.hostname or ""  # one with a token listens everywhere
    connection = http.client.HTTPConnection(reached, place.port or 80, timeout=30)
    connection.request(method, path, body, {"Host": place.netloc} | {
        name.replace("_", "-"): value for name, value in headers.items()})
    found = connection.getresponse()
    found.read()
    connection.close()
    return found


@needs_gradio
def test_a_page_of_this_machine_answers_this_machine_alone(page: Served) -> None:
    assert urlsplit(page.address).hostname == "127.0.0.1"
    assert answer(page).status == 200
    assert answer(page, Host="localhost").status == 200
    assert answer(page, Host="LOCALHOST:80").status == 200
    assert answer(page, Host="127.0.0.2:7860").status == 200
    assert answer(page, Host="[::1]:7860").status == 200
    assert answer(page, Host="rebound.example").status == 403
    assert answer(page, Host="127.0.0.1.rebound.example").status == 403
    assert answer(page, Host="[::1").status == 403
    assert answer(page, Origin="http://[::1").status == 403
    assert answer(page, "/gradio_api/upload", method="POST", Origin="https://other.example").status == 403
    assert answer(page, Origin="null").status == 403


@needs_gradio
def test_no_other_address_is_listened_on(page: Served) -> None:
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", urlsplit(page.address).port or 80), timeout=30)


@needs_gradio
@pytest.mark.parametrize("host", ["127.0.0.2", "::1"])
def test_every_address_of_this_machine_alone_is_served_without_a_token(tmp_path: Path, host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as tried:
        try:
            tried.bind((host, 0))
        except OSError:
            pytest.skip(f"there is no {host} here")
    with served(tmp_path, host=host) as own:
        place = urlsplit(own.address)
        assert (place.hostname, place.query) == (host, "")
        assert answer(own).status == 200


@needs_gradio
def test_a_browser_is_told_to_load_and_send_nothing_elsewhere(page: Served) -> None:
    policy = str(answer(page).getheader("content-security-policy"))
    assert "http" not in policy
    assert "default-src 'self'" in policy
    assert "connect-src 'self' blob: data:" in policy


@needs_gradio
def test_other_machines_need_the_token_that_the_address_has(open_page: Served) -> None:
    assert open_page.address.endswith(f"/?token={TOKEN}")
    assert answer(open_page).status == 401
    assert answer(open_page, "/alive").status == 401
    assert answer(open_page, "/?token=wrong").status == 401
    assert answer(open_page, "/gradio_api/upload", method="POST").status == 401
    welcome = answer(open_page, f"/?token={TOKEN}")
    assert (welcome.status, welcome.getheader("location")) == (303, "/")
    cookie = str(welcome.getheader("set-cookie"))
    assert "HttpOnly; SameSite=Strict" in cookie
    assert answer(open_page, "/alive", Cookie=cookie.partition(";")[0]).status == 200
    assert answer(open_page, "/alive", Cookie=cookie.partition(";")[0], Host="any.name").status == 200
    assert answer(open_page, "/alive", Cookie="srn-deploy-token=wrong").status == 401


@needs_gradio
def test_a_file_of_too_many_bytes_leaves_nothing(page: Served) -> None:
    body = (b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n' + bytes(2000)
            + b"\r\n--x--\r\n")
    sent = answer(page, "/gradio_api/upload", method="POST", body=body,
                  Content_Type="multipart/form-data; boundary=x")
    assert sent.status == 413
    assert page.files() == []


@needs_gradio
def test_results_are_fetched_by_a_key_that_nobody_guesses(page: Served) -> None:
    assert answer(page, "/results/unknown/0/a.png").status == 404
    assert answer(page, "/results/unknown/all/upscaled.zip").status == 404


@needs_gradio
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_ends_it_and_leaves_nothing(tmp_path: Path, number: signal.Signals, code: int) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-m", "srn_deploy", "web", "--port", str(port)], text=True,
                               env={**os.environ, "TMPDIR": str(tmp_path)}, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == f"http://127.0.0.1:{port}/\n"
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


@needs_gradio
def test_a_port_that_is_taken_is_an_error_with_its_remedy() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ended = CliRunner().invoke(main, ["web", "--port", str(taken.getsockname()[1])])
    assert ended.exit_code == 1
    assert "Address already in use" in ended.stderr
    assert "--port 0" in ended.stderr


def test_without_gradio_the_line_that_installs_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    ended = CliRunner().invoke(main, ["web"])
    assert ended.exit_code == 1
    assert "The local page needs gradio, which is not installed." in ended.stderr
    assert "pip install '.[web]'" in ended.stderr


def test_an_address_that_others_reach_gets_a_token_of_its_own() -> None:
    assert PageOptions().with_token().token == ""
    assert PageOptions(host="localhost").with_token().token == ""
    assert PageOptions(host="::1").with_token().token == ""
    assert PageOptions(host="127.0.0.2").with_token().token == ""
    made = {PageOptions(host=host).with_token().token for host in ("0.0.0.0", "::", "192.168.1.2", "some.host")}
    assert len(made) == 4
    assert min(map(len, made)) == 32


@pytest.mark.parametrize(("host", "is_this_machine"), [
    ("localhost", True), ("LocalHost", True), ("127.0.0.1", True), ("127.255.0.9", True), ("::1", True),
    ("::ffff:127.0.0.1", True), ("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("::ffff:10.0.0.1", False),
    ("localhost.example", False), ("", False), ("127.0.0.1.example", False)])
def test_which_hosts_are_this_machine(host: str, is_this_machine: bool) -> None:
    assert is_loopback(host) is is_this_machine


@pytest.mark.parametrize("wrong", [{"port": -1}, {"port": 65536}, {"host": " "}, {"token": "short"},
                                   {"token": "with a space and more"}, {"max_megapixels": 0.0}, {"max_waiting": -1}])
def test_options_that_cannot_work_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(OptionError):
        PageOptions(**wrong)  # type: ignore[arg-type]  # what is wrong


def test_the_folder_of_a_page_is_private_and_that_of_a_killed_one_is_removed_by_the_next(tmp_path: Path) -> None:
    with private_folder(tmp_path) as own:
        assert own.stat().st_mode & 0o077 == 0
        (own / "picture.png").touch()
        with private_folder(tmp_path) as other:
            assert sorted(tmp_path.iterdir()) == sorted([own, other])
    assert list(tmp_path.iterdir()) == []
    killed = tmp_path / f"{PREFIX}killed"
    (killed / ".locks").mkdir(parents=True)
    (killed / ".locks" / "page.lock").touch()
    (killed / "picture.png").touch()
    with private_folder(tmp_path) as own:
        assert list(tmp_path.iterdir()) == [own]
