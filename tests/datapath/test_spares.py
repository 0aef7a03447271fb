"""How many idle connections pods have, how old they get, and whom they go with; an hour takes no time."""

import asyncio
from collections.abc import Callable

import pytest

from proxy.errors import Refused
from proxy.model import Answer
from tests.datapath.keeping import LONG_S, Keeping, greet, keeping, open_at
from tests.datapath.scenes import Pod, silent
from tests.support.virtual import timers_left, with_sockets


def test_dialled_before_anyone_asks() -> None:
    """A pod has SPARE_CONNECTIONS of them within a second, and after each that is used a new one."""

    async def story() -> None:
        async with keeping(silent, silent, SPARE_CONNECTIONS="2") as (it, two):
            await asyncio.sleep(1.2)
            assert it.there() == [2, 2]
            for _ in range(5):
                assert it.come_and_go()
                await asyncio.sleep(0.01)

            assert it.there() == [2, 2]
            assert [open_at(pod) for pod in two] == [2, 2]
            assert sum(len(pod.accepted) for pod in two) == 9
            assert it.results == {"used": 5}

    with_sockets(story(), LONG_S)


def test_the_newest_is_used() -> None:
    """So the others age."""

    async def story() -> None:
        async with keeping(silent, SPARE_CONNECTIONS="2") as (it, (pod,)):
            await asyncio.sleep(1.2)
            it.come_and_go()
            await asyncio.sleep(1.0)
            _, spare = it.connection()
            assert spare is not None
            assert spare.sock.getsockname() == pod.accepted[-1].sock.getpeername()
            spare.sock.close()

    with_sockets(story(), LONG_S)


def test_ages() -> None:
    """Nobody gets one that is older than SPARE_MAX_AGE: it is replaced, a few seconds sooner by lot."""

    async def story() -> None:
        async with keeping(silent, SPARE_CONNECTIONS="3", SPARE_MAX_AGE="10s") as (it, (pod,)):
            await asyncio.sleep(60.0)
            assert it.there() == [3]
            assert open_at(pod) == 3
            assert 3 * 6 <= len(pod.accepted) <= 3 * 8
            assert it.results == {"expired": len(pod.accepted) - 3}

    with_sockets(story(), LONG_S)


def test_as_many_as_are_needed() -> None:
    """auto: none before a second connection came; as many as come at once; none once nobody comes."""

    async def story() -> None:
        async with keeping(silent, SPARE_CONNECTIONS="auto") as (it, (pod,)):
            await asyncio.sleep(3600.0)
            assert not it.come_and_go()
            await asyncio.sleep(5.0)
            assert (len(pod.accepted), it.there()) == (0, [0])

            found = []
            for _ in range(4):
                found.append(sum([it.come_and_go() for _ in range(6)]))
                await asyncio.sleep(10.0)
            assert found[0] == 0
            assert found[2:] == [6, 6]

            await asyncio.sleep(60.0)
            assert (it.there(), open_at(pod)) == ([0], 0)
            dialled = len(pod.accepted)
            await asyncio.sleep(3600.0)
            assert len(pod.accepted) == dialled

    with_sockets(story(), LONG_S)


def leaves(it: Keeping, other: Pod) -> None:
    it.pool.apply(Answer.of([other.address]))


def is_ejected(it: Keeping, other: Pod) -> None:
    for _ in range(3):
        with it.pool.lease([each for each in it.pool.members if each.address == other.address]) as lease:
            lease.failed(Refused())


def fails_its_checks(it: Keeping, other: Pod) -> None:
    for _ in range(3):
        it.pool.observe_check(it.endpoint(), False)


@pytest.mark.parametrize("how", [leaves, is_ejected, fails_its_checks])
def test_dropped_with_their_endpoint(how: Callable[[Keeping, Pod], None]) -> None:
    """Who leaves, is ejected or fails its checks has none left, and gets none."""

    async def story() -> None:
        async with keeping(
            silent,
            silent,
            SPARE_CONNECTIONS="2",
            EJECT_AFTER="3",
            HEALTH_CHECK="tcp",
            EJECT_BASE="1h",
            EJECT_MAX="1h",
            DNS_SHRINK_GUARD="100%",
        ) as (it, two):
            await asyncio.sleep(1.2)
            how(it, two[1])
            await asyncio.sleep(60.0)

            assert [open_at(pod) for pod in two] == [0, 2]
            assert it.results["dropped"] == 2

    with_sockets(story(), LONG_S)


