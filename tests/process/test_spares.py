"""Spares of a whole process, as its pages and its pods tell."""

import json
import signal

import pytest

from tests.support import run, until
from tests.support.pods import ask_once, pods, static
from tests.support.process import running

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("number,before", [("1", 1), ("auto", 0)])
def test_pods_have_them_before_anyone_asks(number: str, before: int) -> None:
    """A fixed number at once, auto with the traffic; each is used once, shown, and ended with the process."""

    async def story() -> None:
        settings = {"BALANCER": "round_robin", "ACCESS_LOG": "all"}
        async with pods(2) as some:
            async with running(TARGET=static(some), SPARE_CONNECTIONS=number, **settings) as proxy:
                await until(lambda: [len(pod.held) for pod in some] == [before, before])
                await proxy.counts("headway_spares", 2 * before)
                for _ in range(12):
                    await ask_once(proxy.address)
                await proxy.counts_at_least("headway_spares_total", 1, result="used")
                await proxy.counts_at_least("headway_spares", 2)

                page = json.loads((await proxy.page("/endpoints", admin=True)).text)
                assert sum(each["spares"] for each in page["services"][0]["endpoints"]) >= 2
                connects = await proxy.metric("headway_connect_seconds_count")
                used = await proxy.metric("headway_spares_total", result="used")
                assert connects + used == await proxy.metric("headway_endpoint_picks_total") == 12
                proxy.signal(signal.SIGTERM)
                assert await proxy.ends() == 0
                assert proxy.log.count('"spare":true') == used
            await until(lambda: not any(pod.held for pod in some))

    run(story())
