"""Makes the check that HEALTH_CHECK names. What only one kind needs is imported for that kind."""

import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress

from proxy.config import HealthCheck, ProxyProtocol, ServiceSettings, SrvTarget, StaticTarget
from proxy.config.targets import Target
from proxy.controlpath.exchange import Connect
from proxy.model import Address

Check = Callable[[Address, float], Awaitable[None]]


def make_check(settings: ServiceSettings, connect: Connect) -> Check:
    """`check(address, timeout_s)` raises ConnectError when the endpoint is not well."""
    # Another port is another server, which need not know of the protocol: so does HAProxy decide, too.
    if settings.proxy_protocol_send is not ProxyProtocol.OFF and not settings.health_port:
        connect = _announced(connect, settings.proxy_protocol_send)
    talk = _talk(settings, connect)
    host = settings.health_host or _host(settings.target)

    async def check(address: Address, timeout_s: float) -> None:
        where = address._replace(port=settings.health_port or address.port)
        await talk(where, host or str(where), timeout_s)

    return check


def _announced(connect: Connect, version: ProxyProtocol) -> Connect:
    """Begins with the PROXY header of a check: a pod that waits for one would log its absence as an error."""
    from proxy.policy.proxy_protocol import WRITERS, Header

    write = WRITERS[version]

    async def announced(address: Address, timeout_s: float) -> socket.socket:
        sock = await connect(address, timeout_s)
        with suppress(OSError):  # it has accepted; who goes on to talk meets the failure anew
            ours = Address(*sock.getsockname()[:2])
            sock.send(write(Header(ours, address, local=True)))
        return sock

    return announced


def _talk(settings: ServiceSettings, connect: Connect) -> Callable[[Address, str, float], Awaitable[None]]:
    if settings.health_check is HealthCheck.HTTP:
        from proxy.controlpath.check_http import HttpCheck

        return HttpCheck(connect, settings.health_path, settings.health_status)
    if settings.health_check is HealthCheck.GRPC:
        from proxy.controlpath.check_grpc import GrpcCheck

        return GrpcCheck(connect, settings.health_service)

    async def accepts(address: Address, host: str, timeout_s: float) -> None:
        """Ends with a FIN, unless the pod spoke first."""
        (await connect(address, timeout_s)).close()

    return accepts


def _host(target: Target) -> str:
    """What a client would name in a Host header; nothing where no name leads to the pods."""
    if isinstance(target, StaticTarget):
        return ""
    return (target.service if isinstance(target, SrvTarget) else target.host).removesuffix(".")
