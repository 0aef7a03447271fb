"""Measures what a large answer costs: how long applying it takes, and how long the loop stands still.

`python -m loadtest.discovery [pods ...]` polls a name server in another process whose answers over TCP list
so many pods, ten of them new each time, and prints medians and the worst of all polls, a line for each kind.
"""

import argparse
import asyncio
import contextlib
import logging
import multiprocessing
import socket
import statistics
import time
from collections.abc import Awaitable
from multiprocessing.connection import Connection
from random import Random
from typing import Any

import dnslib
import uvloop

from proxy.app import calm_collector
from proxy.clock import SystemClock
from proxy.config import from_env
from proxy.controlpath.lookup import make_lookup
from proxy.controlpath.resolver import AresResolver
from proxy.model import Address, Answer
from proxy.observe.counters import ServiceCounters
from proxy.policy.resolv_conf import ResolvConf
from proxy.pool import Pool

NAME = "web.demo.svc.cluster.local."
SRV_NAME = "_http._tcp." + NAME
POLLS = 30
CHANGED = 10
TTL_S = 30
BYTES_PER_RECORD = 64  # about
LIMIT = 65_535  # RFC 1035 4.2.2: two bytes of length


def ip_of(pod: int) -> str:
    return f"10.{pod >> 16 & 255}.{pod >> 8 & 255}.{pod & 255}"


def host_of(pod: int) -> str:
    return f"{ip_of(pod).replace('.', '-')}.{NAME}"


def pack(pods: range, srv: bool) -> bytes:
    """A reply that lists `pods`; beyond 64 kB cut off as CoreDNS does, SRV's addresses first."""
    reply = dnslib.DNSRecord.question(SRV_NAME if srv else NAME, "SRV" if srv else "A").reply()
    if srv:
        target = [dnslib.SRV(0, 1, 8080, host_of(pod)) for pod in pods]
        reply.add_answer(*(dnslib.RR(SRV_NAME, dnslib.QTYPE.SRV, rdata=each, ttl=TTL_S) for each in target))
        reply.add_ar(*(_address(host_of(pod), pod) for pod in pods))
    else:
        reply.add_answer(*(_address(NAME, pod) for pod in pods))
    while len(packet := bytes(reply.pack())) > LIMIT:
        records = reply.ar or reply.rr
        del records[-max(1, (len(packet) - LIMIT) // BYTES_PER_RECORD) :]
        reply.header.tc = 1
    return packet


def _address(name: str, pod: int) -> Any:
    return dnslib.RR(name, dnslib.QTYPE.A, rdata=dnslib.A(ip_of(pod)), ttl=TTL_S)


def serve(pods: int, srv: bool, pipe: Connection) -> None:
    """A name server that has two answers, ten pods apart, and gives them in turn."""
    packets = [pack(range(pods), srv), pack(range(CHANGED, pods + CHANGED), srv)]
    singles = {host_of(pod).rstrip("."): pod for pod in range(pods + CHANGED)}
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    pipe.send(listener.getsockname()[1])
    while True:
        client, _ = listener.accept()
        with client, contextlib.suppress(OSError):
            query = client.recv(4096)
            asked = dnslib.DNSRecord.parse(query[2:])
            pod = singles.get(str(asked.q.qname).rstrip("."))
            if pod is None:
                packets.reverse()
                packet = query[2:4] + packets[0][2:]
            else:
                reply = asked.reply()
                reply.add_answer(_address(host_of(pod), pod))
                packet = bytes(reply.pack())
            client.sendall(len(packet).to_bytes(2) + packet)
            client.recv(1)  # until the other side is done


class Stalls:
    """How long the loop was away: a timer every millisecond notes how late it is."""

    def __init__(self) -> None:
        self.worst = 0.0
        self._due = 0.0

    def start(self) -> None:
        self._due = time.perf_counter()
        self._tick()

    def _tick(self) -> None:
        now = time.perf_counter()
        self.worst = max(self.worst, now - self._due)
        self._due = now + 0.001
        asyncio.get_running_loop().call_later(0.001, self._tick)


async def measure(pods: int, srv: bool, port: int) -> str:
    target = f"srv://{SRV_NAME}" if srv else f"{NAME}:8080"
    env = {"HEADWAY_TARGET": target, "HEADWAY_LISTEN": "127.0.0.1:1", "HEADWAY_IP_FAMILY": "ipv4"}
    settings = from_env(env).settings.services[0]
    clock = SystemClock()
    pool = Pool(settings, ServiceCounters(), clock, Random(1))
    resolver = AresResolver(
        [Address("127.0.0.1", port)], lambda: ResolvConf(use_vc=True), settings.dns_timeout_s, clock
    )
    lookup = make_lookup(settings, resolver, pool, clock)
    stalls, applying, looking = Stalls(), [], []
    calm_collector()  # as the sidecar does once it is up
    stalls.start()
    for number in range(POLLS):
        looking.append(await _timed(lookup(SRV_NAME if srv else NAME, lambda answer: ())))
        answer = looking[-1][1]
        await asyncio.sleep(0)  # as discovery does
        began = time.perf_counter()
        pool.apply(answer)
        with pool.lease([]):
            applying.append(time.perf_counter() - began)
        await asyncio.sleep(0.01)
        if number == 0:
            stalls.worst = 0.0  # the first answer brings a thousand newcomers
    known = len(pool.members)
    medians = statistics.median(each for each, _ in looking), statistics.median(applying)
    return (
        f"{'SRV' if srv else 'A':4} {pods:6} asked, {known:6} known: lookup {medians[0] * 1e3:6.1f} ms, "
        f"apply and pick {medians[1] * 1e3:5.2f} ms (worst {max(applying[1:]) * 1e3:5.2f}), "
        f"longest stall of the loop {stalls.worst * 1e3:5.1f} ms"
    )


async def _timed(work: Awaitable[Answer]) -> tuple[float, Answer]:
    began = time.perf_counter()
    answer = await work
    return time.perf_counter() - began, answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pods", nargs="*", type=int, default=[100, 1000, 4000])
    logging.disable()  # the cut-off answers would be mentioned
    for pods in parser.parse_args().pods:
        for srv in (False, True):
            ours, its = multiprocessing.Pipe()
            server = multiprocessing.get_context("spawn").Process(
                target=serve, args=(pods, srv, its), daemon=True
            )
            server.start()
            print(uvloop.run(measure(pods, srv, ours.recv())), flush=True)
            server.terminate()


if __name__ == "__main__":
    main()
