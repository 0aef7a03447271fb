"""Tells the number by which a hashing balancer chooses for one client: the same number, the same endpoint."""

import asyncio
import socket
from collections.abc import Coroutine
from functools import partial
from hashlib import blake2b
from typing import Any, Protocol

from proxy.config import HashKey, ServiceSettings
from proxy.datapath.sni import server_name
from proxy.datapath.sockets import address_of, readable
from proxy.errors import ClientReset
from proxy.model import Address, Clock


class KeyOf(Protocol):
    """Of the client's socket, and of its address where a PROXY header says so."""

    def __call__(
        self, client: socket.socket, source: Address | None = None, /
    ) -> Coroutine[Any, Any, int]: ...


KEY_BYTES = 8
PEEK_S = 1.0  # a client that waits for its server to speak first is not kept waiting for longer
PEEK_MOST = 5 + (1 << 14)  # RFC 8446 5.1: one whole record
FIRST_PAUSE_S = 0.001
OURSELVES = frozenset({"127.0.0.1", "::1", ""})  # "": a Unix socket


def make_key_of(settings: ServiceSettings, pod_name: str, clock: Clock) -> KeyOf:
    """What HASH_KEY asks for; it may raise ClientReset."""
    pod = _hashed(pod_name.encode())
    if settings.hash_key is HashKey.POD:
        return partial(_of_pod, pod)
    if settings.hash_key is HashKey.SNI:
        # Half of the deadline is left for the pods, whatever the client does not say.
        patience_s = min(PEEK_S, settings.connect_timeout_s, settings.connect_deadline_s / 2)
        return partial(_of_server_name, patience_s, clock, pod)
    return partial(_of_client, pod)


async def _of_pod(pod: int, client: socket.socket, source: Address | None = None) -> int:
    return pod


async def _of_client(pod: int, client: socket.socket, source: Address | None = None) -> int:
    """By its address without the port. The pod's own application is this pod: localhost is the same address
    in every pod of the fleet, and would send all of them to one endpoint.
    """
    try:
        source = source or address_of(client.getpeername())
    except OSError:  # it was reset: the relay will find out
        return pod
    ip = source.ip.removeprefix("::ffff:") if source is not None else ""
    return pod if ip in OURSELVES else _hashed(ip.encode())


async def _of_server_name(
    patience_s: float, clock: Clock, pod: int, client: socket.socket, source: Address | None = None
) -> int:
    """By what it asks for in TLS; by its address when it does not say within `patience_s`, or is no TLS."""
    try:
        async with asyncio.timeout(patience_s):
            name = await _peek_server_name(client, clock)
    except TimeoutError:
        # After a stall of the loop its timers run first: what came in time is there.
        name = server_name(_peek(client) or b"") or b""
    return _hashed(name) if name else await _of_client(pod, client, source)


async def _peek_server_name(client: socket.socket, clock: Clock) -> bytes:
    """The name, without taking a byte from the relay; empty when there is none. Raises ClientReset."""
    pause_s = FIRST_PAUSE_S
    while (seen := _peek(client)) is None:
        await readable(client)
    # Once there are bytes, readable says nothing of more, and SO_RCVLOWAT does not hold for Unix sockets. A
    # hello in pieces is rare: it is waited for at most twice as long as it takes.
    while (name := server_name(seen)) is None and 0 < len(seen) < PEEK_MOST:
        await clock.sleep(pause_s)
        pause_s *= 2
        seen = _peek(client) or seen
    return name or b""


def _peek(client: socket.socket) -> bytes | None:
    """What the client has said so far; empty after a mere FIN, None while it is silent."""
    try:
        return client.recv(PEEK_MOST, socket.MSG_PEEK)
    except BlockingIOError:
        return None
    except OSError as error:  # told only once: the relay could not see it any more
        raise ClientReset(error.strerror) from error


def _hashed(what: bytes) -> int:
    return int.from_bytes(blake2b(what, digest_size=KEY_BYTES).digest(), "big")
