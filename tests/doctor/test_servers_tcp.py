"""`headway doctor` where a large answer comes to nothing because TCP leads nowhere."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.controlpath.asking import scripted
from tests.doctor.scene import KUBERNETES, WEB, Cluster, Ended, quiet_ips, with_cluster

BIG = pytest.mark.parametrize("big", [{WEB}, {WEB, KUBERNETES}], ids=["the service", "all that is asked"])


def bound(ip: str, port: int) -> socket.socket | None:
    """A TCP socket at the port that UDP was given; None where TCP has it in use for something else."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((ip, port))
    except OSError:
        sock.close()
        return None
    return sock


@contextmanager
def dropping(listener: socket.socket) -> Iterator[None]:
    """Its SYNs go unanswered, as behind a firewall: its queue is full."""
    held = []
    with listener:
        listener.listen(0)
        for _ in range(4):
            held.append(socket.socket())
            held[-1].setblocking(False)
            held[-1].connect_ex(listener.getsockname())
        try:
            yield
        finally:
            for each in held:
                each.close()


def enlarge(world: Cluster, big: set[str]) -> None:
    for name in big:
        world.dns.set(name, quiet_ips(200))


def is_truncated(ended: Ended) -> None:
    """Every finding says so, and one of them names the question."""
    assert ended.status == 1
    assert set(ended.codes) == {"truncated"}, ended.findings
    assert any(f"A {WEB}" in finding.what for finding in ended.findings)


@pytest.mark.slow
@BIG
def test_tcp_is_dropped(tmp_path: Path, big: set[str]) -> None:
    """The answer does not fit and no connection comes about: that is no silent server."""

    async def test(world: Cluster) -> None:
        enlarge(world, big)
        for _ in range(20):
            async with scripted(lambda query, _: world.dns.packet(query, "udp") or b"") as server:
                if (listener := bound(*server)) is not None:
                    with dropping(listener):
                        is_truncated(await world.doctor(DNS_SERVERS=str(server), DNS_TIMEOUT="500ms"))
                    return
        raise AssertionError("no port is free for UDP and TCP at once")

    with_cluster(tmp_path, test)


@pytest.mark.slow
@BIG
def test_tcp_does_not_answer(tmp_path: Path, big: set[str]) -> None:
    """The connection comes about, and nothing by it."""

    async def test(world: Cluster) -> None:
        enlarge(world, big)
        world.dns.script = lambda query, transport: () if transport == "tcp" else None
        is_truncated(await world.doctor(DNS_TIMEOUT="500ms"))

    with_cluster(tmp_path, test)
