"""One pod of the demo: a process that answers `GET` with its name, its address and the path it was asked.

What "crash" means (SIGUSR1): the listener closes hard, without a word to DNS, to the proxy or to its peers;
what had been accepted gets its answer, a matter of microseconds; then SIGKILL. Every later connect is refused
while DNS still lists the pod: that is the loss which a TCP proxy can spare its application. A request that
dies inside a pod, after its bytes were read, is lost behind any TCP proxy; the demo does not claim otherwise.
SIGTERM, the ordinary end, does the same and exits with 0.
"""

import argparse
import os
import selectors
import signal
import socket
from types import FrameType

LAST_ANSWERS_S = 1.0  # how long an accepted connection may keep a pod from its end


def body(name: str, ip: str, path: str) -> bytes:
    """The one right answer to `GET path`; the load compares with it."""
    return f"{name} {ip} {path}\n".encode()


class Pod:
    """Accepts, answers, closes. One thread, no event loop library: 8 of these start beside a proxy."""

    def __init__(self, name: str, listener: socket.socket) -> None:
        self._name = name
        self._ip = str(listener.getsockname()[0])
        self._listener = listener
        self._selector = selectors.DefaultSelector()
        self._open: dict[socket.socket, bytes] = {}
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ)

    def serve(self, wake: socket.socket) -> None:
        """Until a byte arrives on `wake`; then no new connection, but an answer to each accepted one."""
        self._selector.register(wake, selectors.EVENT_READ)
        while wake not in self._wait(None):
            pass
        # Emptying the backlog leaves only microseconds in which a new connection is reset, not refused.
        self._accept()
        self._selector.unregister(wake)
        self._selector.unregister(self._listener)
        self._listener.close()
        while self._open and self._wait(LAST_ANSWERS_S):
            pass

    def _wait(self, timeout: float | None) -> set[object]:
        ready = {key.fileobj for key, _ in self._selector.select(timeout)}
        for source in ready:
            if source is self._listener:
                self._accept()
            elif isinstance(source, socket.socket) and source in self._open:
                self._read(source)
        return set(ready)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # nobody waits any more
            client.setblocking(False)
            self._open[client] = b""
            self._selector.register(client, selectors.EVENT_READ)

    def _read(self, client: socket.socket) -> None:
        try:
            chunk = client.recv(4096)
            self._open[client] += chunk
            asked = self._open[client]
            if b"\r\n\r\n" in asked:
                client.sendall(self._answer(asked))
            elif chunk:
                return
        except OSError:
            pass  # the client left first, or this was a health check
        self._selector.unregister(client)
        del self._open[client]
        client.close()

    def _answer(self, asked: bytes) -> bytes:
        words = asked.split(b"\r\n", 1)[0].split()
        text = body(self._name, self._ip, words[1].decode() if len(words) > 1 else "/")
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(text)}\r\n"
        return head.encode() + b"Connection: close\r\n\r\n" + text


def main() -> None:
    arguments = argparse.ArgumentParser(
        description="One pod of the demo: it answers GET with its name, its address and the path."
    )
    arguments.add_argument("--listen", required=True, metavar="IP:PORT")
    arguments.add_argument("--name", required=True)
    options = arguments.parse_args()
    ip, _, port = options.listen.rpartition(":")
    listener = socket.create_server((ip, int(port)), backlog=512)
    crashed: list[bool] = []
    wake, waker = socket.socketpair()

    def end(number: int, frame: FrameType | None) -> None:
        crashed.append(number == signal.SIGUSR1)
        waker.send(b"!")

    signal.signal(signal.SIGUSR1, end)
    signal.signal(signal.SIGTERM, end)
    print("listening", flush=True)
    Pod(options.name, listener).serve(wake)
    if crashed[0]:
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
