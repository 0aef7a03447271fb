"""Opens listening sockets, or says why that cannot be and what to do."""

import contextlib
import errno
import socket
from collections.abc import Iterable, Iterator

import msgspec

from proxy import socket_file
from proxy.config import PREFIX, Listen
from proxy.errors import StartError
from proxy.inherit import Inherited
from proxy.inherit import listens_on as listens_on
from proxy.model import Address

BACKLOG = 4096  # the kernel caps it at net.core.somaxconn
EVERY_IP = frozenset({"0.0.0.0", "::"})
NO_IPV6 = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})
NONE_INHERITED = Inherited()


def bind(listen: Listen, variable: str, inherited: Inherited = NONE_INHERITED) -> list[socket.socket]:
    """Non-blocking listening sockets for the setting `variable`. Raises StartError."""
    socks = inherited.claim(listen)
    try:
        if socks:
            socks += _missing(listen, socks)
        elif listen.path:
            socks = [_unix(listen)]
        elif listen.host == "":
            socks = [_every_address(listen)]
        elif listen.host == "localhost":
            socks = _both_loopbacks(listen)
        else:
            socks = [_tcp(listen.host, listen)]
    except OSError as error:
        advice = _advice(error, listen, variable, inherited)
        raise StartError(f"cannot listen on {listen}: {error.strerror or error}. {advice}") from error
    return socks


def bind_all(
    listens: Iterable[Listen], variable: str, inherited: Inherited = NONE_INHERITED
) -> list[socket.socket]:
    """The same for several addresses: all of them or, with a StartError, none."""
    socks: list[socket.socket] = []
    try:
        for listen in listens:
            socks += bind(listen, variable, inherited)
    except StartError:
        for sock in socks:
            unbind(sock)
        raise
    return socks


def _advice(error: OSError, listen: Listen, variable: str, inherited: Inherited) -> str:
    if listen.path and (advice := socket_file.advice(error, listen.path)):
        return f"{advice} choose another {PREFIX}{variable}."
    match error.errno:
        case errno.EADDRINUSE if passed_on := inherited.at_port(listen.port):
            return f"Inherited {passed_on} has it: set {PREFIX}{variable} to that, or do not pass it on."
        case errno.EADDRINUSE:
            return f"Something else has it: choose another {PREFIX}{variable}."
        case errno.EACCES | errno.EPERM:
            return f"Not permitted (ports below 1024 rarely are): choose another {PREFIX}{variable}."
        case errno.EADDRNOTAVAIL:
            return f"No such address here: choose another {PREFIX}{variable}."
    return f"Look at {PREFIX}{variable}."


@contextlib.contextmanager
def _opening(family: socket.AddressFamily, listen: Listen) -> Iterator[socket.socket]:
    """A socket that listens once the block has bound it, and is closed if that fails."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        yield sock
        sock.listen(BACKLOG if listen.backlog is None else listen.backlog)
        sock.setblocking(False)
    except BaseException:
        unbind(sock)
        raise


def family_of(ip: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in ip else socket.AF_INET


def _tcp(host: str, listen: Listen, *, both: bool = False) -> socket.socket:
    with _opening(family_of(host), listen) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if listen.reuseport:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if both else 1)
        sock.bind((host, listen.port))
    return sock


def _every_address(listen: Listen) -> socket.socket:
    try:
        return _tcp("::", listen, both=True)
    except OSError as error:
        if error.errno not in NO_IPV6:
            raise
        return _tcp("0.0.0.0", listen)


def _both_loopbacks(listen: Listen) -> list[socket.socket]:
    first = _tcp("127.0.0.1", listen)
    on_its_port = msgspec.structs.replace(listen, port=first.getsockname()[1])
    try:
        return [first, *_unless_no_ipv6("::1", on_its_port)]
    except OSError:
        first.close()
        raise


def _unless_no_ipv6(ip: str, listen: Listen) -> list[socket.socket]:
    try:
        return [_tcp(ip, listen)]
    except OSError as error:
        if error.errno in NO_IPV6:
            return []
        raise


def _missing(listen: Listen, socks: list[socket.socket]) -> list[socket.socket]:
    """What `listen` means beside those: localhost and every address are IPv4 and IPv6."""
    if listen.path:
        return []
    there = {sock.getsockname()[0] for sock in socks}
    if any(_takes_both(sock) for sock in socks):
        there.add("0.0.0.0")
    return [sock for ip in listen.ips if ip not in there for sock in _unless_no_ipv6(ip, listen)]


def _takes_both(sock: socket.socket) -> bool:
    if sock.family != socket.AF_INET6:
        return False
    return not sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)


def _unix(listen: Listen) -> socket.socket:
    with _opening(socket.AF_UNIX, listen) as sock:
        socket_file.bind_to(sock, listen.path, listen.mode)
    return sock


def leads_to(socks: Iterable[socket.socket], address: Address) -> bool:
    """Whether a connection to `address` would arrive at one of `socks` that is still open."""
    for sock in socks:
        if sock.fileno() >= 0 and sock.family != socket.AF_UNIX:
            ip, port = sock.getsockname()[:2]
            if port == address.port and (ip == address.ip or (ip in EVERY_IP and _is_here(address.ip))):
                return True
    return False


def _is_here(ip: str) -> bool:
    """Whether this host has `ip`: only such an address can be bound."""
    with socket.socket(family_of(ip), socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((ip, 0))
        except OSError:
            return False
    return True


def unbind(sock: socket.socket) -> None:
    """Close `sock`, and remove its file if it is a Unix socket of our own."""
    socket_file.remove(sock)  # first: while we listen, nobody takes the file for one that was left behind
    sock.close()
