"""What the design promises, each promise by a test of its number: the whole process, under faults.

The eighth, of running out of descriptors, is in tests/process/test_listeners.py.
"""

import asyncio
import json
import signal
from collections import Counter
from collections.abc import Iterable
from random import Random
from time import monotonic
from typing import Any

import dnslib
import pytest

from proxy.demo.dns import DnsServer
from proxy.demo.zone import Mode
from tests.datapath.peers import Peer, black_hole
from tests.faults.pods import ends_at_once, meanwhile, pods, resets_at_once, target
from tests.faults.sessions import GREETING, NOISE, Traffic, call
from tests.support import eventually, run, until
from tests.support import pods as greeters
from tests.support.pods import ask_once, connect
from tests.support.process import RELAYS, Proxy, running

pytestmark = pytest.mark.slow

SESSIONS = 5_000  # with each relay
WEB = "web.demo.svc.cluster.local"
NO_MEMORY = {"HEALTH_CHECK": "off", "EJECT_AFTER": "0"}  # a bad pod is met again and again
QUICK_DNS = {"DNS_INTERVAL": "100ms", "DNS_TIMEOUT": "100ms"}
QUICK_CHECKS = {"HEALTH_INTERVAL": "100ms", "HEALTH_TIMEOUT": "100ms", "HEALTH_PASSIVE_FIRST": "false"}


@pytest.mark.parametrize("relay", RELAYS)
def test_promise_1_no_byte_is_lost(relay: str) -> None:
    """Nor reordered, nor given to the wrong side, whatever closes or resets first, while pods fail."""

    async def story() -> None:
        traffic = Traffic(Random(7))
        good = [traffic.serve] * 5
        async with (
            pods(*good, resets_at_once) as some,
            running(TARGET=target(some), RELAY=relay, **NO_MEMORY) as proxy,
            meanwhile(some[0].flap(0.05)),
        ):
            await traffic.play(proxy.address, SESSIONS)

            assert not traffic.faults, traffic.first_faults
            assert min(traffic.verdicts["complete"], traffic.verdicts["cut"]) > SESSIONS / 5
            await proxy.counts("headway_connections_active", 0)

    run(story(), within_s=120)


@pytest.mark.parametrize("relay", RELAYS)
def test_promise_2_a_connect_failure_is_not_seen(relay: str) -> None:
    """Of six pods one is well; the others refuse, reset, end, are silent or flap. No connection fails."""

    async def story() -> None:
        traffic = Traffic(Random(7))
        serve = traffic.serve
        with black_hole() as silent:
            async with pods(serve, serve, serve, resets_at_once, ends_at_once) as some:
                well, refuses, flaps, *_ = some
                refuses.close()
                settings = {"CONNECT_ATTEMPTS": "6", "CONNECT_TIMEOUT": "100ms", "RELAY": relay}
                everyone = f"{target(some)},{silent}"
                async with (
                    running(TARGET=everyone, **settings, **NO_MEMORY) as proxy,
                    meanwhile(flaps.flap(0.1)),
                ):
                    await traffic.play(proxy.address, 200)

                    assert not traffic.faults, traffic.first_faults
                    assert well.taken > 50
                    assert await proxy.metric("headway_retries_total") > 100

    run(story())


