"""The socket options of both sides, who is at their ends, and the two ways to end a connection by hand."""

import asyncio
import select
import socket
import struct
from contextlib import suppress
from fcntl import ioctl
from termios import FIONREAD, TIOCOUTQ

import msgspec

from proxy.model import Address

# A third of the idle time between probes, three of them: dead after twice the idle time.
KEEPALIVE_PROBES = 3
SUSPECT_S = 0.1  # in native/connect.c, too: what takes longer may have waited for our loop; the kernel knows
_INT = struct.Struct("i")
_LINGER_ZERO = struct.pack("ii", 1, 0)
_TCP_UNACKED = struct.Struct("=24xI")
BACKLOG_MAX = 1 << 16  # none is longer
_TCP_INFO = struct.Struct("=68xI28xI")  # struct tcp_info, linux/tcp.h: tcpi_rtt and tcpi_total_retrans


class Tuning(msgspec.Struct, frozen=True):
    """Options for TCP sockets; 0 leaves the system's."""

    keepalive_s: float = 30.0
    user_timeout_s: float = 30.0


def tune(sock: socket.socket, tuning: Tuning, *, loopback: bool = False) -> None:
    """Set the options; what a listening socket has, those it accepts inherit (tcp(7)).

    On loopback without the user timeout: it also ends connections whose peer takes a break from reading,
    and a peer on the same kernel cannot vanish unnoticed.
    """
    if sock.family == socket.AF_UNIX:
        return
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if tuning.keepalive_s:
        idle = max(1, round(tuning.keepalive_s))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, idle)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, idle // KEEPALIVE_PROBES))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, KEEPALIVE_PROBES)
    if tuning.user_timeout_s and not loopback:
        # Keepalive says nothing while sent bytes are unacknowledged: without this, 15 minutes of writing
        # into the void when a node dies (linkerd2#13023).
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(tuning.user_timeout_s * 1000))


def tune_listener(sock: socket.socket, tuning: Tuning) -> None:
    tcp = sock.family != socket.AF_UNIX
    tune(sock, tuning, loopback=tcp and Address(*sock.getsockname()[:2]).is_loopback)


def address_of(name: object) -> Address | None:
    """What getpeername() or getsockname() says; None for a Unix socket.

    A socket of both families shows IPv4 addresses as ::ffff:1.2.3.4 (RFC 4291 2.5.5.2).
    """
    if not isinstance(name, tuple):
        return None
    ip = name[0].removeprefix("::ffff:")
    return Address(name[0] if ":" in ip else ip, name[1])


async def readable(sock: socket.socket) -> None:
    """Returns once there is something to read, be it an end."""
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


def arm_reset(sock: socket.socket) -> None:
    """Let the next close of `sock` send a reset: a clean end would make half a reply look whole."""
    with suppress(OSError):  # closed already
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)


def handshake_s(sock: socket.socket) -> float | None:
    """How long the kernel saw the pod take to answer the SYN; None when it had to be sent again."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
    rtt_us, retransmitted = _TCP_INFO.unpack(info.ljust(_TCP_INFO.size, b"\0"))
    return None if retransmitted else rtt_us / 1e6


def backlog_length(listener: socket.socket) -> int:
    """How many wait to be accepted. A Unix socket tells only whether anybody does; then it is BACKLOG_MAX.

    tcp_get_info() in the kernel: tcpi_unacked of a listening socket is the length of its accept queue.
    """
    if listener.family == socket.AF_UNIX:
        waits = select.poll()
        waits.register(listener, select.POLLIN)
        return BACKLOG_MAX if waits.poll(0) else 0
    info = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_UNACKED.size)
    (waiting,) = _TCP_UNACKED.unpack(info)
    return int(waiting)


def connect_took_s(sock: socket.socket, seen_s: float) -> float:
    """How long the pod took to accept, which this process saw after so long: its own stalls are no pod's."""
    return seen_s if seen_s < SUSPECT_S else handshake_s(sock) or seen_s


def is_empty(sock: socket.socket) -> bool:
    """Whether nothing waits to be read, to be sent or, with TCP, to be acknowledged."""
    counts = (ioctl(sock, what, bytes(_INT.size)) for what in (FIONREAD, TIOCOUTQ))
    try:
        return not any(_INT.unpack(count)[0] for count in counts)
    except OSError:  # closed already
        return False


def has_failed(sock: socket.socket) -> bool:
    """Whether it was reset, or as good as that, which no call has told yet."""
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0


def reset(fd: int) -> None:
    """Close it with a reset."""
    with socket.socket(fileno=fd) as sock:
        arm_reset(sock)
