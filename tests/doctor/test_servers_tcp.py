"""`headway doctor` where a large answer comes to nothing because TCP leads nowhere."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.controlpath.asking import scripted
from tests.doctor.scene import KUBERNETES, WEB, Cluster, Ended, quiet_ips, with_cluster

BIG = pytest.mark.parametrize("big", [{WEB}, {WEB, KUBERNETES}], ids=["the service", "all that is asked"])


@contextmanager
def tcp_dropped(ip: str, port: int) -> Iterator[None]:
    """A port whose SYNs go unanswered, as behind a firewall: its queue is full."""
    held = []
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((ip, port))
        listener.listen(0)
        for _ in range(4):
            held.append(socket.socket())
            held[-1].setblocking(False)
            held[-1].connect_ex((ip, port))
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
        async with scripted(lambda query, _: world.dns.packet(query, "udp") or b"") as server:
            with tcp_dropped(*server):
                is_truncated(await world.doctor(DNS_SERVERS=str(server), DNS_TIMEOUT="500ms"))

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
