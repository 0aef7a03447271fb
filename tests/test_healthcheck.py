"""The image's HEALTHCHECK finds the pages wherever they are, and believes nothing but a 200."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from proxy import healthcheck
from proxy.healthcheck import ALIVE, DEAD, main

TELEMETRY, ADMIN = "HEADWAY_TELEMETRY_LISTEN", "HEADWAY_ADMIN_LISTEN"
OFF = {TELEMETRY: "off", ADMIN: "off"}


def answering(server: socket.socket, answer: bytes) -> None:
    """Answer one request in a thread of its own, which ends with it."""

    def answers() -> None:
        connection, _ = server.accept()
        with connection:
            assert connection.recv(100).startswith(b"GET /livez HTTP/1.0\r\n")
            connection.sendall(answer)

    Thread(target=answers, daemon=True).start()


@pytest.fixture
def page() -> Iterator[int]:
    """The port of a page that says it is alive, once."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        answering(server, b"HTTP/1.0 200 OK\r\n\r\nalive\n")
        yield server.getsockname()[1]


@pytest.mark.parametrize(
    "listen",
    [":{}", "127.0.0.1:{}", "localhost:{}", "0.0.0.0:{}", " [::]:{} ", ":{}?backlog=64&reuseport"],
)
def test_it_follows_telemetry(page: int, listen: str) -> None:
    """Every address includes this machine's own."""
    assert main(OFF | {TELEMETRY: listen.format(page)}) == ALIVE


@pytest.mark.parametrize("telemetry", ["off", "127.0.0.1:0"])
def test_without_telemetry_the_admin_pages_tell(page: int, telemetry: str) -> None:
    """They have the same page."""
    assert main({TELEMETRY: telemetry, ADMIN: f"127.0.0.1:{page}"}) == ALIVE


def test_a_unix_socket(tmp_path: Path) -> None:
    """It is asked like any other."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{tmp_path}/pages")
        server.listen()
        answering(server, b"HTTP/1.0 200 OK\r\n\r\n")

        assert main({TELEMETRY: f"unix:{tmp_path}/pages?mode=0660"}) == ALIVE
    assert main({TELEMETRY: f"unix:{tmp_path}/none"}) == DEAD


def test_nobody_to_ask() -> None:
    """Then all that is known is that the container runs."""
    assert main(OFF) == ALIVE


def test_no_200(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """An error, silence and a refusal are no sign of life."""
    monkeypatch.setattr(healthcheck, "WITHIN_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as server:
        here = f"127.0.0.1:{server.getsockname()[1]}"
        assert main({TELEMETRY: here}) == DEAD  # it is accepted by the kernel, and hears nothing
        server.accept()[0].close()
        answering(server, b"HTTP/1.0 500 Internal Server Error\r\n\r\n")
        monkeypatch.undo()
        assert main({TELEMETRY: here}) == DEAD
    assert main({TELEMETRY: here}) == DEAD
    assert "refused" in capsys.readouterr().out


def test_it_costs_little() -> None:
    """As the Dockerfile runs it: without what is installed, and without the codecs of host names."""
    code = "import sys, runpy\nrunpy.run_path(sys.argv[1])['main']({})\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-ISc", code, healthcheck.__file__], env={}, capture_output=True, text=True
    )

    assert not {"encodings.idna", "asyncio", "proxy", "json", "ssl"} & set(done.stdout.split())
