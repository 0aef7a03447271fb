"""Pods whose listeners come and go, and a DNS that changes its mind as often: no connection fails."""

import asyncio
from random import Random

import pytest

from proxy.demo.dns import DnsServer
from tests.faults.pods import meanwhile, pods, target
from tests.faults.sessions import Traffic, play_for
from tests.support import run
from tests.support.process import running

pytestmark = pytest.mark.slow

WEB = "web.demo.svc.cluster.local"
SECONDS = 2.0  # `python -m loadtest.soak` goes on for minutes


@pytest.mark.parametrize(
    "settings", [{}, {"HEALTH_CHECK": "off", "EJECT_AFTER": "0"}], ids=["default", "bare"]
)
def test_a_pod_that_flaps(settings: dict[str, str]) -> None:
    """A pod closes and reopens its listener every 300 ms: eight clients lose no connection."""

    async def story() -> None:
        traffic = Traffic(Random(7))
        async with pods(*[traffic.serve] * 3) as some, running(TARGET=target(some), **settings) as proxy:
            async with meanwhile(some[0].flap(0.3)):
                await play_for(SECONDS, traffic, proxy.address)

            assert not traffic.faults, traffic.first_faults
            assert traffic.verdicts.total() > 100
            assert some[0].taken > 0 or not settings  # by default it is ejected before long

    run(story())


def test_pods_and_dns_flap_together() -> None:
    """One of four stays. The others come and go, and DNS lists any two of them, fails, or denies them all."""

    async def story() -> None:
        traffic, rng = Traffic(Random(7)), Random(8)
        async with DnsServer() as dns, pods(*[traffic.serve] * 4) as some:
            dns.set(WEB, [pod.ip for pod in some])
            settings = {
                "TARGET": f"{WEB}:{some[0].port}",
                "DNS_SERVERS": dns.address,
                "DNS_INTERVAL": "100ms",
            }
            settings |= {"HEALTH_INTERVAL": "100ms", "HEALTH_TIMEOUT": "100ms", "EJECT_BASE": "100ms"}

            async def dns_flaps() -> None:
                while True:
                    dns.set(WEB, [some[0].ip, *(pod.ip for pod in rng.sample(some[1:], 2))])
                    dns.mode = rng.choice(("answer", "answer", "servfail", "nxdomain", "empty"))
                    await asyncio.sleep(0.15)

            async with running(**settings, READY_WHEN="endpoint") as proxy:
                flaps = [pod.flap(rng.uniform(0.05, 0.3)) for pod in some[1:]]
                async with meanwhile(dns_flaps(), *flaps):
                    await play_for(SECONDS, traffic, proxy.address)

                assert not traffic.faults, traffic.first_faults
                assert traffic.verdicts.total() > 100

    run(story())