def test_one_failure_is_enough() -> None:
    """A pod that vanished leaves its spares as they are: what it accepts after a failed check counts."""

    async def story() -> None:
        async with keeping(silent, SPARE_CONNECTIONS="2", HEALTH_CHECK="tcp") as (it, (pod,)):
            await asyncio.sleep(1.2)
            it.pool.observe_check(it.endpoint(), False)
            assert not it.come_and_go()
            await asyncio.sleep(0.01)

            assert it.results == {"dropped": 2}
            assert (it.there(), len(pod.accepted)) == ([2], 4)
            assert it.come_and_go()

    with_sockets(story(), LONG_S)


def test_only_who_is_in_use() -> None:
    """Pods outside the subset get none."""

    async def story() -> None:
        async with keeping(silent, silent, silent, SPARE_CONNECTIONS="2", SUBSET_SIZE="1") as (it, three):
            await asyncio.sleep(1.2)
            assert sorted(it.there()) == [0, 0, 2]
            assert sorted(len(pod.accepted) for pod in three) == [0, 0, 2]

    with_sockets(story(), LONG_S)


def test_a_newcomer() -> None:
    """It gets them once it has passed its first check, as it gets connections."""

    async def story() -> None:
        async with keeping(silent, silent, SPARE_CONNECTIONS="2", HEALTH_CHECK="tcp") as (it, two):
            it.pool.apply(Answer.of([two[0].address]))
            it.pool.apply(Answer.of([two[0].address]))  # confirmed: it drops half of them
            await asyncio.sleep(70.0)
            assert len(two[1].accepted) == 0
            it.pool.apply(Answer.of([pod.address for pod in two]))
            await asyncio.sleep(2.0)
            assert it.there() == [2, 0]
            it.pool.observe_check(it.pool.members[1], True)
            await asyncio.sleep(2.0)
            assert it.there() == [2, 2]

    with_sockets(story(), LONG_S)


def test_a_cap_per_endpoint() -> None:
    """MAX_CONNECTIONS_PER_ENDPOINT counts spares; they give way, and come back when there is room."""

    async def story() -> None:
        async with keeping(silent, SPARE_CONNECTIONS="2", MAX_CONNECTIONS_PER_ENDPOINT="3") as (it, (pod,)):
            await asyncio.sleep(1.2)
            held = []
            for expected in (2, 1, 0):
                lease, spare = it.connection()
                assert spare is not None
                held.append((lease, spare))
                await asyncio.sleep(0.01)
                assert it.there() == [expected]
            assert open_at(pod) == 3
            for lease, spare in held:
                spare.sock.close()
                lease.release()
                it.spares.released(lease.endpoint)
            await asyncio.sleep(0.01)

            assert it.there() == [2]

    with_sockets(story(), LONG_S)


def test_a_new_connection_comes_before_a_spare() -> None:
    """Where one cannot be used its endpoint has room for a new one all the same."""

    async def story() -> None:
        async with keeping(silent, SPARE_CONNECTIONS="2", MAX_CONNECTIONS_PER_ENDPOINT="2") as (it, (pod,)):
            await asyncio.sleep(1.2)
            greet(pod)
            lease, spare = it.connection()
            assert spare is None
            assert it.there() == [1]
            lease.release()

    with_sockets(story(), LONG_S)


def test_the_cap_of_the_process() -> None:
    """Spares have the slots that connections leave free; each that comes takes the oldest one's."""

    async def story() -> None:
        async with keeping(silent, cap=5, SPARE_CONNECTIONS="8") as (it, _):
            await asyncio.sleep(1.2)
            assert it.there() == [5]
            for expected in (4, 3, 2, 1, 0):
                it.slots.take()
                assert (it.there(), it.slots.left) == ([expected], 0)
            for _ in range(2):
                it.slots.release()
            await asyncio.sleep(1.2)
            assert it.there() == [2]

    with_sockets(story(), LONG_S)


def test_more_endpoints_than_room() -> None:
    """An idle process looks once a second whether there is some, not once for each that is without."""

    async def story() -> None:
        async with keeping(*[silent] * 5, cap=1, SPARE_CONNECTIONS="1") as (it, _):
            await asyncio.sleep(5)
            assert sorted(it.there()) == [0, 0, 0, 0, 1]
            assert timers_left() == 3  # the look, the age of the one that is there, and what bounds this test

    with_sockets(story(), LONG_S)
