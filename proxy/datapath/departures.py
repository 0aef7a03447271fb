"""Tells which clients are gone, of those that nobody reads from."""

import asyncio
import select
from collections.abc import Callable

from proxy.errors import connect_error

# epoll(7): both are always told. A mere FIN is neither: what was said before it may still want its answer.
# A Unix socket hangs up when it is closed, whatever it said before: BROKEN is only what was reset.
GONE = select.EPOLLERR | select.EPOLLHUP
BROKEN = select.EPOLLERR


class Departures:
    """Costs no call while nobody leaves."""

    def __init__(self, which: int) -> None:
        self._which = which
        self._told: dict[int, Callable[[], None]] = {}
        # Not the loop's own: that one would turn for as long as there are bytes, which stay where they are.
        self._watch = select.epoll()
        asyncio.get_running_loop().add_reader(self._watch, self.tell)

    def fileno(self) -> int:
        """Readable when a client is gone."""
        return self._watch.fileno()

    def watch(self, client: int, on_gone: Callable[[], None]) -> None:
        """Until forget(), which comes before its descriptor is closed, or another's.

        Raises ConnectError where the system cannot watch so many.
        """
        try:
            self._watch.register(client, self._which | select.EPOLLET)  # or a hang-up would be told for ever
        except OSError as error:
            raise connect_error(error) from error
        self._told[client] = on_gone

    def forget(self, client: int) -> None:
        self._watch.unregister(client)
        del self._told[client]

    def tell(self) -> None:
        """Of all that are gone by now."""
        for client, events in self._watch.poll(0) if self._told else ():
            if events & self._which:
                self._told[client]()
