"""Lets everything fail for long, and looks what is left behind: `python -m loadtest.soak --minutes 10`.

Pods refuse, reset, end, flap and fall silent, DNS fails and changes its mind, crowds come and go, the proxy
is stopped now and then; one pod is well and listed at any time. The sessions of tests/faults tell whether a
byte is lost. At the end the proxy must have what it had at first: descriptors (/proc/PID/fd), tasks and
sessions (SIGUSR1, see tests/faults/census.py), leases (/endpoints).
"""

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from random import Random, SystemRandom
from time import monotonic
from typing import NamedTuple, get_args

import uvloop

from proxy.demo.dns import DnsServer
from proxy.demo.zone import Mode
from tests.faults.census import Census, census, countable
from tests.faults.pods import Pod, ends_at_once, meanwhile, pods, resets_at_once
from tests.faults.sessions import Traffic, call, play_for
from tests.support.process import Proxy, up

WEB = "web.demo.svc.cluster.local"
PODS = 6
CLIENTS = 16
CROWD = 200
SAY_EVERY_S = 10.0
SETTLED_WITHIN_S = 20.0
# A pod may be silent for less than CONNECT_DEADLINE: whom it resets then is served by another.
SETTINGS = {
    "DNS_INTERVAL": "200ms",
    "DNS_TIMEOUT": "200ms",
    "HEALTH_INTERVAL": "500ms",
    "HEALTH_TIMEOUT": "200ms",
    "EJECT_BASE": "500ms",
    "EJECT_MAX": "2s",
    "CONNECT_ATTEMPTS": str(PODS),
    "CONNECT_DEADLINE": "30s",
    "READY_WHEN": "endpoint",
}


class Left(NamedTuple):
    """What a proxy has that it had not at first; nothing, if all is well."""

    fds: dict[str, int]
    tasks: dict[str, int]
    objects: dict[str, int]
    leases: int

    def __bool__(self) -> bool:
        return any(self)


class Chaos:
    """One fault after the other, each for a while."""

    def __init__(self, rng: Random, proxy: Proxy, dns: DnsServer, some: list[Pod], traffic: Traffic) -> None:
        self._rng, self._proxy, self._dns, self._pods, self._traffic = rng, proxy, dns, some, traffic
        self._faults: list[Callable[[], Awaitable[None]]] = [
            *(self._refuses, self._flaps, self._misbehaves, self._is_silent),
            *(self._dns_fails, self._dns_changes, self._stands_still, self._crowd),
        ]

    async def reign(self) -> None:
        """Until it is cancelled; all is well again then."""
        try:
            await asyncio.gather(*(self._one_after_another() for _ in range(3)))
        finally:
            self._proxy.signal(signal.SIGCONT)
            self._dns.mode = "answer"
            self._dns.set(WEB, [pod.ip for pod in self._pods])

    async def _one_after_another(self) -> None:
        while True:
            await self._rng.choice(self._faults)()

    def _victim(self) -> Pod:
        return self._rng.choice(self._pods[1:])

    async def _a_while(self) -> None:
        await asyncio.sleep(self._rng.uniform(0.05, 1.0))

    async def _refuses(self) -> None:
        pod = self._victim()
        pod.close()
        try:
            await self._a_while()
        finally:
            pod.open()

    async def _is_silent(self) -> None:
        """Its kernel accepts; what waits in the backlog is reset in the end."""
        pod = self._victim()
        pod.open(accepts=False)
        try:
            await self._a_while()
        finally:
            pod.open()

    async def _flaps(self) -> None:
        pod = self._victim()
        try:
            async with meanwhile(pod.flap(self._rng.uniform(0.01, 0.3))):
                await self._a_while()
        finally:
            pod.open()

    async def _misbehaves(self) -> None:
        pod = self._victim()
        pod.act = self._rng.choice((resets_at_once, ends_at_once))
        try:
            await self._a_while()
        finally:
            pod.act = self._traffic.serve

    async def _dns_fails(self) -> None:
        self._dns.mode = self._rng.choice(get_args(Mode))
        await self._a_while()
        self._dns.mode = "answer"

    async def _dns_changes(self) -> None:
        listed = self._rng.sample(self._pods[1:], self._rng.randrange(PODS))
        self._dns.set(WEB, [pod.ip for pod in (self._pods[0], *listed)])
        await self._a_while()

    async def _stands_still(self) -> None:
        self._proxy.signal(signal.SIGSTOP)
        await asyncio.sleep(self._rng.uniform(0.01, 0.5))
        self._proxy.signal(signal.SIGCONT)

    async def _crowd(self) -> None:
        """They come, say nothing, and leave by a FIN or a reset."""
        some = [call(self._proxy.address) for _ in range(CROWD)]
        try:
            await self._a_while()
        finally:
            for peer in some:
                self._rng.choice((peer.close, peer.reset))()


