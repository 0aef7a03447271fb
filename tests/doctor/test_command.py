"""`headway doctor` as users run it: what stands on the terminal, and the exit status."""

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest

from proxy.demo.ports import free_ports
from proxy.doctor import report
from proxy.doctor.seen import Place, Server, Survey
from proxy.model import Address, AnswerKind
from proxy.policy.records import Reply
from proxy.policy.resolv_conf import ResolvConf
from tests.doctor.scene import IPS, WEB, Cluster, with_cluster
from tests.support import eventually


class Ended(NamedTuple):
    status: int
    out: str
    err: str


def command(*arguments: str, **settings: str) -> Ended:
    """`headway doctor` in a process of its own, on this machine's own resolv.conf."""
    done = subprocess.run(
        [sys.executable, "-m", "proxy", "doctor", *arguments],
        env=environment(settings),
        capture_output=True,
        text=True,
        timeout=60,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def environment(settings: dict[str, str]) -> dict[str, str]:
    foreign = {n: text for n, text in os.environ.items() if not n.startswith(("HEADWAY_", "POD_"))}
    return foreign | {f"HEADWAY_{name}": value for name, value in settings.items()}


@pytest.mark.slow
def test_all_is_well(tmp_path: Path) -> None:
    """A line for each thing looked at, nothing on stderr, status 0; a sidecar may run beside it."""

    async def test(world: Cluster) -> None:
        with socket.create_server(("127.0.0.1", 0)) as sidecar:
            listen = f"127.0.0.1:{sidecar.getsockname()[1]}"
            ended = await asyncio.to_thread(
                command,
                *("--watch", "2"),
                TARGET=f"{WEB}:{world.port}",
                LISTEN=listen,
                DNS_SERVERS=world.dns.address,
            )

        assert (ended.status, ended.err) == (0, "")
        head, server, _, service, *fine, _, last = re.sub(
            r"within 2\.\d s", "within 2 s", ended.out
        ).splitlines()
        assert head.startswith("DNS (/etc/resolv.conf: search")
        assert server.startswith(f"  ok  name server {world.dns.address} answers in")
        assert service == f"web ({WEB}:{world.port})"
        assert fine == [
            f"  ok  {WEB} exists",
            "  ok  headless: SRV names 3 pods",
            "  ok  3 endpoints; the answer fits a datagram",
            f"  ok  {world.dns.address} does not answer from a cache: the ttl stays 30",
            "  ok  all answers agree in 3 looks within 2 s",
            "  ok  3 of 3 pods accept connections",
        ]
        assert last == "All is well."

    with_cluster(tmp_path, test)


@pytest.mark.slow
@pytest.mark.parametrize("as_json", [False, True])
def test_findings(tmp_path: Path, as_json: bool) -> None:
    """Each finding has its fix, lines fit a terminal, the status is 1; `--json` has the same for scripts."""

    async def test(world: Cluster) -> None:
        (wrong,) = free_ports(1, IPS)
        ended = await asyncio.to_thread(
            command,
            *("--watch", "0", *["--json"] * as_json),
            SERVICES="web,api,list",
            WEB_TARGET=f"{WEB}:{wrong}",
            API_TARGET="api.demo.svc.cluster.local.:80",
            LIST_TARGET="static://127.0.0.21:1",
            DNS_SERVERS=world.dns.address,
        )

        assert (ended.status, ended.err) == (1, "")
        if as_json:
            found = msgspec.json.decode(ended.out)["findings"]
            assert [set(each) for each in found] == [{"service", "code", "what", "fix"}] * 3
            assert [(each["service"], each["code"]) for each in found] == [
                ("web", "port_closed"),
                ("api", "name_not_found"),
                ("list", "checks_fail"),
            ]
        else:
            assert "  !!  port_closed: port" in ended.out
            assert f"      fix: HEADWAY_WEB_TARGET={WEB}:{world.port}: the port must be" in ended.out
            assert ended.out.count("      fix: ") == 3
            assert ended.out.endswith("\n3 findings.\n")
            assert max(map(len, ended.out.splitlines())) <= 100

    with_cluster(tmp_path, test)


@pytest.mark.slow
def test_a_failing_query_is_said_once() -> None:
    """The resolver's own warnings stay out of it: stderr is empty, and what follows from it is left out."""
    (port,) = free_ports(1)
    ended = command(TARGET="web.demo:80", DNS_SERVERS=f"127.0.0.1:{port}")

    assert (ended.status, ended.err) == (1, "")
    assert "  !!  dns_silent: name server 127.0.0.1" in ended.out
    assert ended.out.endswith(
        "web (web.demo:80)\n  --  not looked at: no name server answers\n\n1 finding.\n"
    )


@pytest.mark.slow
def test_wrong_settings_are_shown_as_by_check() -> None:
    """Without right settings there is nothing to look at: status 2, and what `headway check` says."""
    wrong = {"TARGET": "web", "BALANCER": "p3c"}
    ended = command(**wrong)
    check = subprocess.run(
        [sys.executable, "-m", "proxy", "check"], env=environment(wrong), capture_output=True, text=True
    )

    assert ended == Ended(check.returncode, "", check.stderr)
    assert ended.status == 2
    assert "2 settings are wrong" in ended.err


@pytest.mark.slow
@pytest.mark.parametrize("watch", ["-1", "nan", "3601", "long"])
def test_a_wrong_watch(watch: str) -> None:
    """Wrong use ends with 2 in a sentence, not in a traceback."""
    ended = command("--watch", watch, TARGET="static://127.0.0.1:1", LISTEN="127.0.0.1:0")

    assert (ended.status, ended.out) == (2, "")
    assert "--watch" in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.slow
def test_ctrl_c(tmp_path: Path) -> None:
    """Whoever has waited long enough gets the terminal back without a traceback."""

    async def test(world: Cluster) -> None:
        settings = {"TARGET": f"{WEB}:{world.port}", "DNS_SERVERS": world.dns.address}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "proxy", "doctor", "--watch", "60"),
            env=environment(settings),
            stderr=asyncio.subprocess.PIPE,
        )

        async def watching() -> bool:
            return world.dns.count("A", WEB) >= 2

        await eventually(watching)
        process.send_signal(signal.SIGINT)
        _, said = await process.communicate()

        assert process.returncode == 130
        assert b"Traceback" not in said

    with_cluster(tmp_path, test)


def test_what_a_file_smuggles_in_does_not_reach_the_terminal() -> None:
    """resolv.conf may hold anything, even what would colour the terminal or no encoding could print."""
    place = Place(ResolvConf(domains=("\x1b[31mred", "caf\ufffd")))
    server = Server(Address("10.96.0.10", 53), Reply(AnswerKind.EMPTY, "empty"))
    text = report.as_text(report.Report.of(Survey(place, (server,), ())))

    assert text.splitlines()[0] == ("DNS (/etc/resolv.conf: search \\x1b[31mred caf\\ufffd; ndots 1)")
