"""Opens listening sockets, or says why that cannot be and what to do."""

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterable, Iterator
from weakref import WeakKeyDictionary

from proxy.config import PREFIX, Listen
from proxy.errors import StartError
from proxy.model import Address

BACKLOG = 4096  # the kernel caps it at net.core.somaxconn
EVERY_IP = frozenset({"0.0.0.0", "::"})
NO_IPV6 = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})

# A closed socket no longer tells its path, and the server of the pages closes its own.
_paths: WeakKeyDictionary[socket.socket, str] = WeakKeyDictionary()


def bind(listen: Listen, variable: str) -> list[socket.socket]:
    """Non-blocking listening sockets for the setting `variable`. Raises StartError."""
    try:
        if listen.path:
            return [_unix(listen.path)]
        match listen.host:
            case "":
                return [_every_address(listen.port)]
            case "localhost":
                return _both_loopbacks(listen.port)
            case host:
                return [_tcp(host, listen.port)]
    except OSError as error:
        raise StartError(
            f"cannot listen on {listen}: {error.strerror or error}. {_advice(error, variable)}"
        ) from error


def _advice(error: OSError, variable: str) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return f"Something else has it: choose another {PREFIX}{variable}."
        case errno.EACCES | errno.EPERM:
            return f"Not permitted (ports below 1024 rarely are): choose another {PREFIX}{variable}."
        case errno.EADDRNOTAVAIL:
            return f"No such address here: choose another {PREFIX}{variable}."
    return f"Look at {PREFIX}{variable}."


@contextlib.contextmanager
def _opening(family: socket.AddressFamily) -> Iterator[socket.socket]:
    """A socket that listens once the block has bound it, and is closed if that fails."""
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        yield sock
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise


def family_of(ip: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in ip else socket.AF_INET


def _tcp(host: str, port: int, *, both: bool = False) -> socket.socket:
    with _opening(family_of(host)) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if both else 1)
        sock.bind((host, port))
    return sock


def _every_address(port: int) -> socket.socket:
    try:
        return _tcp("::", port, both=True)
    except OSError as error:
        if error.errno not in NO_IPV6:
            raise
        return _tcp("0.0.0.0", port)


def _both_loopbacks(port: int) -> list[socket.socket]:
    first = _tcp("127.0.0.1", port)
    try:
        return [first, _tcp("::1", first.getsockname()[1])]
    except OSError as error:
        if error.errno in NO_IPV6:
            return [first]
        first.close()
        raise


def _unix(path: str) -> socket.socket:
    with _opening(socket.AF_UNIX) as sock:
        _remove_stale(path)
        sock.bind(path)
        os.chmod(path, 0o666)  # as open as a port on loopback: the application rarely has our uid
        _paths[sock] = path
    return sock


def _remove_stale(path: str) -> None:
    """Remove a socket file that nobody listens on any more: a killed process leaves its own behind."""
    if not os.path.exists(path) or not stat.S_ISSOCK(os.stat(path).st_mode):
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # a listener whose backlog is full is alive, and would keep us waiting
        if probe.connect_ex(path) == errno.ECONNREFUSED:
            os.unlink(path)


def listens_on(sock: socket.socket) -> str:
    """Where `sock` listens, written as in LISTEN; with port 0 only the socket knows."""
    name = sock.getsockname()
    return f"unix:{name}" if sock.family == socket.AF_UNIX else str(Address(*name[:2]))


def leads_to(socks: Iterable[socket.socket], address: Address) -> bool:
    """Whether a connection to `address` would arrive at one of `socks`."""
    for sock in socks:
        if sock.family != socket.AF_UNIX:
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
    """Close `sock`, and remove its file if it is a Unix socket."""
    sock.close()
    with contextlib.suppress(KeyError, FileNotFoundError):
        os.unlink(_paths.pop(sock))
