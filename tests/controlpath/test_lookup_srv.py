"""SRV against a real name server: port, name, tier and weight from the record, addresses from the glue."""

import logging

import pytest

from proxy.model import Address
from tests.controlpath.asking import IPS
from tests.controlpath.world import SRV_NAME, SRV_TARGET, World, with_world
from tests.support import virtual

WEB_0, WEB_1, WEB_2 = HOSTS = [f"web-{number}.web.demo.svc.cluster.local." for number in range(3)]
V6 = ("fd00::11", "fd00::12", "fd00::13")


def publish(world: World, *pods: int, port: int = 80) -> None:
    """These pods have their addresses, and are listed."""
    for number in pods:
        world.dns.set(HOSTS[number], [IPS[number]])
    world.dns.set_srv(SRV_NAME, [(HOSTS[number], port + number) for number in pods])


def test_forty_pods_on_forty_ports() -> None:
    """Each pod with the port and name of its record, by one query over TCP: the glue has the addresses."""

    async def test(world: World) -> None:
        hosts = [
            (f"web-{number}.{'x' * 40}.web.demo.svc.cluster.local.", 8000 + number) for number in range(40)
        ]
        for number, (host, _) in enumerate(hosts):
            world.dns.set(host, [f"127.0.1.{number + 1}"])
        world.dns.set_srv(SRV_NAME, hosts)
        await world.discovery.poll()

        assert world.pods == sorted(
            f"127.0.1.{number + 1}:{8000 + number} (web-{number})" for number in range(40)
        )
        assert [(query.qtype, query.transport) for query in world.dns.queries] == [
            ("SRV", "udp"),
            ("SRV", "tcp"),
        ]
        assert world.results == {"ok": 1}

    with_world(test, TARGET=SRV_TARGET, timeout_s=2.0)


def test_pods_come_go_and_move() -> None:
    """A pod added, one gone, one on another port: the pool has what the records say, poll by poll."""

    async def test(world: World) -> None:
        publish(world, 0, 1)
        await world.discovery.poll()
        assert world.pods == ["127.0.0.11:80 (web-0)", "127.0.0.12:81 (web-1)"]

        publish(world, 1, 2)
        await world.discovery.poll()
        assert world.pods == ["127.0.0.12:81 (web-1)", "127.0.0.13:82 (web-2)"]

        publish(world, 1, 2, port=90)
        await world.discovery.poll()
        assert world.pods == ["127.0.0.12:91 (web-1)", "127.0.0.13:92 (web-2)"]

    with_world(test, TARGET=SRV_TARGET)


def test_a_pod_with_both_families_is_one_endpoint() -> None:
    """Its IPv6 address is its other address, not another pod."""

    async def test(world: World) -> None:
        world.dns.set(WEB_0, [IPS[0], V6[0]])
        world.dns.set_srv(SRV_NAME, [(WEB_0, 80)])
        await world.discovery.poll()

        (endpoint,) = world.pool.members
        assert (endpoint.address, endpoint.other) == (Address(IPS[0], 80), Address(V6[0], 80))

    with_world(test, TARGET=SRV_TARGET)


@pytest.mark.parametrize("family,ips", [("ipv4", [IPS[0]]), ("ipv6", [V6[0]])])
def test_ip_family(family: str, ips: list[str]) -> None:
    """With IP_FAMILY set, only addresses of it are used, also from the glue."""

    async def test(world: World) -> None:
        world.dns.set(WEB_0, [IPS[0], V6[0]])
        world.dns.set_srv(SRV_NAME, [(WEB_0, 80)])
        await world.discovery.poll()

        assert world.ips == ips
        assert world.pool.members[0].other is None

    with_world(test, TARGET=SRV_TARGET, IP_FAMILY=family)


def test_priorities_and_weights() -> None:
    """A lower priority is for when all others fail; weights count against the average of their tier."""

    async def test(world: World) -> None:
        for host, ip in zip(HOSTS, IPS, strict=True):
            world.dns.set(host, [ip])
        world.dns.set_srv(SRV_NAME, [(WEB_0, 80, 10, 30), (WEB_1, 80, 10, 10), (WEB_2, 80, 20, 7)])
        await world.discovery.poll()

        facts = {each.address.ip: (each.priority, each.weight) for each in world.pool.members}
        assert facts == {IPS[0]: (10, 1.5), IPS[1]: (10, 0.5), IPS[2]: (20, 1.0)}

        world.dns.set_srv(SRV_NAME, [(WEB_0, 80, 30, 1), (WEB_1, 80, 10, 1), (WEB_2, 80, 10, 1)])
        await world.discovery.poll()

        facts = {each.address.ip: (each.priority, each.weight) for each in world.pool.members}
        assert facts == {IPS[0]: (30, 1.0), IPS[1]: (10, 1.0), IPS[2]: (10, 1.0)}

    with_world(test, TARGET=SRV_TARGET)


