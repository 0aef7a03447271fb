"""Tells the number by which a hashing balancer chooses for one client: the same number, the same endpoint."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from functools import partial
from hashlib import blake2b
from typing import Any

from proxy.config import Balancer, HashKey, ServiceSettings
from proxy.datapath.sni import server_name
from proxy.errors import ClientReset
from proxy.model import Clock

KeyOf = Callable[[socket.socket], Coroutine[Any, Any, int]]

KEY_BYTES = 8
PEEK_S = 1.0  # a client that waits for its server to speak first is not kept waiting for longer
PEEK_MOST = 5 + (1 << 14)  # RFC 8446 5.1: one whole record
FIRST_PAUSE_S = 0.001
OURSELVES = frozenset({"127.0.0.1", "::1", ""})  # "": a Unix socket


def make_key_of(settings: ServiceSettings, pod_name: str, clock: Clock) -> KeyOf | None:
    """What HASH_KEY asks for; it may raise ClientReset. None for a balancer that would not look at a key."""
    if settings.balancer != Balancer.MAGLEV and ":" not in settings.balancer:
        return None
    pod = _hashed(pod_name.encode())
    if settings.hash_key is HashKey.POD:
        return partial(_of_pod, pod)
    if settings.hash_key is HashKey.SNI:
        # Half of the deadline is left for the pods, whatever the client does not say.
        patience_s = min(PEEK_S, settings.connect_timeout_s, settings.connect_deadline_s / 2)
        return partial(_of_server_name, patience_s, clock, pod)
    return partial(_of_client, pod)


async def _of_pod(pod: int, client: socket.socket) -> int:
    return pod


async def _of_client(pod: int, client: socket.socket) -> int:
    """By its address without the port. The pod's own application is this pod: localhost is the same address
    in every pod of the fleet, and would send all of them to one endpoint.
    """
    try:
        peer = client.getpeername()
    except OSError:  # it was reset: the relay will find out
        return pod
    # A listener for both families shows IPv4 clients as ::ffff:1.2.3.4 (RFC 4291 2.5.5.2).
    ip = peer[0].removeprefix("::ffff:") if isinstance(peer, tuple) else ""
    return pod if ip in OURSELVES else _hashed(ip.encode())


async def _of_server_name(patience_s: float, clock: Clock, pod: int, client: socket.socket) -> int:
    """By what it asks for in TLS; by its address when it does not say within `patience_s`, or is no TLS."""
    try:
        async with asyncio.timeout(patience_s):
            name = await _peek_server_name(client, clock)
    except TimeoutError:
        # After a stall of the loop its timers run first: what came in time is there.
        name = server_name(_peek(client) or b"") or b""
    return _hashed(name) if name else await _of_client(pod, client)


async def _peek_server_name(client: socket.socket, clock: Clock) -> bytes:
    """The name, without taking a byte from the relay; empty when there is none. Raises ClientReset."""
    pause_s = FIRST_PAUSE_S
    while (seen := _peek(client)) is None:
        await _readable(client)
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


async def _readable(sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    there: asyncio.Future[None] = loop.create_future()

    def settle() -> None:
        if not there.done():
            there.set_result(None)

    loop.add_reader(sock, settle)
    try:
        await there
    finally:
        loop.remove_reader(sock)


def _hashed(what: bytes) -> int:
    return int.from_bytes(blake2b(what, digest_size=KEY_BYTES).digest(), "big")
