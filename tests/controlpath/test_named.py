"""Discovery against BIND: a service scaled by dynamic updates, as external-dns and Kubernetes' kin do it."""

from collections.abc import Awaitable, Callable

import pytest

from proxy.demo.dns import DnsServer
from proxy.model import Address
from tests.controlpath.asking import WEB, resolver
from tests.controlpath.world import NO_SEARCH, SRV_NAME, SRV_TARGET, World
from tests.support import run
from tests.support.named import Named, needs_named

pytestmark = [pytest.mark.slow, needs_named]

PODS = [f"127.0.{number // 100}.{number % 100 + 1}" for number in range(200)]


def host(number: int) -> str:
    return f"web-{number}.web.demo.svc.cluster.local."


def with_named(test: Callable[[World, Named], Awaitable[None]], **settings: str) -> None:
    async def story() -> None:
        async with Named() as named:
            asking = resolver(Address(named.ip, named.port))
            await test(World(DnsServer(), asking, NO_SEARCH, **settings), named)

    run(story(), within_s=60.0)


async def publish(named: Named, *pods: int) -> None:
    """These pods are what the SRV name lists; each on its own port."""
    for number in pods:
        await named.set(host(number), [PODS[number]])
    await named.set_srv(SRV_NAME, [(0, 50, 8000 + number, host(number)) for number in pods])


def test_a_service_is_scaled() -> None:
    """Up, down, to zero and back: after each update one poll has exactly the pods of the zone."""

    async def test(world: World, named: Named) -> None:
        for pods in (PODS[:3], PODS[:10], PODS[2:5], [PODS[7], "fd00::7"]):
            await named.set(WEB, pods)
            await world.discovery.poll()
            assert world.ips == sorted(pods)

        await named.set(WEB, [])
        await world.discovery.poll()
        assert world.ips == sorted([PODS[7], "fd00::7"])  # not believed yet
        world.clock.advance(30)
        await world.discovery.poll()
        assert world.ips == []

        await named.set(WEB, PODS[:2])
        await world.discovery.poll()
        assert world.ips == sorted(PODS[:2])

    with_named(test)


def test_a_service_with_srv_is_scaled() -> None:
    """The same with SRV: names and ports of the records, addresses from BIND's additional section."""

    async def test(world: World, named: Named) -> None:
        for pods in ((0, 1, 2), (0, 1, 2, 3, 4, 5), (4, 5), (5,)):
            await publish(named, *pods)
            await world.discovery.poll()
            assert world.pods == sorted(f"{PODS[n]}:{8000 + n} (web-{n})" for n in pods)

        await publish(named)
        await world.discovery.poll()
        assert world.ips == [PODS[5]]
        world.clock.advance(30)
        await world.discovery.poll()
        assert world.ips == []

        await publish(named, 1)
        await world.discovery.poll()
        assert world.pods == [f"{PODS[1]}:8001 (web-1)"]

    with_named(test, TARGET=SRV_TARGET)


def test_a_hundred_pods() -> None:
    """BIND says TC over UDP, and all of them over TCP."""

    async def test(world: World, named: Named) -> None:
        await named.set(WEB, PODS[:100])  # its max-records-per-type
        await world.discovery.poll()

        assert world.ips == sorted(PODS[:100])
        assert world.results == {"ok": 1, "empty": 1}
        transports = {each.qtype: each.transport for each in world.pool.roster.history[-1].exchanges}
        assert transports == {"A": "tcp", "AAAA": "udp"}

    with_named(test)


def test_forty_srv_targets() -> None:
    """BIND's answer with 40 targets takes TCP, or follow-up queries: each pod is known either way."""

    async def test(world: World, named: Named) -> None:
        await publish(named, *range(40))
        await world.discovery.poll()

        assert world.pods == sorted(f"{PODS[n]}:{8000 + n} (web-{n})" for n in range(40))

    with_named(test, TARGET=SRV_TARGET)


def test_an_alias() -> None:
    """A CNAME in the zone is followed, and so is a change of where it leads."""

    async def test(world: World, named: Named) -> None:
        await named.set("blue.demo.svc.cluster.local.", PODS[:2])
        await named.set("green.demo.svc.cluster.local.", PODS[2:4])
        for target, pods in (("blue", PODS[:2]), ("green", PODS[2:4])):
            await named.update(
                f"update delete {WEB} CNAME", f"update add {WEB} 30 CNAME {target}.demo.svc.cluster.local."
            )
            await world.discovery.poll()
            assert world.ips == sorted(pods)

    with_named(test)


@pytest.mark.parametrize(
    "name,result", [("nobody.demo.svc.cluster.local.", "nxdomain"), ("elsewhere.example.", "refused")]
)
def test_how_bind_says_no(name: str, result: str) -> None:
    """No such name in its zone is NXDOMAIN; a name of no zone of its own is REFUSED: nothing is learned."""

    async def test(world: World, named: Named) -> None:
        assert (await world.query(name, "A")).result == result

    with_named(test)


def test_a_server_that_ends_keeps_all() -> None:
    """BIND is stopped: the pods stay, and its address is unreachable."""

    async def test(world: World, named: Named) -> None:
        await named.set(WEB, PODS[:3])
        await world.discovery.poll()
        await named.child.stop()
        world.clock.advance(600)
        await world.discovery.poll()

        assert world.ips == sorted(PODS[:3])
        assert world.results["unreachable"] == 2

    with_named(test)
