"""The `headway` command and `python -m proxy`: what is printed where, and with which exit status it ends."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from proxy import __main__, __version__
from proxy.policy.pickers import PICKERS

WEB = {"HEADWAY_TARGET": "web.shop:8080"}
WRONG = {"HEADWAY_TARGET": "web", "HEADWAY_BALANCER": "p3c", "HEADWAY_LISTN": ":80"}
WRONG_SAYS = """\
headway: 3 settings are wrong:
  HEADWAY_TARGET=web: has no port; allowed: host:port (the port is the pods' targetPort), \
srv://_port._proto.host or static://ip:port,ip:port
  HEADWAY_BALANCER=p3c: is not known; did you mean p2c?; allowed: p2c, least_connections, round_robin, \
random, peak_ewma, maglev, ordered, or module:factory for one of your own
  HEADWAY_LISTN=:80: is not a setting; did you mean HEADWAY_LISTEN?
"""


class Ended(NamedTuple):
    status: int
    out: str
    err: str


Headway = Callable[..., Ended]


def foreign() -> dict[str, str]:
    """This environment without settings that the tests do not make."""
    return {name: text for name, text in os.environ.items() if not name.startswith(("HEADWAY_", "POD_"))}


@pytest.fixture
def headway(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Headway:
    """The command, in this process: `headway("check", env={…})`."""

    def call(*arguments: str, env: dict[str, str] | None = None) -> Ended:
        monkeypatch.setattr(os, "environ", foreign() | (env or {}))
        monkeypatch.setattr(sys, "argv", ["headway", *arguments])
        with pytest.raises(SystemExit) as end:
            sys.exit(__main__.main())
        return Ended(int(end.value.code or 0), *capsys.readouterr())

    return call


def python(*arguments: str, env: dict[str, str]) -> Ended:
    """A Python process of its own."""
    done = subprocess.run(
        [sys.executable, *arguments], env=foreign() | env, capture_output=True, text=True, timeout=60
    )
    return Ended(done.returncode, done.stdout, done.stderr)


# --- headway check ------------------------------------------------------------------------------


def test_check_shows_where_each_setting_comes_from(headway: Headway) -> None:
    """Every effective setting is a line on stdout: name, value, origin."""
    env = WEB | {"HEADWAY_SERVICES": "a,b", "HEADWAY_A_TARGET": "a:80", "HEADWAY_B_TARGET": "b:81"}
    del env["HEADWAY_TARGET"]
    ended = headway(
        "check", env=env | {"HEADWAY_DNS_HOLD": "90s", "HEADWAY_B_DNS_HOLD": "1m", "POD_NAME": "x-1"}
    )
    lines = [line.split(maxsplit=2) for line in ended.out.splitlines()]

    assert (ended.status, ended.err) == (0, "")
    assert ["HEADWAY_SERVICES", "a,b", "environment"] in lines
    assert ["HEADWAY_A_TARGET", "a:80", "environment"] in lines
    assert ["HEADWAY_A_LISTEN", "127.0.0.1:80", "default"] in lines
    assert ["HEADWAY_A_DNS_HOLD", "90s", "environment, HEADWAY_DNS_HOLD"] in lines
    assert ["HEADWAY_B_DNS_HOLD", "1m", "environment"] in lines
    assert ["HEADWAY_POD_NAME", "x-1", "environment, POD_NAME"] in lines
    assert ["HEADWAY_LOG_LEVEL", "info", "default"] in lines


def test_check_is_a_table(headway: Headway) -> None:
    """Values and origins stand below each other, so that eyes and `column` can read them."""
    out = headway("check", env=WEB).out.splitlines()

    assert {line.index("  default") for line in out if line.endswith("default")} <= {len(out[0]) - 9}
    assert len({len(line) for line in out if line.endswith("default")}) == 1


def test_check_finds_every_fault(headway: Headway) -> None:
    """Wrong settings are all on stderr, none on stdout, and the status is 2."""
    assert headway("check", env=WRONG) == Ended(2, "", WRONG_SAYS)


@pytest.mark.slow
def test_a_value_that_is_not_text() -> None:
    """Bytes that no terminal can show are a fault like any other, not a crash while printing."""
    env = {**WEB, "HEADWAY_POD_NAME": "caf\udce9", "PYTHONIOENCODING": "utf-8:strict"}
    ended = python("-m", "proxy", "check", env=env)

    assert (ended.status, ended.out) == (2, "")
    assert "Traceback" not in ended.err
    assert "characters that cannot be printed" in ended.err


# --- headway itself -----------------------------------------------------------------------------


def test_version(headway: Headway) -> None:
    """The version is one line."""
    assert headway("--version") == Ended(0, f"headway {__version__}\n", "")


@pytest.mark.parametrize("arguments", [["walk"], ["check", "--loud"], ["run", "now"], ["endpoints", "here"]])
def test_wrong_use(headway: Headway, arguments: list[str]) -> None:
    """An unknown command, option or argument ends with 2 and says so on stderr."""
    ended = headway(*arguments, env=WEB)

    assert (ended.status, ended.out) == (2, "")
    assert "Error" in ended.err
    assert arguments[-1] in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("option", ["-h", "--help"])
def test_help(headway: Headway, option: str) -> None:
    """Help names every command."""
    ended = headway(option)

    assert ended.status == 0
    assert all(command in ended.out for command in ("run", "check", "demo", "endpoints", "--version"))


HELP = """
from typer.main import get_command
from proxy.cli import commands
for name in (None, *get_command(commands).commands):
    commands([name, "--help"] if name else ["--help"], prog_name="headway", standalone_mode=False)
"""


@pytest.mark.slow
def test_help_without_docstrings() -> None:
    """It is all there where Python leaves them out, as in the image."""
    whole, optimised = (
        subprocess.check_output([sys.executable, *flags, "-c", HELP], text=True) for flags in ((), ("-OO",))
    )

    assert "Put the sidecar into Kubernetes manifests" in whole
    assert optimised == whole


# --- headway endpoints --------------------------------------------------------------------------


@contextmanager
def pages(status: int, body: bytes) -> Iterator[str]:
    """The address of an HTTP server that answers every question alike."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def picture(*endpoints: str) -> bytes:
    numbers = {
        **{"state": "ready", "reason": "check passed", "connections_active": 3, "picks": 41},
        **{"share_last_minute": 0.5, "latency_seconds": 0.0123},
    }
    listed = [{"endpoint": endpoint, **numbers} for endpoint in endpoints]
    return msgspec.json.encode({"services": [{"service": "web", "endpoints": listed}]})


@pytest.mark.parametrize("by", ["option", "variable"])
def test_endpoints(headway: Headway, by: str) -> None:
    """The table has a line for each pod, IPv6 addresses in full, from wherever the admin page was put."""
    with pages(200, picture("10.0.0.1:80", "[fd00::1]:80")) as admin:
        if by == "option":
            ended = headway("endpoints", "--admin", admin)
        else:
            ended = headway("endpoints", env={"HEADWAY_ADMIN_LISTEN": admin})

    head, *lines = [line.split() for line in ended.out.splitlines()]
    assert (ended.status, ended.err) == (0, "")
    assert head == ["service", "endpoint", "state", "open", "picks", "share", "peak", "latency", "reason"]
    assert [" ".join(line) for line in lines] == [
        "web 10.0.0.1:80 ready 3 41 50% 12.3 ms check passed",
        "web [fd00::1]:80 ready 3 41 50% 12.3 ms check passed",
    ]


def test_a_penalty_is_no_latency(headway: Headway) -> None:
    """What failures cost is not shown as if somebody had waited so long."""
    body = picture("10.0.0.1:80").replace(
        b'"latency_seconds":0.0123', b'"latency_seconds":1,"latency_is_penalty":true'
    )
    with pages(200, body) as admin:
        ended = headway("endpoints", "--admin", admin)

    assert (
        " ".join(ended.out.splitlines()[1].split()) == "web 10.0.0.1:80 ready 3 41 50% penalty check passed"
    )


def test_why_an_unusable_one(headway: Headway) -> None:
    """In panic the line says so, and what is wrong with the one that was chosen all the same."""
    pick = {
        **{"time": "2026-11-24T10:00:01.500+00:00", "endpoint": "10.0.0.2:80", "tried": [], "usable": 0},
        **{"from": "panic, as none was usable: all of priority 0 are used", "panic": "none_usable"},
        **{"despite": "unhealthy: check failed: refused", "excluded": [], "scores": [], "note": ""},
    }
    with pages(200, msgspec.json.encode({"services": [{"service": "web", "picks": [pick]}]})) as admin:
        ended = headway("why", "--admin", admin)

    assert " ".join(ended.out.splitlines()[1].split()).endswith(
        "panic, as none was usable: all of priority 0 are used; it is unhealthy: check failed: refused"
    )


def test_why(headway: Headway) -> None:
    """A line for each of the last connections, the newest last: what was compared, who was left out."""
    picks = [
        {
            **{"time": "2026-11-24T10:00:01.500+00:00", "endpoint": "10.0.0.2:80", "tried": ["10.0.0.1:80"]},
            **{"usable": 2, "excluded": [{"endpoint": "10.0.0.3:80", "reason": "ejected", "why": "refused"}]},
            **{"from": "usable, priority 0", "scores": [{"endpoint": "10.0.0.2:80", "score": 3}], "note": ""},
        },
        {
            **{"time": "2026-11-24T10:00:00.250+00:00", "endpoint": "10.0.0.1:80", "tried": []},
            **{"usable": 3, "excluded": [], "from": "probing", "scores": [], "note": ""},
        },
    ]
    with pages(200, msgspec.json.encode({"services": [{"service": "web", "picks": picks}]})) as admin:
        ended = headway("why", "--admin", admin)
        latest = headway("why", "--admin", admin, "--last", "1")

    head, *lines = [" ".join(line.split()) for line in ended.out.splitlines()]
    assert (ended.status, ended.err) == (0, "")
    assert head == "time service endpoint tried compared because"
    assert lines == [
        "10:00:00.250 web 10.0.0.1:80 probing",
        "10:00:01.500 web 10.0.0.2:80 10.0.0.1:80 10.0.0.2:80 3 usable, priority 0; not 10.0.0.3:80: ejected",
    ]
    assert latest.out.splitlines()[1].strip().startswith("10:00:01.500")


def test_nobody_listens(headway: Headway) -> None:
    """Without a sidecar there is one line that says so, and the status is 1."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        admin = f"127.0.0.1:{closed.getsockname()[1]}"
        ended = headway("endpoints", "--admin", admin)

    problem = "[Errno 111] Connection refused"
    assert ended == Ended(1, "", f"headway: no admin page at {admin}: {problem}. Is the sidecar running?\n")


def test_no_such_socket_file(headway: Headway, tmp_path: Path) -> None:
    """The same when the admin page should be behind a Unix socket."""
    ended = headway("endpoints", "--admin", f"unix:{tmp_path}/admin.sock")

    assert (ended.status, ended.out, ended.err.count("\n")) == (1, "", 1)
    assert f"no admin page at unix:{tmp_path}/admin.sock: [Errno 2] No such file" in ended.err


@pytest.mark.parametrize(
    "status,body,problem",
    [
        (404, b"404: Not Found", "it answers 404 Not Found"),
        (503, b'{"services": []}', "it answers 503 Service Unavailable"),
        (200, b"hello", "Expecting value: line 1 column 1"),
    ],
)
def test_somebody_else_listens(headway: Headway, status: int, body: bytes, problem: str) -> None:
    """Any other server, the telemetry page included, is told apart from an admin page in one line."""
    with pages(status, body) as admin:
        ended = headway("endpoints", "--admin", admin)

    assert (ended.status, ended.out, ended.err.count("\n")) == (1, "", 1)
    assert ended.err.startswith(f"headway: no admin page at {admin}: {problem}")


def test_an_admin_page_that_was_turned_off(headway: Headway) -> None:
    """With HEADWAY_ADMIN_LISTEN=off there is nowhere to ask: wrong use, naming the variable."""
    ended = headway("endpoints", env={"HEADWAY_ADMIN_LISTEN": "off"})

    assert (ended.status, ended.out) == (2, "")
    assert "HEADWAY_ADMIN_LISTEN" in ended.err
    assert "Traceback" not in ended.err


# --- running ------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [[], ["run"]])
def test_running_with_wrong_settings(arguments: list[str]) -> None:
    """A container with wrong settings ends with 2, and its log has every fault and no traceback."""
    assert python("-m", "proxy", *arguments, env=WRONG) == Ended(2, "", WRONG_SAYS)


@pytest.mark.slow
@pytest.mark.parametrize("variable", ["LISTEN", "ADMIN_LISTEN", "TELEMETRY_LISTEN"])
def test_running_where_the_port_is_taken(variable: str) -> None:
    """A taken port ends it with 1 and one line that names the variable to change."""
    pages_off = {"HEADWAY_ADMIN_LISTEN": "off", "HEADWAY_TELEMETRY_LISTEN": "off"}
    env = {"HEADWAY_TARGET": "static://127.0.0.1:1", "HEADWAY_LISTEN": "127.0.0.1:0"} | pages_off
    with socket.create_server(("127.0.0.1", 0)) as holder:
        taken = f"127.0.0.1:{holder.getsockname()[1]}"
        ended = python("-m", "proxy", env=env | {f"HEADWAY_{variable}": taken})

    assert ended == Ended(
        1,
        "",
        f"headway: cannot listen on {taken}: Address already in use."
        f" Something else has it: choose another HEADWAY_{variable}.\n",
    )


# What costs memory is loaded for those alone who use it.
NOT_BY_DEFAULT = [
    *("click", "dnslib", "h2", "rich", "typer"),
    *("proxy.controlpath.check_http", "proxy.datapath.rebalancer", "proxy.datapath.spares"),
    *("proxy.datapath.hash_key", "proxy.datapath.sni"),
    *("proxy.datapath.proxy_header", "proxy.policy.proxy_protocol"),
    *(f"proxy.policy.pickers.{name}" for name in PICKERS if name != "p2c"),
]
RUN = """
import sys
from proxy.__main__ import main
status = main(["run"])
print("paid for:", *sorted(set(sys.argv[1:]) & sys.modules.keys()))
sys.exit(status)
"""


@pytest.mark.slow
def test_a_whole_life(tmp_path: Path, headway: Headway) -> None:
    """A sidecar runs without what nobody asked it for, shows its endpoints, and leaves no socket file."""
    admin = f"unix:{tmp_path}/admin.sock"
    env = {
        "HEADWAY_TARGET": "static://127.0.0.1:1",
        "HEADWAY_LISTEN": f"unix:{tmp_path}/web.sock",
        "HEADWAY_ADMIN_LISTEN": admin,
        "HEADWAY_TELEMETRY_LISTEN": "127.0.0.1:0",
        "HEADWAY_DRAIN_QUIET": "0",
    }
    command = [sys.executable, "-u", "-c", RUN, *NOT_BY_DEFAULT]
    with subprocess.Popen(
        command, env=foreign() | env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        assert any(" is up" in line for line in process.stdout)
        shown = headway("endpoints", "--admin", admin)
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()

    assert shown.status == 0
    assert "127.0.0.1:1" in shown.out
    assert process.returncode == 0, rest
    assert rest.endswith("paid for:\n")
    assert os.listdir(tmp_path) == []