def test_promise_3_dns_trouble_does_not_shrink_the_pool() -> None:
    """Failures never; much at once if confirmed; "no such name" after the hold, before it only who fails."""

    async def story() -> None:
        async with DnsServer() as dns, greeters.pods(3) as some:
            ips = [pod.ip for pod in some]
            dns.set(WEB, ips)
            ports = Proxy({})
            settings = {"SERVICES": "patient,hasty", "DNS_SERVERS": dns.address, "READY_WHEN": "endpoint"}
            settings |= {"PATIENT_DNS_HOLD": "1h", "HASTY_DNS_HOLD": "300ms"}
            for name, port in (("PATIENT", ports.port), ("HASTY", ports.admin_port)):
                settings |= {f"{name}_TARGET": f"{WEB}:{some[0].port}", f"{name}_LISTEN": f"127.0.0.1:{port}"}
            async with running(**settings, **QUICK_DNS, **QUICK_CHECKS) as proxy:
                await ready(proxy, 3, "patient")
                await ready(proxy, 3, "hasty")

                failures: tuple[Mode, ...] = ("servfail", "refused", "drop")
                for dns.mode in failures:
                    await asked(dns, 12)
                    assert {await ask_once(ports.address) for _ in range(40)} == set(ips)
                dns.script = lambda query, transport: b"this is no DNS message"
                await asked(dns, 12)
                dns.mode, dns.script = "answer", None
                await asked(dns, 12)
                dns.script = only_once(ips[:1])  # two of three are missing, for once
                await asked(dns, 12)
                assert await proxy.metric("headway_endpoints", state="ready") == 6

                dns.mode = "nxdomain"
                began = monotonic()
                await ready(proxy, 0, "hasty")
                assert monotonic() - began > 0.3
                await some[0].close()
                await ready(proxy, 2, "patient")
                assert {await ask_once(ports.address) for _ in range(20)} == set(ips[1:])

    run(story())


def test_promise_4_who_is_not_listed_gets_no_new_connection() -> None:
    """DNS flaps between any two of three pods: connections that are established live on through all of it."""

    async def story() -> None:
        async with DnsServer() as dns, greeters.pods(3) as some:
            dns.set(WEB, [pod.ip for pod in some])
            settings = {"TARGET": f"{WEB}:{some[0].port}", "DNS_SERVERS": dns.address, **QUICK_DNS}
            only_lists = {"BALANCER": "round_robin", "SLOW_START": "0", "HEALTH_CHECK": "off"}
            async with running(**settings, **only_lists) as proxy:
                await ready(proxy, 3)
                old = [await connect(proxy.address) for _ in range(6)]
                assert {connection.pod for connection in old} == {pod.ip for pod in some}
                for absent in some * 2:
                    listed = {pod.ip for pod in some} - {absent.ip}
                    dns.set(WEB, listed)
                    await only(proxy, listed)

                    assert {await ask_once(proxy.address) for _ in range(8)} == listed
                    for number, connection in enumerate(old):
                        assert await connection.echo(b"%d" % number) == b"%d" % number
                for connection in old:
                    await connection.close()

    run(story())


def test_promise_5_a_pod_that_comes_or_recovers_is_not_flooded() -> None:
    """Others hold ten connections each, it holds none: of the next 40 it gets at most twice its share."""

    async def story() -> None:
        async with DnsServer() as dns, greeters.pods(5) as some:
            *old, new = some
            dns.set(WEB, [pod.ip for pod in old])
            settings = {"TARGET": f"{WEB}:{new.port}", "DNS_SERVERS": dns.address, "READY_WHEN": "endpoint"}
            settings |= {"BALANCER": "least_connections", "HEALTH_RISE": "1", "HEALTH_FALL": "1"}
            async with running(**settings, **QUICK_DNS, **QUICK_CHECKS) as proxy:
                await ready(proxy, 4)
                held = [await connect(proxy.address) for _ in range(40)]
                dns.set(WEB, [pod.ip for pod in some])
                await ready(proxy, 5)
                came = [await connect(proxy.address) for _ in range(40)]
                assert Counter(each.pod for each in came)[new.ip] <= 2 * 40 / 5

                recovers = old[0]
                await recovers.close()
                await proxy.counts("headway_endpoints", 1, state="unhealthy")
                for each in [each for each in held + came if each.pod == recovers.ip]:
                    await each.close()
                await recovers.open()
                await ready(proxy, 5)
                back = [await connect(proxy.address) for _ in range(40)]
                assert Counter(each.pod for each in back)[recovers.ip] <= 2 * 40 / 5
                for each in held + came + back:
                    await each.close()

    run(story())


