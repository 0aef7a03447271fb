"""Takes the PROXY header off a client's connection, and makes the one that its pod gets."""

import asyncio
import socket
from ipaddress import ip_address

from proxy.config import ServiceSettings
from proxy.datapath.sockets import address_of, readable
from proxy.errors import ClientReset, WrongProxyHeader
from proxy.model import Address
from proxy.policy import proxy_protocol
from proxy.policy.proxy_protocol import MOST, Header, Malformed

PATIENCE_S = 3.0  # "at least 3 seconds to cover a TCP retransmit", says section 2


class ProxyHeaders:
    """Of one service. What the client's header does not say is as it is on the client's own connection."""

    def __init__(self, settings: ServiceSettings) -> None:
        self.accepts = settings.proxy_protocol_accept
        self._from = settings.proxy_protocol_from or ()
        self._patience_s = min(PATIENCE_S, settings.connect_deadline_s)
        self._write = proxy_protocol.WRITERS.get(settings.proxy_protocol_send)

    def for_pod(self, client: int, heard: Header | None) -> bytes:
        """What the pod gets before the client's first byte; nothing with PROXY_PROTOCOL_SEND=off."""
        if self._write is None:
            return b""
        if heard is None or heard.source is None:
            heard = Header(*_ends(client), local=heard is not None and heard.local)
        return self._write(heard)

    async def hear(self, client: socket.socket) -> Header:
        """The client's header, taken from its socket; what follows it stays. Raises HeadwayError."""
        self._refuse_stranger(client)
        incoming = _Incoming(client)
        try:
            async with asyncio.timeout(self._patience_s):
                while (header := incoming.take()) is None:
                    await readable(client)
        except TimeoutError:
            # After a stall of the loop its timers run first: what came in time is there.
            if (header := incoming.take()) is None:
                raise WrongProxyHeader(f"none within {self._patience_s:g} s") from None
        return header

    def _refuse_stranger(self, client: socket.socket) -> None:
        """Whoever may send a header may claim any address. Who shares our address is in this pod: the kernel
        drops packets from outside that claim to come from here. Unix sockets have their file's mode.
        """
        try:
            peer, ours = address_of(client.getpeername()), address_of(client.getsockname())
        except OSError as error:
            raise ClientReset(error.strerror) from error
        if peer is None or ours is None or peer.ip == ours.ip or peer.is_loopback:
            return
        ip = ip_address(peer.ip.partition("%")[0])
        if not any(ip in network for network in self._from):
            raise WrongProxyHeader(f"{peer.ip} is not in PROXY_PROTOCOL_FROM")


class _Incoming:
    """A header on its way."""

    def __init__(self, client: socket.socket) -> None:
        self._client = client
        self._taken = b""

    def take(self) -> Header | None:
        """Take what has come of it, and no byte more; None while there is more to come."""
        try:
            while True:
                seen = self._taken + self._peek()
                found = proxy_protocol.read(seen)
                size = len(seen) if found is None else found.size
                self._taken += self._client.recv(size - len(self._taken))
                if found is not None and len(self._taken) == size:
                    return found.header
        except Malformed as error:
            raise WrongProxyHeader(str(error)) from error
        except BlockingIOError:
            return None
        except OSError as error:  # told only once: the relay could not see it any more
            raise ClientReset(error.strerror) from error

    def _peek(self) -> bytes:
        more = self._client.recv(MOST, socket.MSG_PEEK)
        if not more and not self._taken:
            raise ClientReset("it left without a word")  # a mere probe of the port
        if not more:
            raise WrongProxyHeader("it ended in the middle")
        return more


def _ends(client: int) -> tuple[Address | None, Address | None]:
    """Who connected to what; nobody knows that of a Unix socket, or of one that was reset."""
    sock = socket.socket(fileno=client)
    try:
        return address_of(sock.getpeername()), address_of(sock.getsockname())
    except OSError:
        return None, None
    finally:
        sock.detach()
