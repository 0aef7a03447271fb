"""Listening sockets for a test."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from proxy.bind import bind, unbind
from proxy.config import Listen

Open = Callable[[Listen], list[socket.socket]]


@contextmanager
def opening() -> Iterator[Open]:
    """Binds for HEADWAY_LISTEN, and unbinds at the end."""
    with ExitStack() as cleanup:

        def open_(listen: Listen) -> list[socket.socket]:
            socks = bind(listen, "LISTEN")
            for sock in socks:
                cleanup.callback(unbind, sock)
            return socks

        yield open_