@pytest.mark.parametrize("relay", RELAYS)
def test_promise_6_egress_works_until_the_application_is_gone(relay: str) -> None:
    """After SIGTERM DNS fails, a pod dies and another flaps: every new connection is served all the same."""

    async def story() -> None:
        traffic = Traffic(Random(7))
        async with pods(*[traffic.serve] * 3, resets_at_once) as some, DnsServer() as dns:
            dns.set(WEB, [pod.ip for pod in some])
            settings = {"TARGET": f"{WEB}:{some[0].port}", "DNS_SERVERS": dns.address, **QUICK_DNS}
            async with running(**settings, RELAY=relay, READY_WHEN="endpoint") as proxy:
                last_one = call(proxy.address)
                assert await last_one.receive(1) == GREETING
                proxy.signal(signal.SIGTERM)
                await proxy.shows("/readyz", 503)
                dns.mode = "drop"
                some[1].close()
                async with meanwhile(some[2].flap(0.05)):
                    await traffic.play(proxy.address, 300)
                assert not traffic.faults, traffic.first_faults
                assert proxy.child.ended is None

                last_one.close()
                assert await proxy.ends() == 0

    run(story())


@pytest.mark.parametrize("relay", RELAYS)
def test_promise_7_who_does_not_read_stops_the_sender(relay: str) -> None:
    """Sixteen push at deaf ears and stall; the proxy stays small, and what it took arrives in the end."""

    async def story() -> None:
        taken: asyncio.Queue[Peer] = asyncio.Queue()

        async def act(peer: Peer) -> None:
            await peer.send(GREETING)
            taken.put_nowait(peer)
            await asyncio.Event().wait()

        async with (
            pods(act) as some,
            running(TARGET=target(some), RELAY=relay, HEALTH_CHECK="off") as proxy,  # a check is no session
        ):
            ways: list[tuple[Peer, Peer]] = []
            for number in range(16):
                client = call(proxy.address)
                assert await client.receive(1) == GREETING
                pod = await taken.get()
                ways.append((client, pod) if number % 2 else (pod, client))
            before = proxy.resident_mib()
            sent = await asyncio.gather(*(push(sender) for sender, _ in ways))
            assert min(sent) > 0
            grown_kib = (proxy.resident_mib() - before) * 1024 / len(ways)
            print(f"{relay}: {grown_kib:.0f} KiB for each stalled connection")
            assert grown_kib < 512

            for (sender, reader), size in zip(ways, sent, strict=True):
                sender.finish()
                heard = await reader.rest()
                assert len(heard) == size
                assert all(
                    heard[at : at + len(NOISE)] == NOISE[: size - at] for at in range(0, size, len(NOISE))
                )
                sender.close()
                reader.close()

    run(story())


async def push(sender: Peer) -> int:
    """Send all that is taken, until for a while nothing is; how many bytes that were."""
    sent = refused = 0
    while refused < 10:
        try:
            sent += sender.sock.send(NOISE[sent % len(NOISE) :])
            refused = 0
        except BlockingIOError:
            refused += 1
            await asyncio.sleep(0.03)
    return sent


async def ready(proxy: Proxy, count: int, service: str | None = None) -> None:
    """Returns once so many endpoints are ready."""
    labels = {} if service is None else {"service": service}
    await proxy.counts("headway_endpoints", count, state="ready", **labels)


async def only(proxy: Proxy, ips: set[str]) -> None:
    """Returns once these are the ready ones."""

    async def look() -> bool:
        (service,) = json.loads((await proxy.page("/endpoints", admin=True)).text)["services"]
        each_ready = [each["endpoint"] for each in service["endpoints"] if each["state"] == "ready"]
        return {label.rpartition(":")[0] for label in each_ready} == ips

    await eventually(look)


async def asked(dns: DnsServer, times: int) -> None:
    """Returns once DNS has been asked so often, and has been heard."""
    before = dns.count()
    await until(lambda: dns.count() >= before + times)


def only_once(ips: Iterable[str]) -> Any:
    """A script of a DnsServer: the first answer with addresses lists these, all others what there is."""
    left = [[*ips]]

    def script(query: Any, transport: str) -> bytes | None:
        if dnslib.QTYPE.get(query.q.qtype) != "A" or not left:
            return None
        reply = query.reply(ra=0, aa=1)
        reply.add_answer(*(dnslib.RR(query.q.qname, ttl=30, rdata=dnslib.A(ip)) for ip in left.pop()))
        return bytes(reply.pack())

    return script