async def soak(seconds: float, relay: str, seed: int, **settings: str) -> tuple[Traffic, Left]:
    """How it went, and what is left."""
    rng = Random(seed)
    traffic = Traffic(rng)
    async with DnsServer() as dns, pods(*[traffic.serve] * PODS) as some:
        dns.set(WEB, [pod.ip for pod in some])
        target = {"TARGET": f"{WEB}:{some[0].port}", "DNS_SERVERS": dns.address, "RELAY": relay}
        proxy = countable(target | SETTINGS | settings)
        async with up(proxy):
            await proxy.becomes_ready()
            await traffic.play(proxy.address, 100)
            await proxy.counts("headway_connections_active", 0)
            before = await census(proxy)
            chaos = Chaos(rng, proxy, dns, some, traffic)
            async with meanwhile(_say(proxy, traffic)), meanwhile(chaos.reign()):
                await play_for(seconds, traffic, proxy.address, CLIENTS)
            return traffic, await _left(proxy, before)


async def _say(proxy: Proxy, traffic: Traffic) -> None:
    while True:
        await asyncio.sleep(SAY_EVERY_S)
        print(f"{dict(traffic.verdicts)}; {proxy.resident_mib():.1f} MiB", flush=True)


async def _left(proxy: Proxy, before: Census) -> Left:
    """What is not gone although all have left."""
    until = monotonic() + SETTLED_WITHIN_S
    while left := _more(before, await census(proxy), await _leases(proxy)):
        if monotonic() > until:
            break
        await asyncio.sleep(0.1)
    now = proxy.resident_mib()
    print(f"resident: {before.resident_mib:.1f} MiB at first, {now:.1f} MiB now")
    return left


def _more(before: Census, after: Census, leases: int) -> Left:
    objects = {name: after.objects[name] - before.objects[name] for name in after.objects}
    grown = {name: count for name, count in objects.items() if count > 0}
    return Left(dict(after.fds - before.fds), dict(after.tasks - before.tasks), grown, leases)


async def _leases(proxy: Proxy) -> int:
    (service,) = json.loads((await proxy.page("/endpoints", admin=True)).text)["services"]
    return sum(each["connections_active"] for each in service["endpoints"])


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--minutes", type=float, default=10.0)
    arguments.add_argument("--relay", choices=("native", "asyncio"), default="native")
    arguments.add_argument("--seed", type=int, default=SystemRandom().randrange(1 << 30))
    arguments.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting")
    options = arguments.parse_args()
    print(f"{options.minutes:g} minutes with the {options.relay} relay, seed {options.seed}", flush=True)
    settings = dict(each.split("=", 1) for each in options.set)
    traffic, left = uvloop.run(soak(60 * options.minutes, options.relay, options.seed, **settings))
    print(f"{traffic.verdicts.total():,} sessions: {dict(traffic.verdicts)}")
    print("\n".join(traffic.first_faults))
    print(f"left behind: {left}" if left else "left behind: no descriptor, no task, no session, no lease")
    return 1 if left or traffic.faults else 0


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
