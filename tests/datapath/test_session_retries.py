"""Retries are for the few: when nobody can be reached, connections end without trying everyone."""

import asyncio
from contextlib import ExitStack

import pytest

from tests.datapath.peers import refusing
from tests.datapath.scenes import Scene, echoing, pods
from tests.support import run

FLOOR = 100  # the budget's ten a second, over its ten seconds


async def fail(scene: Scene) -> None:
    """A client that is told at once that there is no service."""
    async with scene.client() as (peer, session):
        assert await peer.was_reset()
        await session


@pytest.mark.parametrize("budget,retries", [("20%", FLOOR + 40), ("0%", FLOOR), ("100%", FLOOR + 200)])
def test_a_dead_service_is_not_hammered(budget: str, retries: int) -> None:
    """With all pods down, 200 clients make 200 connects and a budget of retries, not three times as many."""

    async def test() -> None:
        with ExitStack() as dead:
            addresses = [dead.enter_context(refusing()) for _ in range(4)]
            scene = Scene(addresses, RETRY_BUDGET=budget)
            for _ in range(8):
                await asyncio.gather(*(fail(scene) for _ in range(25)))

            connects = sum(each.picks for each in scene.pool.members)
            assert 200 + retries * 0.9 <= connects <= 200 + retries
            assert scene.counters.retries == connects - 200
            assert scene.outcomes == {"refused": 200}
            assert scene.counters.sheds["retry_budget"] > 0

    run(test())


def test_retries_that_work_are_free() -> None:
    """One pod of two is down: however small the budget, each of 150 clients gets the other."""

    async def test() -> None:
        async with pods(echoing) as (good,):
            with refusing() as dead:
                scene = Scene([dead, good.address], RETRY_BUDGET="0%")
                for _ in range(150):
                    assert await scene.ask() == b"hello"

                assert scene.outcomes == {"completed": 150}
                assert scene.counters.retries == 150
                assert scene.counters.sheds["retry_budget"] == 0

    run(test())


@pytest.mark.parametrize("pods_there,attempts", [(1, "3"), (4, "1")])
def test_what_is_no_retry_costs_none(pods_there: int, attempts: str) -> None:
    """A client that has no other pod to try, or no attempt left, takes nothing from the budget."""

    async def test() -> None:
        with ExitStack() as dead:
            addresses = [dead.enter_context(refusing()) for _ in range(pods_there)]
            scene = Scene(addresses, RETRY_BUDGET="0%", CONNECT_ATTEMPTS=attempts)
            for _ in range(FLOOR + 20):
                await fail(scene)

            assert scene.outcomes == {"refused": FLOOR + 20}
            assert scene.counters.sheds["retry_budget"] == scene.counters.retries == 0

    run(test())
