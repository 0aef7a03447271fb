"""The shrink guard from the name server to the pool: when the confirming poll comes, and what it decides."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from proxy.demo.zone import Mode
from proxy.tasks import spawn
from tests.controlpath.asking import WEB
from tests.controlpath.world import NO_SEARCH, World, with_world
from tests.support import eventually, run

TEN = [f"127.0.0.{number}" for number in range(11, 21)]


def with_guard(test: Callable[[World], Awaitable[None]], family: str = "ipv4") -> None:
    """An interval of an hour: whatever comes sooner was asked for."""
    settings = {"DNS_SHRINK_GUARD": "50%", "DNS_INTERVAL": "1h", "IP_FAMILY": family}
    with_world(test, NO_SEARCH, 1.0, run, **settings)


async def polls(world: World, count: int) -> list[float]:
    """When the first so many polls were decided on, on the world's clock."""

    async def enough() -> bool:
        return len(world.pool.roster.history) >= count

    await eventually(enough)
    return [heard.at for heard in world.pool.roster.history]


def test_a_hiccup_changes_nothing() -> None:
    """An answer that drops 8 of 10 once, and restores them a second later: all ten serve all the time."""

    async def test(world: World) -> None:
        world.dns.set(WEB, TEN)
        await world.discovery.poll()
        members = world.pool.members
        said = iter([TEN[:2]])

        def hiccup(query: object, transport: object) -> None:
            world.dns.set(WEB, next(said, TEN))

        world.dns.script = hiccup
        changes: list[list[str]] = []
        world.pool.on_members_changed = lambda: changes.append(world.ips)
        polling = spawn(world.discovery.run(), name="discovery")
        await polls(world, 3)

        assert [heard.decision for heard in world.pool.roster.history] == ["obeyed", "guarded", "obeyed"]
        assert changes == []
        assert world.pool.members == members
        assert not world.pool.membership.held
        polling.cancel()

    with_guard(test)


def test_what_repeats_is_obeyed_by_the_second_poll() -> None:
    """The confirming poll comes 1.25 s after the first, not an interval (an hour) later, and is obeyed."""

    async def test(world: World) -> None:
        world.dns.set(WEB, TEN)
        await world.discovery.poll()
        world.dns.set(WEB, TEN[:2])
        world.clock.advance(100)
        began = world.clock.now()
        polling = spawn(world.discovery.run(), name="discovery")
        _, first, second, *_ = await polls(world, 3)

        assert (first - began, second - began) == (0.0, 1.25)
        assert world.ips == TEN[:2]
        assert [heard.decision for heard in world.pool.roster.history] == ["obeyed", "guarded", "obeyed"]

        await asyncio.sleep(0.02)
        assert len(world.pool.roster.history) == 3  # and then it is calm again
        polling.cancel()

    with_guard(test)


def test_a_slow_answer_does_not_put_the_confirmation_off() -> None:
    """1.25 s from the beginning of the doubtful poll: time spent waiting for it counts."""

    async def test(world: World) -> None:
        world.dns.set(WEB, TEN)
        await world.discovery.poll()
        world.dns.set(WEB, TEN[:2])
        began = world.clock.now()

        def slow(query: object, transport: object) -> None:
            world.clock.advance(1.0)

        world.dns.script = slow
        polling = spawn(world.discovery.run(), name="discovery")
        _, first, second, *_ = await polls(world, 3)

        assert (first - began, second - began) == (1.0, 2.25)  # asked at 0 and 1.25, 1 s each
        polling.cancel()

    with_guard(test)


def test_trouble_does_not_confirm_sooner() -> None:
    """Pods that fail ask for polls; the confirming one still waits: else a hiccup would confirm itself."""

    async def test(world: World) -> None:
        world.dns.set(WEB, TEN)
        await world.discovery.poll()
        world.dns.set(WEB, TEN[:2])
        world.pool.on_members_changed = world.discovery.poll_soon
        began = world.clock.now()

        def trouble(query: object, transport: object) -> None:
            world.discovery.poll_soon()

        world.dns.script = trouble
        polling = spawn(world.discovery.run(), name="discovery")
        _, first, second, *_ = await polls(world, 3)

        assert (first - began, second - began) == (0.0, 1.25)
        polling.cancel()

    with_guard(test)


@pytest.mark.parametrize("mode", ["servfail", "nxdomain", "empty"])
def test_a_failure_in_between_confirms_nothing(mode: Mode) -> None:
    """After the doubtful answer the query fails, or says that nobody is there: all ten are still known."""

    async def test(world: World) -> None:
        world.dns.set(WEB, TEN)
        await world.discovery.poll()
        world.dns.set(WEB, TEN[:2])
        await world.discovery.poll()
        world.dns.mode = mode
        await world.discovery.poll()
        assert world.ips == TEN

        world.dns.mode = "answer"
        world.dns.set(WEB, TEN)
        await world.discovery.poll()
        assert world.ips == TEN
        assert not world.pool.membership.held

    with_guard(test)


def test_half_of_them_may_go_at_once() -> None:
    """5 of 10 are not more than the guard's share: a rollout is followed without a second poll."""

    async def test(world: World) -> None:
        world.dns.set(WEB, TEN)
        await world.discovery.poll()
        world.dns.set(WEB, TEN[:5])
        await world.discovery.poll()

        assert world.ips == TEN[:5]
        assert not world.pool.membership.unconfirmed

    with_guard(test)


def test_each_half_of_an_answer_alone_is_no_shrink() -> None:
    """A slow AAAA makes the A records come first: the v6 pods are not missed in the meantime."""

    async def test(world: World) -> None:
        v6 = [f"fd00::{number}" for number in range(1, 9)]
        world.dns.set(WEB, [*TEN[:2], *v6])
        await world.discovery.poll()
        world.dns.delay_for["AAAA"] = 0.07
        for _ in range(2):
            await world.discovery.poll()

        assert world.ips == sorted([*TEN[:2], *v6])
        assert [heard.decision for heard in world.pool.roster.history] == ["obeyed"] * 3

    with_guard(test, "auto")
