"""Discovery against a real name server: what the pool holds after good, bad and late answers."""

import logging

import pytest

from proxy.demo.zone import Mode
from proxy.policy.endpoint import State
from proxy.tasks import spawn
from tests.controlpath.asking import IPS, WEB
from tests.controlpath.world import World, with_world
from tests.support import virtual

V6 = ("fd00::11", "fd00::12")


# --- answers ------------------------------------------------------------------------------------


def test_pods_come_and_go() -> None:
    """Each poll brings the pool up to date, both families together, with the target's port."""

    async def test(world: World) -> None:
        await world.discovery.poll()
        assert world.ips == sorted(IPS)

        world.dns.set(WEB, ["127.0.0.12", "127.0.0.14", *V6])
        await world.discovery.poll()

        assert world.ips == ["127.0.0.12", "127.0.0.14", *V6]
        assert {endpoint.address.port for endpoint in world.pool.members} == {80}

    with_world(test, by=virtual.with_sockets)


@pytest.mark.parametrize("family,qtype", [("ipv4", "A"), ("ipv6", "AAAA")])
def test_one_family_only(family: str, qtype: str) -> None:
    """With IP_FAMILY set, the other family is not even asked for."""

    async def test(world: World) -> None:
        world.dns.set(WEB, [*IPS, *V6])
        await world.discovery.poll()

        assert world.ips == sorted(IPS if family == "ipv4" else V6)
        assert world.dns.count() == world.dns.count(qtype) == 1

    with_world(test, by=virtual.with_sockets, IP_FAMILY=family)


@pytest.mark.parametrize("mode", ["servfail", "refused", "drop"])
def test_a_broken_name_server_never_shrinks_the_pool(mode: Mode) -> None:
    """However long it fails, and however: the pods known stay."""

    async def test(world: World) -> None:
        await world.discovery.poll()
        world.dns.mode = mode
        for _ in range(2):
            world.clock.advance(60)
            await world.discovery.poll()

        assert world.ips == sorted(IPS)
        assert world.pool.roster.last_good_at == 1000.0  # anyone can see how old the answer is

    with_world(test, by=virtual.with_sockets)


@pytest.mark.parametrize("mode", ["nxdomain", "empty"])
def test_nobody_there_is_believed_after_the_hold(mode: Mode) -> None:
    """That all pods are gone is believed when DNS has said so for DNS_HOLD; then they are gone."""

    async def test(world: World) -> None:
        await world.discovery.poll()
        world.dns.mode = mode
        for _ in range(6):
            await world.discovery.poll()
            assert world.ips == sorted(IPS)
            world.clock.advance(5)
        await world.discovery.poll()

        assert world.ips == []

        world.dns.mode = "answer"
        await world.discovery.poll()

        assert world.ips == sorted(IPS)

    with_world(test, by=virtual.with_sockets, DNS_HOLD="30s")


@pytest.mark.parametrize("broken,working,lost", [("AAAA", IPS[:2], V6), ("A", V6[:1], IPS)])
@pytest.mark.parametrize("mode", ["servfail", "drop"])
def test_one_family_failing_keeps_its_endpoints(
    broken: str, working: tuple[str, ...], lost: tuple[str, ...], mode: Mode
) -> None:
    """While AAAA fails, v4 pods come and go and the v6 pods known stay; and the other way round."""

    async def test(world: World) -> None:
        world.dns.set(WEB, [*IPS, *V6])
        await world.discovery.poll()
        world.dns.set(WEB, working)
        world.dns.mode_for[broken] = mode
        await world.discovery.poll()

        assert world.ips == sorted([*working, *lost])

        world.dns.mode_for.clear()
        await world.discovery.poll()

        assert world.ips == sorted(working)

    with_world(test, by=virtual.with_sockets)


@pytest.mark.parametrize("slow", ["A", "AAAA"])
def test_a_slow_family_does_not_delay_the_other(slow: str) -> None:
    """Pods of the family that answers are used while the other's query is still waiting."""

    async def test(world: World) -> None:
        world.dns.set(WEB, [IPS[0], V6[0]])
        world.dns.delay_for[slow] = 0.06
        polling = spawn(world.discovery.poll(), name="poll")

        await world.has([V6[0] if slow == "A" else IPS[0]])
        assert not polling.done()

        await polling
        assert world.ips == [IPS[0], V6[0]]

    with_world(test, by=virtual.with_sockets)


def test_queries_are_counted_by_result() -> None:
    """The metrics tell what DNS said, family by family."""

    async def test(world: World) -> None:
        world.dns.mode_for["AAAA"] = "servfail"
        await world.discovery.poll()
        world.dns.mode = "nxdomain"
        await world.discovery.poll()

        assert world.pool.counters.dns_queries == {"ok": 1, "servfail": 2, "nxdomain": 1}

    with_world(test, by=virtual.with_sockets)


def test_it_never_dials_itself(caplog: pytest.LogCaptureFixture) -> None:
    """An address where the service itself listens is no endpoint: one connection would become thousands."""

    async def test(world: World) -> None:
        world.ours = {IPS[0]}
        for _ in range(3):
            await world.discovery.poll()
        assert world.ips == sorted(IPS[1:])

        world.ours |= {"127.0.0.98"}
        world.dns.set(WEB, [IPS[0], "127.0.0.98"])
        await world.discovery.poll()
        assert world.ips == sorted(IPS[1:])
        assert world.pool.membership.reason.startswith("empty not believed yet")

    with_world(test, by=virtual.with_sockets, IP_FAMILY="ipv4")
    said = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert said[0] == f"web: DNS leads back to {IPS[0]}:80, where this service itself listens: not used"
    assert [IPS[0] in line for line in said] == [True, False]  # once for each, not with every poll


@pytest.mark.parametrize("delay_s,steps", [(0.02, 1), (0.07, 2)])
def test_the_first_answer_is_both_families(
    delay_s: float, steps: int, caplog: pytest.LogCaptureFixture
) -> None:
    """One family's addresses wait a moment for the other's; later ones are still used from the start."""
    caplog.set_level(logging.INFO, "headway.pool")

    async def test(world: World) -> None:
        world.dns.set(WEB, [*IPS, "fd00::11"])
        world.dns.delay_for["A"] = delay_s
        await world.discovery.poll()

        assert len(world.ips) == 4
        assert {endpoint.state for endpoint in world.pool.members} == {State.READY}
        assert sum("added" in line for line in caplog.messages) == steps

    with_world(test, by=virtual.with_sockets)