@pytest.mark.parametrize("mode", ["servfail", "drop"])
def test_a_failed_srv_query_keeps_all(mode: str) -> None:
    """Nothing was learned: the pods stay, and none of their names is asked for."""

    async def test(world: World) -> None:
        publish(world, 0, 1)
        await world.discovery.poll()
        world.dns.mode_for["SRV"] = mode  # type: ignore[assignment]
        world.dns.queries.clear()
        await world.discovery.poll()

        assert world.ips == list(IPS[:2])
        assert {query.qtype for query in world.dns.queries} == {"SRV"}

    with_world(test, by=virtual.with_sockets, TARGET=SRV_TARGET)


def test_no_record_is_nobody() -> None:
    """When the SRV name is gone, nobody is there, which is believed after the hold."""

    async def test(world: World) -> None:
        publish(world, 0, 1)
        await world.discovery.poll()
        publish(world)
        await world.discovery.poll()
        assert world.ips == list(IPS[:2])

        world.clock.advance(30)
        await world.discovery.poll()
        assert world.ips == []
        assert world.results == {"ok": 1, "nxdomain": 2}

    with_world(test, TARGET=SRV_TARGET)


def test_the_target_of_a_dot_is_no_pod() -> None:
    """RFC 2782: a target of "." says that the service is decidedly not available."""

    async def test(world: World) -> None:
        world.dns.set_srv(SRV_NAME, [(".", 80)])
        await world.discovery.poll()

        assert world.ips == []
        assert world.pool.resolved
        assert world.dns.count() == 1

    with_world(test, TARGET=SRV_TARGET)


@pytest.mark.parametrize("ours", [{IPS[0]}, {V6[0]}, {IPS[0], V6[0]}])
def test_it_never_dials_itself(ours: set[str], caplog: pytest.LogCaptureFixture) -> None:
    """No address of a pod, neither its first nor its other one, is where the service itself listens."""

    async def test(world: World) -> None:
        world.ours = ours
        world.dns.set(WEB_0, [IPS[0], V6[0]])
        world.dns.set(WEB_1, [IPS[1]])
        world.dns.set_srv(SRV_NAME, [(WEB_0, 80), (WEB_1, 80)])
        for _ in range(3):
            await world.discovery.poll()

        used = {
            address.ip for each in world.pool.members for address in (each.address, each.other) if address
        }
        assert used == {IPS[0], V6[0], IPS[1]} - ours

    with_world(test, TARGET=SRV_TARGET)
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(said) == 1
    assert "where this service itself listens: not used" in said[0]


def test_two_ports_of_one_pod_are_two_endpoints() -> None:
    """Two records with one target and two ports: each is served."""

    async def test(world: World) -> None:
        world.dns.set(WEB_0, [IPS[0]])
        world.dns.set_srv(SRV_NAME, [(WEB_0, 80), (WEB_0, 81)])
        await world.discovery.poll()

        assert world.pods == ["127.0.0.11:80 (web-0)", "127.0.0.11:81 (web-0)"]

    with_world(test, TARGET=SRV_TARGET)


def test_several_addresses_of_one_name() -> None:
    """A target with two IPv4 addresses is two endpoints of that name."""

    async def test(world: World) -> None:
        world.dns.set(WEB_0, IPS[:2])
        world.dns.set_srv(SRV_NAME, [(WEB_0, 80)])
        await world.discovery.poll()

        assert world.pods == ["127.0.0.11:80 (web-0)", "127.0.0.12:80 (web-0)"]

    with_world(test, TARGET=SRV_TARGET)


def test_cut_off_over_tcp_nobody_leaves() -> None:
    """Of a list that is cut off even over TCP, those it has join; those it lacks stay."""

    async def test(world: World) -> None:
        publish(world, 0, 1)
        await world.discovery.poll()
        publish(world, 2)
        world.dns.script = lambda query, transport: _with_tc(world.dns.packet(query, transport))
        await world.discovery.poll()

        assert world.ips == list(IPS)
        assert world.pool.membership.reason == "obeyed; 2 kept: the answer is truncated"

    with_world(test, timeout_s=20.0, TARGET=SRV_TARGET)


def _with_tc(packet: bytes | None) -> bytes:
    assert packet is not None
    return packet[:2] + bytes([packet[2] | 0x02]) + packet[3:]
