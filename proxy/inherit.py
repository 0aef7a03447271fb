"""Takes over listening sockets that a supervisor opened and keeps, as sd_listen_fds(3) describes it.

While they are open nobody's connect is refused: what comes between two processes waits for the next one.
"""

import errno
import os
import socket
from collections.abc import Iterable, Mapping
from weakref import WeakSet

from proxy.config import PREFIX, Listen
from proxy.errors import StartError
from proxy.model import Address

FIRST = 3  # SD_LISTEN_FDS_START
FAMILIES = socket.AF_INET, socket.AF_INET6, socket.AF_UNIX

_inherited: WeakSet[socket.socket] = WeakSet()


def is_inherited(sock: socket.socket) -> bool:
    """Whether somebody else goes on listening when `sock` is closed here."""
    return sock in _inherited


class Inherited:
    """The sockets that nobody has claimed yet, each with its descriptor and name for messages."""

    def __init__(self, socks: Iterable[tuple[str, socket.socket]] = ()) -> None:
        self._unclaimed = list(socks)

    def claim(self, listen: Listen) -> list[socket.socket]:
        """Those that listen where `listen` says, as many as there are."""
        mine = [each for each in self._unclaimed if _is_at(each[1], listen)]
        self._unclaimed = [each for each in self._unclaimed if each not in mine]
        if mine and (listen.mode is not None or listen.reuseport):
            raise StartError(
                f"cannot listen on {listen}: {mine[0][0]} is open there already, and who opened it sets its"
                " mode and reuseport (systemd: SocketMode=, ReusePort=)"
            )
        for _, sock in mine:
            if listen.backlog is not None:
                sock.listen(listen.backlog)
            _inherited.add(sock)
        return [sock for _, sock in mine]

    def at_port(self, port: int) -> str:
        """Which of them, if any, has this TCP port at another address, for a message."""
        there = (f"{what} on {listens_on(sock)}" for what, sock in self._unclaimed)
        return next((each for each in there if each.endswith(f":{port}")), "")

    def refuse_rest(self) -> None:
        """Raises StartError if there are some left: whoever connects to them would wait for ever."""
        if self._unclaimed:
            rest = ", ".join(f"{what} on {listens_on(sock)}" for what, sock in self._unclaimed)
            raise StartError(
                f"inherited to listen, but no setting names its address: {rest}."
                f" Set {PREFIX}LISTEN, or do not pass it on."
            )


def take_over(handed: Mapping[str, str]) -> Inherited:
    """The sockets that the LISTEN_* variables are about; none if they are for another process.

    Raises StartError for what is not a listening stream socket.
    """
    if handed.get("LISTEN_PID") != str(os.getpid()):
        return Inherited()
    count = handed.get("LISTEN_FDS", "")
    if not (count.isascii() and count.isdigit()):
        raise StartError(f"LISTEN_FDS={count!r} is no number of sockets")
    names = handed.get("LISTEN_FDNAMES", "").split(":")
    socks = []
    for number in range(int(count)):
        fd = FIRST + number
        name = names[number] if number < len(names) else ""
        what = f"descriptor {fd}" + (f" ({name})" if name else "")
        socks.append((what, _listening(fd, what)))
    return Inherited(socks)


def _listening(fd: int, what: str) -> socket.socket:
    try:
        os.set_inheritable(fd, False)
        sock = socket.socket(fileno=fd)
    except OSError as error:
        problem = "is no socket" if error.errno == errno.ENOTSOCK else "is not open"
        raise StartError(f"inherited {what} {problem}; LISTEN_FDS says that it is one to listen on") from None
    if problem := _problem(sock):
        sock.close()
        raise StartError(f"inherited {what} {problem}")
    sock.setblocking(False)
    return sock


def _problem(sock: socket.socket) -> str:
    """Why nobody can be accepted from it, if so."""
    if sock.family not in FAMILIES:
        return "is a socket of another kind than IPv4, IPv6 or Unix"
    if sock.type != socket.SOCK_STREAM:
        return "carries no streams (systemd: ListenStream=)"
    if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return "does not listen (systemd: Accept=no)"
    return ""


def listens_on(sock: socket.socket) -> str:
    """Where `sock` listens, written as in LISTEN; with port 0 only the socket knows."""
    name = sock.getsockname()
    return f"unix:{name}" if sock.family == socket.AF_UNIX else str(Address(*name[:2]))


def _is_at(sock: socket.socket, listen: Listen) -> bool:
    name = sock.getsockname()
    if listen.path or sock.family == socket.AF_UNIX:
        # /var/run is mostly a link to /run
        return (
            isinstance(name, str) and bool(name) and os.path.realpath(name) == os.path.realpath(listen.path)
        )
    return name[1] == listen.port and name[0] in listen.ips
